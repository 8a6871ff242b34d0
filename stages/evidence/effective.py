"""How many independent items clustered ones are worth."""

from __future__ import annotations

import math

import numpy as np


def effective_items(values: np.ndarray, standard_error: float, effective: float) -> float:
    """How many independent items would give the mean the standard error that clusters give it.

    The item count divided by the design effect (Kish 1965), at most the item count. Where every item
    has the same value a design effect cannot be estimated, and the effective clusters stand in.

    Args:
        values: Per-item values, shape [items].
        standard_error: Of their mean, over clusters; NaN with one cluster.
        effective: ``stages.evidence.intervals.effective_clusters``.
    """
    variance = float(np.var(values, ddof=1)) if len(values) > 1 else 0.0
    if variance == 0 or not math.isfinite(standard_error):
        return effective
    return min(float(len(values)), variance / standard_error**2) if standard_error > 0 else float(len(values))
