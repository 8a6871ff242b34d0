"""Whether compression takes a planted association away, or only the model's confidence."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from stages.evidence.calibration import Bounds

Verdict = Literal["kept", "shrunk with confidence", "shrunk beyond confidence", "grown", "undecided"]

KEPT = 0.05
"""An association whose interval lies within this share of the parent's is taken for kept."""
BEYOND = 0.1
"""An association that shrinks by this share more than the margin of meaning does is more than lost confidence."""


def retention_rows(parent: pd.DataFrame, child: pd.DataFrame) -> pd.DataFrame:
    """Compare a variant's margins with its parent's on the same items, by category.

    Args:
        parent: Of ``stages.evidence.planted.margins``.
        child: The same items of the variant.

    Returns:
        One row a category: ``correlation`` of the margins, NaN where one side does not vary; ``scale``, the
        least-squares factor through 0 that turns the parent's margins into the child's; ``meaning``, the same of the
        margins by which sentences that make sense are preferred, NaN without such; ``flips``, the share of items
        whose margin changed sign; ``entropy``, the change of the mean entropy (nats).
    """
    child = child.reindex(parent.index)
    rows = []
    for category, before in parent.groupby("category", sort=True):
        after = child.loc[before.index]
        old, new = before["margin"].to_numpy(), after["margin"].to_numpy()
        varied = np.ptp(old) > 0 and np.ptp(new) > 0
        rows.append({
            "category": str(category),
            "correlation": float(np.corrcoef(old, new)[0, 1]) if varied else np.nan,
            "scale": _factor(old, new),
            "meaning": _factor(before["meaning"].to_numpy(), after["meaning"].to_numpy()),
            "flips": float(np.mean(np.sign(old) != np.sign(new))),
            "entropy": float(after["entropy"].mean() - before["entropy"].mean()),
        })
    return pd.DataFrame(rows)


def verdict(association: Bounds, meaning: float) -> Verdict:
    """Say what became of an association, as far as its interval allows.

    Args:
        association: Slope of the variant's measured log-odds on its parent's.
        meaning: ``meaning`` of ``retention_rows``: what became of the model's confidence in what has nothing to do
            with the groups.
    """
    if association.low >= 1 - KEPT and association.high <= 1 + KEPT:
        return "kept"
    if association.low > 1:
        return "grown"
    if association.high < 1:
        return "shrunk beyond confidence" if association.value < meaning - BEYOND else "shrunk with confidence"
    return "undecided"


def _factor(old: np.ndarray, new: np.ndarray) -> float:
    squares = float(np.sum(old * old))
    return float(np.sum(old * new)) / squares if squares > 0 and np.isfinite(new).all() else np.nan
