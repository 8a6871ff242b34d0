"""Training a language model: AdamW, linear warm-up and decay, checkpoints, the same bytes every time.

Every random choice of a step comes from the seed and the step's number alone, so training goes on
from the last checkpoint after a kill exactly as if it had never stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from stages.common.errors import ModelError
from stages.common.files import atomic_folder
from stages.common.params import Training
from stages.training.objectives import Batch, Objective, loss_function
from stages.training.progress import Progress
from stages.training.state import load_state, save_state

CLIP = 1.0
"""Largest gradient norm; larger gradients are scaled down to it."""
BETAS = (0.9, 0.999)
HELD_OUT_SEQUENCES = 256
"""Sequences of the validation split that a checkpoint's held-out loss is taken over."""
_ORDER, _BATCH, _HELD_OUT = 0, 1, 2  # the uses of randomness, each an own stream


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
    write: Callable[[Path, Facts], None] | None = None


def train(run: Run, work: Path) -> Facts:
    """Train, leaving one folder ``work/pNNN`` a checkpoint.

    Checkpoints found in ``work`` are those of an earlier, interrupted call for the same run.

    Returns:
        The facts of the last checkpoint.

    Raises:
        ModelError: The loss is no finite number; the message names the step.
    """
    optimizer = _optimizer(run.model, run.settings)
    compute_loss = run.loss or loss_function(run.model)
    write = run.write or (lambda folder, facts: save_checkpoint(run, folder, facts))
    due = _checkpoint_steps(run.settings)
    facts = load_state(work, run.model, optimizer) or {"step": 0, "tokens_seen": 0}
    step, tokens = facts["step"], facts["tokens_seen"]
    with torch.random.fork_rng(devices=[]), Progress("training", run.settings.steps, start=step) as progress:
        while step < run.settings.steps and "stopped" not in facts:
            batch = _batch(run, step)
            torch.manual_seed(run.seed * 1_000_003 + step)  # dropout has no generator of its own
            loss = _update(run, compute_loss, optimizer, batch, step)
            step, tokens = step + 1, tokens + batch.tokens
            progress.advance(f"loss {loss:.3f}")
            if step in due:
                facts = {"step": step, "tokens_seen": tokens, "heldout_loss": round(held_out_loss(run, step), 6)}
                if run.stop is not None and run.stop(facts["heldout_loss"]):
                    facts["stopped"] = True
                for percent in due[step]:
                    facts["fraction"] = percent / 100
                    write(work / f"p{percent:03d}", facts)
                save_state(work, run.model, optimizer, facts)
    run.model.eval()
    return facts


def _checkpoint_steps(settings: Training) -> dict[int, list[int]]:
    """Percentages due after each step; several share a step in a very short training."""
    due: dict[int, list[int]] = {}
    for percent in settings.checkpoints:
        due.setdefault(max(1, round(settings.steps * percent / 100)), []).append(percent)
    return due


def _optimizer(model: Any, settings: Training) -> torch.optim.Optimizer:
    # Biases and layer norms are not decayed, as in BERT and GPT-NeoX.
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS, fused=True)


def learning_rate(settings: Training, step: int) -> float:
    """Rate of a step (from 0): rises linearly over the warm-up, then falls linearly towards 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    return settings.learning_rate * (settings.steps - step) / (settings.steps - settings.warmup_steps)


def _batch(run: Run, step: int) -> Batch:
    size, count = run.settings.batch_size, len(run.train)
    places = (divmod(place, count) for place in range(step * size, (step + 1) * size))
    rows = [run.train[_order(run.seed, epoch, count)[index]] for epoch, index in places]
    return run.objective.batch(rows, np.random.default_rng([run.seed, _BATCH, step]))


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(count)


def _update(run: Run, compute_loss: Callable[[Batch], torch.Tensor], optimizer: torch.optim.Optimizer,
            batch: Batch, step: int) -> float:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(run.settings, step)
    if run.constraint is not None:
        run.constraint.before(step)
    run.model.train()
    with _precision(run.settings):
        loss = compute_loss(batch)
    if not torch.isfinite(loss):
        raise ModelError(f"the loss is {loss.item()} at step {step + 1}", where="training",
                         fix="lower learning_rate, raise warmup_steps, or use autocast: float32")
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), CLIP)
    optimizer.step()
    if run.constraint is not None:
        run.constraint.after()
    return float(loss.item())


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
    with torch.no_grad(), _precision(run.settings):
        for start in range(0, len(rows), size):
            batch = run.objective.batch(rows[start : start + size], draw)
            if len(batch.reads):  # a sequence of one token leaves a causal model nothing to predict
                total += compute_loss(batch).item() * len(batch.reads)
                reads += len(batch.reads)
    if not reads or not math.isfinite(total):
        raise ModelError(f"the held-out loss is {total} over {reads} tokens at step {step}", where="training",
                         fix="lower learning_rate, or give the corpus' validation split longer texts")
    return total / reads


def _precision(settings: Training) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=settings.autocast == "bfloat16")


def save_checkpoint(run: Run, folder: Path, facts: Facts) -> None:
    """Write a checkpoint as a model folder: model, tokenizer, ``checkpoint.json``."""
    with atomic_folder(folder) as temporary:
        run.model.save_pretrained(temporary)
        run.tokenizer.save_pretrained(temporary)
        (temporary / "checkpoint.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
