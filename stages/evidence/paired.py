"""Tests of a change on the same items: the parent and the child answer the same questions."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import bdtr, stdtr, stdtrit

from stages.evidence.resampling import ClusterTotals, weighted_sums


def flips(parent: np.ndarray, child: np.ndarray) -> tuple[int, int]:
    """How many items came to be counted as stereotypical, and how many ceased to be.

    Args:
        parent: Whether the parent prefers the stereotype, per item.
        child: The same of the child, on the same items.
    """
    parent, child = np.asarray(parent, dtype=bool), np.asarray(child, dtype=bool)
    return int(np.sum(child & ~parent)), int(np.sum(parent & ~child))


def mcnemar(more: int, less: int) -> float:
    """Exact two-sided p of McNemar (1947): flips go either way with probability one half; 1 if nothing flipped.

    It takes items as independent; see ``sign_flip`` for the test that respects clusters.

    Args:
        more: Items that came to be counted as stereotypical.
        less: Items that ceased to be.
    """
    return min(1.0, 2 * float(bdtr(min(more, less), more + less, 0.5))) if more + less else 1.0


def contributions(pair: ClusterTotals) -> np.ndarray:
    """What each cluster adds to the change of a mean, shape [clusters]; they sum to the change.

    The mean is a ratio V / W of totals, and where ties are left out W is chance too, other for parent and child. So
    a cluster's part is linearised: (v - r w) / W of the child less that of the parent, with r the ratio of both
    together, which they share if nothing changed (the ratio estimator's linearisation, Cochran 1977). Where parent
    and child weigh the same, it is the plain difference of their totals.

    Args:
        pair: Totals of parent and child, two columns.
    """
    value, weight = pair.value / pair.weight.sum(axis=0), pair.weight / pair.weight.sum(axis=0)
    ratio = pair.value.sum() / pair.weight.sum()
    parts = value[:, 1] - value[:, 0] - ratio * (weight[:, 1] - weight[:, 0])
    # What is rounding alone is nothing: where all that counts prefers the same, it would be all there is to permute.
    scale = np.abs(value).sum(axis=1) + abs(ratio) * weight.sum(axis=1)
    return np.where(np.abs(parts) <= 1e-12 * scale, 0.0, parts)


def sign_flip(differences: np.ndarray, signs: np.ndarray) -> float:
    """Two-sided permutation p of clustered differences: under no change each cluster's sign is a coin toss.

    Args:
        differences: ``contributions`` of clusters, or any numbers symmetric about 0 under no change, shape [clusters].
        signs: ``sign_patterns`` for as many clusters, shape [permutations, clusters].

    Returns:
        The share of sign patterns that are more extreme, with the observed one (in a sampled set counted in) and its
        mirror image, and half of those that tie with it: flips are whole numbers, and with all ties counted the
        test would find changes of a share with less power than the minimum detectable change is named for
        (mid-p, Lancaster 1961). 1 where the total is zero.
    """
    return float(sign_flips(np.asarray(differences, dtype=np.float64)[:, None], signs)[0])


def sign_flips(differences: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """``sign_flip`` of many comparisons over the same clusters at once: shape [clusters, n] gives [n]."""
    noise = 1e-9 * np.abs(differences).sum(axis=0)
    observed = np.abs(differences.sum(axis=0))
    beyond = np.abs(weighted_sums(signs, differences)) - observed
    more, tied = np.sum(beyond > noise, axis=0), np.sum(np.abs(beyond) <= noise, axis=0)
    exact = len(signs) == 2 ** len(differences)
    found = (more + 2 + (tied - 2) / 2) / len(signs) if exact else (1 + more + tied / 2) / (1 + len(signs))
    return np.where(observed <= noise, 1.0, found)


def equivalence(change: float, standard_error: float, freedom: float, margin: float) -> float:
    """TOST (Schuirmann 1987): the larger p of the two one-sided t tests that the change lies outside ``+-margin``.

    NaN with fewer than two clusters; 0 or 1 where the change has no variation at all.

    Args:
        change: The change found.
        standard_error: Of the change, over clusters.
        freedom: Degrees of freedom of the standard error.
        margin: The change that is taken for none, above 0, in the unit of the change.
    """
    if not math.isfinite(standard_error):
        return math.nan
    if standard_error == 0:
        return 0.0 if abs(change) < margin else 1.0
    return float(stdtr(freedom, (abs(change) - margin) / standard_error))


def equivalence_unmoved(clusters: float, margin: float) -> float:
    """The p of equivalence where no preference changed: how likely a change by the margin would have stayed unseen.

    If the true change were ``margin`` points, at least that share of clusters would have an item that flips. It is
    below alpha where the interval of ``stages.evidence.shares.same_change`` lies within the margin.

    Args:
        clusters: How many clusters of equal weight the items compared are worth (``effective_clusters``).
        margin: The change that is taken for none, in points.
    """
    return float((1 - min(margin, 100.0) / 100) ** clusters)


def minimum_detectable(standard_error: float, freedom: float, alpha: float, power: float) -> float:
    """The true change that a two-sided test at ``alpha`` would find with probability ``power``.

    NaN where no variation was seen, so that nothing is known of the power. It is of one test alone: ``alpha`` is not
    corrected for the other comparisons of the grid, and to be found after correction a change must be larger.

    Args:
        standard_error: Of the change, over clusters; the result has its unit.
        freedom: Degrees of freedom of the standard error.
        alpha: Level of the test, 0 to 1.
        power: Probability of a finding, 0 to 1.
    """
    if not standard_error > 0:
        return math.nan
    return standard_error * float(stdtrit(freedom, 1 - alpha / 2) + stdtrit(freedom, power))
