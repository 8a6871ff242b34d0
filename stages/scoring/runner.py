"""The interface of what runs a model over sequences, and of saying how far it got."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from stages.scoring.plan import Plan, Values

Advance = Callable[[int], None]
"""Called with the number of sequences just finished."""

Progress = Callable[[int, int], None]
"""Called with the number of distinct sequences done so far, and their total."""


def ignore(*counts: int) -> None:
    """Report no progress."""


class Runner(Protocol):
    """Something that runs a model over sequences."""

    def read(self, plan: Plan, advance: Advance) -> Values:
        """Answer every row of a plan."""

    def embed(self, sequences: list[tuple[int, ...]], advance: Advance) -> np.ndarray:
        """Mean of the last hidden state over all positions, float32 of shape [sequences, width]."""
