"""Intervals from a cluster bootstrap: BCa where it is defined, percentile or Student's t otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from stages.evidence.resampling import ClusterTotals

Method = Literal["bca", "percentile", "basic", "student", "constant", "wilson", "unmoved", "none"]
Statistic = Callable[[np.ndarray], np.ndarray]
"""Maps means of shape [..., k] to a statistic of shape [...]."""

_STRONG_BIAS = 1.0
"""Bias correction (in standard normal units) beyond which BCa levels run to the ends of the replicates."""
FEW_CLUSTERS = 8
"""Below this a bootstrap has too few distinct resamples (at 3 clusters it covers 73% where 95% is asked)."""
EVEN = 2 / 3
"""Below this ratio of effective to actual clusters a bootstrap is too narrow: every resample's mean is drawn towards
the largest cluster (with the sizes of CrowS-Pairs' race pairs, one of 158 in 516, it covers 80 to 88%)."""

_MINOR = 0.1
"""Share of the variance that sets of uneven clusters may have before they decide about the interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its interval and standard error over clusters."""

    value: float
    low: float
    high: float
    """NaN, as ``low`` and ``standard_error``, where ``method`` is ``none``."""
    method: Method
    """``student``: fewer than ``FEW_CLUSTERS``, uneven ones, or a strongly biased bootstrap. ``constant``: no resample
    moves the statistic; of a percentage ``wilson``, of its change ``unmoved`` stands in (``stages.evidence.shares``).
    ``none``: one cluster, so nothing is known about the variation between clusters."""
    standard_error: float
    """Jackknife over clusters."""
    freedom: float
    """Degrees of freedom of the standard error; 0 with one cluster."""
    clusters: int


def estimate(totals: ClusterTotals, statistic: Statistic, draws: np.ndarray, confidence: float) -> Estimate:
    """Estimate a smooth function of cluster means.

    Args:
        totals: Totals of k columns per cluster.
        statistic: Function of the k means.
        draws: ``bootstrap_draws`` for as many clusters.
        confidence: Level of the interval, e.g. 0.95.
    """
    return estimate_from(totals, statistic, totals.resampled(draws), confidence)


def estimate_from(
    totals: ClusterTotals, statistic: Statistic, resampled: np.ndarray, confidence: float
) -> Estimate:
    """``estimate`` from resampled means, shape [resamples, k], as ``ClusterTotals.resampled`` gives them."""
    value = float(statistic(totals.means()[None])[0])
    with np.errstate(invalid="ignore"):  # 0/0 where a resample drew nothing that counts (ties left out)
        replicates = statistic(resampled)
        without = statistic(totals.leave_one_out())
    without = without[np.isfinite(without)]
    return interval(value, replicates[np.isfinite(replicates)], [without] if len(without) > 1 else [], confidence,
                    effective=[effective_clusters(totals.weight)] if len(without) > 1 else None)


def effective_clusters(weight: np.ndarray) -> float:
    """How many clusters of equal weight weigh as these do: (sum of w)^2 / sum of w^2 (Kish 1965).

    Args:
        weight: Shape [clusters, k]; the shares of the k columns are averaged.
    """
    shares = (weight / weight.sum(axis=0)).mean(axis=1)
    return float(shares.sum() ** 2 / np.sum(shares**2))


def interval(
    value: float, replicates: np.ndarray, jackknife: Sequence[np.ndarray], confidence: float, *, folded: bool = False,
    effective: Sequence[float] | None = None,
) -> Estimate:
    """BCa interval (Efron 1987) with levels widened for few clusters.

    Percentile where BCa is undefined. Student's t with few clusters or uneven ones (Carter, Schnepel & Steigerwald
    2017; the jackknife's error is MacKinnon, Nielsen & Webb's CV3, 2023), and where most replicates lie to
    one side of the statistic (as effect sizes' do), so that quantiles would miss it.

    A percentile interval is narrow by the factor sqrt((n-1)/n) and by the normal standing in
    for Student's t; both are put right by taking the quantiles at
    ``ndtr(-sqrt(n/(n-1)) * t)`` (Hesterberg 2015, "expanded percentile").

    Args:
        value: The statistic on the data.
        replicates: The statistic on each resample, shape [resamples].
        jackknife: For each independently resampled set of n >= 2 clusters, the statistic
            without each of them, shape [n]. Degrees of freedom are n - 1, of several sets Welch and
            Satterthwaite's. With no such set there is no interval.
        confidence: Level of the interval.
        folded: The statistic is a mean of absolute values, at least 0. Near zero, resampling adds
            noise before the fold, so that replicates lie above the statistic; the basic interval
            (the percentile one reflected) takes that bias off, and is widened to hold the statistic.
        effective: ``effective_clusters`` of each set. Where sets of uneven clusters have more than a tenth of the
            variance, they are one more than the degrees of freedom of the sets. If not given, all are taken for even.
    """
    if not jackknife:
        return Estimate(value, math.nan, math.nan, "none", math.nan, 0.0, 1)
    deviations = np.concatenate([part.mean() - part for part in jackknife])
    error, freedom, uneven = _standard_error(jackknife, effective)
    clusters = len(deviations)
    noise = 1e-9 * max(1.0, abs(value))
    if np.ptp(replicates) <= noise:
        return Estimate(value, value, value, "constant", 0.0, freedom, clusters)

    def floor(bound: float) -> float:
        return max(0.0, float(bound)) if folded else float(bound)

    t = float(stdtrit(freedom, (1 + confidence) / 2))
    if uneven or freedom + 1 < FEW_CLUSTERS:
        return Estimate(value, floor(value - t * error), value + t * error, "student", error, freedom, clusters)
    z = math.sqrt((freedom + 1) / freedom) * t * np.array([-1.0, 1.0])
    if folded and replicates.mean() > value:
        low, high = 2 * value - np.quantile(replicates, ndtr(z[::-1]))
        return Estimate(value, floor(min(value, low)), max(value, float(high)), "basic", error, freedom, clusters)
    below = float(np.mean(replicates < value - noise) + 0.5 * np.mean(np.abs(replicates - value) <= noise))
    if not ndtr(-_STRONG_BIAS) <= below <= ndtr(_STRONG_BIAS):
        half = t * max(error, float(replicates.std()))
        return Estimate(value, floor(value - half), value + half, "student", error, freedom, clusters)
    levels, method = _bca_levels(float(ndtri(below)), deviations, z)
    low, high = np.quantile(replicates, levels)
    return Estimate(value, floor(low), float(high), method, error, freedom, clusters)


def _standard_error(
    jackknife: Sequence[np.ndarray], effective: Sequence[float] | None
) -> tuple[float, float, bool]:
    """Standard error over independently resampled sets, its degrees of freedom, and whether uneven clusters decide."""
    variances = np.array([(len(part) - 1) * np.var(part) for part in jackknife])
    freedoms = np.array([len(part) - 1.0 for part in jackknife])
    uneven = False
    if effective is not None:
        sets = np.array([of < EVEN * len(part) for of, part in zip(effective, jackknife, strict=True)])
        uneven = bool(variances[sets].sum() > _MINOR * variances.sum())
        freedoms = np.maximum(1.0, np.array(effective) - 1) if uneven else freedoms
    if not variances.any():
        return 0.0, float(freedoms.min()), uneven
    return (math.sqrt(variances.sum()), float(variances.sum() ** 2 / np.sum(variances**2 / freedoms)), uneven)


def _bca_levels(bias: float, deviations: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, Method]:
    squares = float(np.sum(deviations**2))
    if squares > 0:
        acceleration = float(np.sum(deviations**3)) / (6 * squares**1.5)
        stretch = 1 - acceleration * (bias + z)
        if np.all(stretch > 0):
            return np.asarray(ndtr(bias + (bias + z) / stretch)), "bca"
    return np.asarray(ndtr(z)), "percentile"
