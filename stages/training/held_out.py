"""How well a model predicts text that it is not trained on."""

from __future__ import annotations

import math

import numpy as np
import torch

from stages.common.errors import ModelError
from stages.common.params import Training
from stages.training.given import Run
from stages.training.objectives import loss_function

HELD_OUT_SEQUENCES = 256
"""Sequences of the validation split that a checkpoint's held-out loss is taken over."""
_HELD_OUT = 2  # beside the streams of randomness of ``stages.training.loop``


def held_out_loss(run: Run, step: int) -> float:
    """Mean cross-entropy (nats) over the first held-out sequences, the same masks for every model and checkpoint.

    Raises:
        ModelError: It is no finite number, or there is nothing to predict.
    """
    compute_loss = loss_function(run.model)
    draw = np.random.default_rng([run.seed, _HELD_OUT])
    rows, size = run.valid[:HELD_OUT_SEQUENCES], run.settings.batch_size
    total, reads = 0.0, 0
    run.model.eval()
    with torch.no_grad(), precision(run.settings):
        for start in range(0, len(rows), size):
            batch = run.objective.batch(rows[start : start + size], draw)
            if len(batch.reads):  # a sequence of one token leaves a causal model nothing to predict
                total += compute_loss(batch).item() * len(batch.reads)
                reads += len(batch.reads)
    if not reads or not math.isfinite(total):
        raise ModelError(f"the held-out loss is {total} over {reads} tokens at step {step}", where="training",
                         fix="lower learning_rate, or give the corpus' validation split longer texts")
    return total / reads


def precision(settings: Training) -> torch.autocast:
    """What the forward passes of a training compute in."""
    return torch.autocast("cpu", torch.bfloat16, enabled=settings.autocast == "bfloat16")
