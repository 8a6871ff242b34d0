"""Corrections of p-values over a whole grid of comparisons."""

from __future__ import annotations

import numpy as np


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values that control the expected share of false findings among all (Benjamini & Hochberg 1995).

    Args:
        p_values: One a comparison, 0 to 1, none NaN, shape [comparisons]; may be empty.

    Returns:
        Of the same shape and order; below alpha where found with that share at most alpha.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values that control the chance of any false finding, however comparisons depend (Holm 1979).

    Args:
        p_values: As for ``benjamini_hochberg``.

    Returns:
        Of the same shape and order; below alpha where found with that chance at most alpha.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return adjusted
