"""What a training is given: the model, its texts, and what must hold on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from stages.common.params import Training
from stages.training.objectives import Batch, Objective

Facts = dict[str, Any]
"""What is known of a checkpoint: ``fraction`` of training, ``step``, ``tokens_seen``, ``heldout_loss``; ``stopped``
where training ended there by a rule."""


class Constraint(Protocol):
    """What must hold of the weights after every step."""

    def before(self, step: int) -> None:
        """Called before a step (from 0) reads the weights; may change them."""

    def after(self) -> None:
        """Called after the step changed the weights."""


@dataclass(frozen=True)
class Run:
    """One training run, whole but for its result.

    Attributes:
        model: The float32 model to train, in place.
        tokenizer: Saved with every checkpoint.
        objective: What the model learns to predict.
        train: Training sequences, int64 arrays.
        valid: Held-out sequences.
        settings: Steps, batch size, learning rate, checkpoints.
        seed: Seed of order, masks and dropout.
        loss: What a step lowers; the model's cross-entropy (nats) if left out. The held-out loss always is that.
        constraint: What must hold of the weights after every step.
        stop: Whether to end at a checkpoint with such a held-out loss.
        not_before: Steps that must be done before ``stop`` is asked.
        write: Writes a checkpoint to a folder that is not there yet; ``save_checkpoint`` if left out.
    """

    model: Any
    tokenizer: Any
    objective: Objective
    train: list[np.ndarray]
    valid: list[np.ndarray]
    settings: Training
    seed: int
    loss: Callable[[Batch], torch.Tensor] | None = None
    constraint: Constraint | None = None
    stop: Callable[[float], bool] | None = None
    not_before: int = 0
    write: Callable[[Path, Facts], None] | None = None
