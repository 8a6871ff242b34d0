"""Pruning in rounds of rising sparsity, with training in between (Han et al. 2015, arXiv 1506.02626).

One training run of the corpus, cut into rounds of equal length: each begins by pruning some more, so that the
last one begins with what the pruning step asks for, and what is zero stays zero. With ``rewind: initial`` the
weights that survive a round's pruning go back to what they were before the first, as do all others: what the
training found is then which weights to keep (Frankle & Carbin 2019, arXiv 1803.03635). Learning rate and
optimizer go on through all rounds.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from stages import compression
from stages.compression import Context
from stages.compression.rounds import Prune, in_round
from stages.compression.tuning import TrainingConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(TrainingConfig):
    """Settings of ``iterative``."""

    method: Literal["iterative"]
    prune: Annotated[Prune, Field(discriminator="method")]
    """The pruning step, as it is in the end; weaker in the rounds before (``stages.compression.rounds``)."""
    rounds: int = Field(default=4, ge=1)
    """How often some are pruned."""
    rewind: Literal["none", "initial"] = "none"
    """Whether all weights but the pruned go back, after every pruning, to the values they had before the first."""

    @model_validator(mode="after")
    def _steps(self) -> Config:
        if self.rounds > self.training.steps:
            raise ValueError(f"{self.rounds} rounds do not fit into {self.training.steps} steps")
        schedule(self)
        return self


def schedule(config: Config) -> dict[int, Prune]:
    """The pruning of each round, by the training step (from 0) before which it is done."""
    rounds, steps = config.rounds, config.training.steps
    return {(number - 1) * steps // rounds: in_round(config.prune, number, rounds) for number in range(1, rounds + 1)}


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune and train in turns.

    Raises:
        MethodError: A sentence encoder; or see the pruning method and ``stages.compression.tuning``.
    """
    from stages.compression.artefact import open_model
    from stages.compression.tuning import refuse_sentence_encoder, train_subject
    from stages.training.zeros import KeptZeros

    refuse_sentence_encoder(subject)
    pruned = _rehearse(subject, config, context)
    due = schedule(config)
    rewinds = subject.model.named_parameters() if config.rewind == "initial" else ()
    initial = {name: value.detach().clone() for name, value in rewinds}

    class Rounds(KeptZeros):
        def before(self, step: int) -> None:
            if step in due:
                subject.model.eval()  # calibration texts are read without dropout
                compression.get(due[step].method).compress(subject, due[step], context)
                for name, value in initial.items():
                    weight = subject.model.get_parameter(name).data
                    weight.copy_(value.masked_fill(weight == 0, 0.0) if name in pruned else value)
            super().before(step)

    parent = open_model(subject.folder, subject.loaded.family).model
    constraint = Rounds([subject.model.get_parameter(name) for name in pruned])
    # A checkpoint is written after its step: one that is past the last pruning has the step behind that too.
    train_subject(subject, config, context, ("parent", parent), constraint=constraint, not_before=max(due) + 1)


def _rehearse(subject: Subject, config: Config, context: Context) -> list[str]:
    """Names of the parameters to prune, found by pruning a copy, so that what is refused is refused before training.

    Weights that the pruning unties are untied in the subject too, so that they are trained as such.
    """
    shadow = copy.deepcopy(subject)
    shadow.changed = set()
    compression.get(config.prune.method).compress(shadow, config.prune, context)
    names = [name for name, _ in shadow.model.named_parameters()]
    for name in set(names) - {name for name, _ in subject.model.named_parameters()}:
        subject.untie(subject.model.get_submodule(name.rpartition(".")[0]))
    return [name for name in names if name in shadow.changed]
