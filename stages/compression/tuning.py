"""Training in the midst of compression, by the loop that checkpoints are trained with (``stages.training``)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from stages.common.errors import MethodError
from stages.common.params import Frozen, Training
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject
    from stages.training.given import Constraint, Facts, Run
    from stages.training.objectives import Batch


class Stop(Frozen):
    """A quality floor: training ends at the first checkpoint that reaches it."""

    heldout_loss_ratio: float = Field(gt=0, allow_inf_nan=False)
    """Largest held-out loss that is good enough, as a multiple of the reference's on the same text: of the teacher
    in ``distill``, of the uncompressed model elsewhere. Both are cross-entropies of the corpus' own text, nats a
    token."""
    required: bool = False
    """Whether not reaching it by the last step is an error; ``checkpoint.json`` records it either way."""


class TrainingConfig(MethodConfig):
    """Settings of every method that trains."""

    training: Training
    """As for models: steps, batches, rate; its ``checkpoints`` are the percentages that the variant holds."""
    stop: Stop | None = None
    """Looked at with every checkpoint; the variant then holds none after it."""
    seed: int = Field(default=0, ge=0)
    """Of order, masked words, dropout and fresh weights, beside the suite's own seed."""

    @property
    def trains(self) -> bool:
        """It does."""
        return True


def refuse_sentence_encoder(subject: Subject) -> None:
    """Refuse a model that has no words to predict.

    Raises:
        MethodError: It is a sentence encoder.
    """
    if subject.loaded.family == "sentence":
        raise MethodError("a sentence encoder has no language-model head to train", where=subject.folder,
                          fix="name the models that the variant is for: only: [...]")


def train_subject(
    subject: Subject, config: TrainingConfig, context: Context, reference: tuple[str, Any],
    loss: Callable[[Batch], Tensor] | None = None, constraint: Constraint | None = None, not_before: int = 0,
) -> None:
    """Train a subject's model on the corpus, and leave the record of it in ``subject.facts``.

    Beside what is known of any checkpoint, the record has the planned number of ``steps``, the held-out loss
    of the model before training (``initial_heldout_loss``) and of the reference (``<name>_heldout_loss``),
    and, with a quality floor, whether it was reached (``floor_reached``).

    Args:
        subject: A masked or causal model; every weight comes out as float32.
        config: How to train.
        context: Corpus, seed, work folder; its ``snapshot`` is called at every checkpoint.
        reference: Name and model that the quality floor refers to.
        loss: What a step lowers; the cross-entropy of the corpus' own words if left out.
        constraint: What must hold of the weights after every step.
        not_before: Steps that must be done before the quality floor may end the training.

    Raises:
        MethodError: No corpus, sequences longer than the model reads, or a required floor that was not reached.
        DataError: The corpus cannot be read, or is too short.
        ModelError: The loss is no finite number; the message names the step.
    """
    from stages.training.held_out import held_out_loss
    from stages.training.loop import train

    name, other = reference
    subject.retrained()
    subject.model.requires_grad_(True)
    with _work_folder(context) as work:
        run = _run(subject, config, context, work)
        floor = round(held_out_loss(replace(run, model=other), 0), 6)
        before = {"steps": config.training.steps, f"{name}_heldout_loss": floor,
                  "initial_heldout_loss": round(held_out_loss(run, 0), 6)}

        def good(held_out: float) -> bool:
            return config.stop is not None and held_out <= config.stop.heldout_loss_ratio * floor

        def record(facts: Facts) -> None:
            kept = {key: value for key, value in facts.items() if key != "stopped"}
            reached = {} if config.stop is None else {
                "floor_reached": facts["step"] >= not_before and good(facts["heldout_loss"])}
            subject.facts = before | kept | reached

        def write(folder: Path, facts: Facts) -> None:
            record(facts)
            if context.snapshot is not None:
                context.snapshot(folder)

        last = train(
            replace(run, loss=loss, constraint=constraint, stop=good, not_before=not_before, write=write), work
        )
    record(last)
    if config.stop is not None and config.stop.required and not good(last["heldout_loss"]):
        raise MethodError(f"after {last['step']} steps the held-out loss is {last['heldout_loss'] / floor:.3f} times "
                          f"the {name}'s; the floor is {config.stop.heldout_loss_ratio}", where=subject.folder,
                          fix="train for more steps, or lower the floor")


def _run(subject: Subject, config: TrainingConfig, context: Context, work: Path) -> Run:
    from stages.training.data import CACHE, Corpus, frame_of, pack
    from stages.training.given import Run
    from stages.training.objectives import objective_of

    settings, loaded = config.training, subject.loaded
    if context.corpus is None:
        raise MethodError("needs texts to train on", where=config.method,
                          fix="give --corpus FILE.parquet (columns split, line and text)")
    if settings.sequence_length > loaded.encoder.context:
        raise MethodError(f"training.sequence_length: {settings.sequence_length} is more than the "
                          f"{loaded.encoder.context} tokens that the model reads", where=subject.folder)
    corpus = Corpus(context.corpus, CACHE if context.work is not None else work)
    frame = frame_of(loaded.tokenizer, loaded.family)
    train_rows, valid_rows = (
        pack(corpus.encode(split, loaded.tokenizer), frame, settings.sequence_length, settings.packing)
        for split in ("train", "valid")
    )
    objective = objective_of(loaded.tokenizer, loaded.family, settings.mask_probability)
    return Run(subject.model, loaded.tokenizer, objective, train_rows, valid_rows, settings,
               context.seed + config.seed)


@contextmanager
def _work_folder(context: Context) -> Iterator[Path]:
    if context.work is not None:
        yield context.work
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
