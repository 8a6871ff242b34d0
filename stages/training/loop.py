"""Training a language model: AdamW, linear warm-up and decay, checkpoints, the same bytes every time.

Every random choice of a step comes from the seed and the step's number alone, so training goes on
from the last checkpoint after a kill exactly as if it had never stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.common.errors import ModelError
from stages.common.files import atomic_folder
from stages.common.params import Training
from stages.training.given import Facts, Run
from stages.training.heap import keep_freed_memory
from stages.training.held_out import held_out_loss, precision
from stages.training.objectives import Batch, loss_function
from stages.training.progress import Progress
from stages.training.state import load_state, save_state

__all__ = ["Run", "learning_rate", "save_checkpoint", "train"]

CLIP = 1.0
"""Largest gradient norm; larger gradients are scaled down to it."""
BETAS = (0.9, 0.999)
_ORDER, _BATCH = 0, 1  # the uses of randomness, each an own stream; 2 is held-out text's


def train(run: Run, work: Path) -> Facts:
    """Train, leaving one folder ``work/pNNN`` a checkpoint.

    Checkpoints found in ``work`` are those of an earlier, interrupted call for the same run.

    Returns:
        The facts of the last checkpoint.

    Raises:
        ModelError: The loss is no finite number; the message names the step.
    """
    keep_freed_memory()
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
                if run.stop is not None and step >= run.not_before and run.stop(facts["heldout_loss"]):
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
    with precision(run.settings):
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


def save_checkpoint(run: Run, folder: Path, facts: Facts) -> None:
    """Write a checkpoint as a model folder: model, tokenizer, ``checkpoint.json``."""
    with atomic_folder(folder) as temporary:
        run.model.save_pretrained(temporary)
        run.tokenizer.save_pretrained(temporary)
        (temporary / "checkpoint.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
