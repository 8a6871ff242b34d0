"""Embeddings: the mean of a model's last hidden state over the tokens of each sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from stages.common.errors import ModelError


def last_hidden_state(model: Any, **inputs: Any) -> torch.Tensor:
    """What a model's head, if it has one, is given: float tensor of shape [batch, tokens, width].

    Args:
        model: A transformers model, with or without a language-model head.
        inputs: What its forward pass takes.

    Raises:
        ModelError: The model gives no hidden states.
    """
    base = model.base_model
    # An architecture that does not name its base model is its own, head included.
    headed = base is model and model.get_output_embeddings() is not None
    outputs = base(**inputs, **({"output_hidden_states": True} if headed else {}))
    found = getattr(outputs, "last_hidden_state", None)
    if found is None:
        found = (getattr(outputs, "hidden_states", None) or [None])[-1]
    if found is None:
        raise ModelError(f"architecture {model.config.model_type!r} gives no hidden states",
                         fix="score texts with it, or embed them with another model")
    return found


class Means:
    """Means over the tokens of sequences, filled some sequences at a time.

    Args:
        model: Whose hidden states they are.
        count: Number of sequences.
    """

    def __init__(self, model: Any, count: int) -> None:
        self._config, self._count = model.config, count
        self._vectors: np.ndarray | None = None

    def put(self, members: list[int] | np.ndarray, states: torch.Tensor) -> None:
        """Store the means of some sequences.

        Args:
            members: Which sequences, [members].
            states: [members, length, width].
        """
        means = states.mean(dim=1).float().cpu().numpy()
        if self._vectors is None:  # a model may project its last state to another width than its config's
            self._vectors = np.empty((self._count, means.shape[1]), dtype=np.float32)
        self._vectors[members] = means

    def vectors(self) -> np.ndarray:
        """All means, float32 of shape [sequences, width]."""
        if self._vectors is None:
            return np.empty((0, getattr(self._config, "hidden_size", 0)), dtype=np.float32)
        return self._vectors
