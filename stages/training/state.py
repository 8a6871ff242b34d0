"""The state of an interrupted training: weights and optimizer moments, in one file that is whole or absent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from stages.common.files import atomic_path

STATE = "state.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_state(work: Path, model: Any, optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> None:
    """Write what training needs to go on from here; ``facts`` has the number of steps done under ``step``."""
    tensors = {f"{kind}:{name}": tensor for kind, name, tensor in _tensors(model, optimizer)}
    with atomic_path(work / STATE) as temporary:
        save_file(tensors, temporary, metadata={"facts": json.dumps(facts, sort_keys=True)})


def load_state(work: Path, model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Put a saved state back into a model and its AdamW optimizer.

    Returns:
        The facts saved with it; None where there is no saved state.
    """
    path = work / STATE
    if not path.is_file():
        return None
    with safe_open(path, "pt") as stored:
        facts: dict[str, Any] = json.loads(stored.metadata()["facts"])
        for parameter in model.parameters():
            optimizer.state[parameter] = {
                "step": torch.tensor(float(facts["step"])),
                **{moment: torch.empty_like(parameter) for moment in _MOMENTS},
            }
        with torch.no_grad():
            for kind, name, tensor in _tensors(model, optimizer):
                tensor.copy_(stored.get_tensor(f"{kind}:{name}"))
    return facts


def _tensors(model: Any, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, str, torch.Tensor]]:
    for name, parameter in model.named_parameters():
        yield "weight", name, parameter.detach()
        for moment in _MOMENTS:
            yield moment, name, optimizer.state[parameter][moment]
