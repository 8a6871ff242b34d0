"""How often a measure calls a bias, by how much of it was planted: false positives and power."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.evidence.calibration import LEVEL_DECIMALS, Bounds
from stages.evidence.shares import wilson


@dataclass(frozen=True)
class Detection:
    """How often a measure's interval leaves out the value of no preference."""

    share: Bounds
    """With Wilson's interval, a model and kind counted as one observation."""
    cells: int


def detected(rows: pd.DataFrame, confidence: float, floor: float = 0.0) -> Detection:
    """How often a bias is found, of either sign.

    Args:
        rows: With ``low``, ``high`` and ``neutral``; where the truth is 0, the share is that of false positives,
            elsewhere it is the power.
        confidence: Of the share's own interval.
        floor: Distance from neutral up to which nothing counts as found. An interval over items is about one model;
            1.96 standard deviations over seeds here make it about the text that the model was trained on.
    """
    found = (rows["low"] > rows["neutral"]) | (rows["high"] < rows["neutral"])
    found &= (rows["value"] - rows["neutral"]).abs() >= floor
    if not len(found):
        return Detection(Bounds(np.nan, np.nan, np.nan), 0)
    return Detection(Bounds(float(found.mean()), *wilson(float(found.mean()), len(found), confidence)), len(found))


def power(rows: pd.DataFrame, confidence: float, floor: float = 0.0) -> dict[float, Detection]:
    """``detected`` by planted log-odds, from the smallest above 0."""
    levels = rows["planted"].round(LEVEL_DECIMALS)
    return {float(level): detected(rows[levels == level], confidence, floor)
            for level in sorted(set(levels)) if level > 0}
