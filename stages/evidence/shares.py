"""Intervals of percentages where resampling has nothing to show: every item the same way, or none that moved."""

from __future__ import annotations

import math
from dataclasses import replace

from scipy.special import ndtri

from stages.evidence.intervals import Estimate


def wilson(share: float, count: float, confidence: float) -> tuple[float, float]:
    """Wilson's score interval (Wilson 1927).

    Args:
        share: The share found, 0 to 1.
        count: Of how many independent items; need not be whole.
        confidence: Level of the interval, e.g. 0.95.
    """
    z = float(ndtri((1 + confidence) / 2))
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def percentage(found: Estimate, effective: float, confidence: float) -> Estimate:
    """Keep the interval of a percentage within 0 and 100, and wider than a point.

    Where no resample moves it (every item prefers the same), Wilson's interval stands in.

    Args:
        found: A percentage over clusters.
        effective: ``effective_clusters``; each is taken for one observation by Wilson's interval.
        confidence: Level of the interval.
    """
    if found.method == "constant":
        low, high = wilson(min(1.0, max(0.0, found.value / 100)), effective, confidence)
        return replace(found, low=100 * low, high=100 * high, method="wilson")
    if math.isnan(found.low):
        return found
    return replace(found, low=max(0.0, found.low), high=min(100.0, found.high))


def same_change(found: Estimate, effective: float, confidence: float) -> Estimate:
    """The interval of a change of a percentage that is the same in every cluster, as where no preference moved.

    If a share h of all clusters were otherwise, none of n would be seen with probability (1 - h)^n. The interval lets
    the share of which that is alpha, one minus ``confidence``, change by as much as a percentage can, -100 or 100:
    h = 1 - alpha^(1/n); of no change at all, that is 100 h points both ways ("rule of three", Hanley &
    Lippman-Hand 1983).

    Args:
        found: The change in points, without any variation.
        effective: n, the ``effective_clusters`` of the items compared.
        confidence: Level of the interval.
    """
    value, other = found.value, 1 - (1 - confidence) ** (1 / effective)
    return replace(found, low=float(value - (100 + value) * other), high=float(value + (100 - value) * other),
                   method="unmoved")
