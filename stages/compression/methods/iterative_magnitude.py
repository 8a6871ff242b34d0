"""The smallest weights set to zero in rounds, with training in between (Han et al. 2015, arXiv 1506.02626).

One training run of the corpus, cut into rounds of equal length: each begins by pruning the same share of what
is left, so that the last one begins with the sparsity asked for, and what is zero stays zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.compression import Context
from stages.compression.tuning import TrainingConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(TrainingConfig):
    """Settings of ``iterative_magnitude``."""

    method: Literal["iterative_magnitude"]
    sparsity: float = Field(gt=0, lt=1)
    """Share of the weights in the scope that are zero in the end."""
    rounds: int = Field(default=4, ge=1)
    """How often some are pruned."""
    granularity: Literal["matrix", "global"] = "matrix"
    """Compare weights within each matrix, or over all of them together."""
    scope: Literal["layers", "linear", "all"] = "layers"
    """Matrices of the transformer's layers, every linear map, or the embeddings too."""

    @model_validator(mode="after")
    def _steps(self) -> Config:
        if self.rounds > self.training.steps:
            raise ValueError(f"{self.rounds} rounds do not fit into {self.training.steps} steps")
        return self


def sparsities(config: Config) -> dict[int, float]:
    """Sparsity by the step (from 0) before which it is set: 1 - (1 - s)^(r / n) in round r of n."""
    rounds, steps = config.rounds, config.training.steps
    rising = {number * steps // rounds: 1 - (1 - config.sparsity) ** ((number + 1) / rounds)
              for number in range(rounds - 1)}
    return rising | {(rounds - 1) * steps // rounds: config.sparsity}


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune and train in turns.

    Raises:
        MethodError: A sentence encoder, no weight in the scope, a sparsity that removes nothing or all of a
            matrix, or see ``stages.compression.tuning``.
    """
    from stages.compression.artefact import open_model
    from stages.compression.methods import magnitude
    from stages.compression.tuning import refuse_sentence_encoder, train_subject
    from stages.training.zeros import KeptZeros

    refuse_sentence_encoder(subject)
    matrices = {matrix.name: matrix for matrix in subject.matrices(config.scope)}
    due = sparsities(config)

    class Rounds(KeptZeros):
        def before(self, step: int) -> None:
            if step in due:
                weights = {name: matrix.get() for name, matrix in matrices.items()}
                for name, mask in magnitude.masks(weights, due[step], config.granularity).items():
                    matrices[name].assign(weights[name].masked_fill(mask, 0.0))
            super().before(step)

    magnitude.masks({name: matrix.get() for name, matrix in matrices.items()}, config.sparsity, config.granularity)
    parent = open_model(subject.folder, subject.loaded.family).model
    rounds = Rounds([matrix.module.weight for matrix in matrices.values()])
    train_subject(subject, config, context, ("parent", parent), constraint=rounds)
