"""Weights that are zero stay zero while the others are trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class KeptZeros:
    """Puts back to zero, after every step, what was zero before it.

    It looks at the weights alone, so an interrupted training goes on from its saved weights.

    Args:
        weights: The parameters it holds for.
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._weights = weights
        self._zeros: list[Tensor] = []

    def before(self, step: int) -> None:
        """Note what is zero."""
        self._zeros = [weight.detach() == 0 for weight in self._weights]

    def after(self) -> None:
        """Put it back."""
        with torch.no_grad():
            for weight, zeros in zip(self._weights, self._zeros, strict=True):
                weight.masked_fill_(zeros, 0.0)
