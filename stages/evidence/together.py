"""Rows of one dataset and category resampled and permuted together, so that clusters are drawn once for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from stages.evidence.paired import contributions, sign_flips
from stages.evidence.resampling import ClusterTotals, bootstrap_draws, resampled_together, sign_patterns


def resampled_means(
    parts: Sequence[ClusterTotals], resamples: int, seed: int, names: Sequence[str]
) -> dict[int, np.ndarray]:
    """Resampled means of every part, shape [resamples, k], by the part's identity (``id``).

    Args:
        parts: Totals of any models and metrics; models that scored other items may have other clusters.
        resamples: How many.
        seed: The suite's seed.
        names: Dataset and category, the name of the random stream.
    """
    found: dict[int, np.ndarray] = {}
    for clusters in sorted({part.clusters for part in parts}):
        of_size = [part for part in parts if part.clusters == clusters]
        draws = bootstrap_draws(clusters, resamples, seed, *names)
        found |= zip(map(id, of_size), resampled_together(of_size, draws), strict=True)
    return found


def permutation_p(
    pairs: Sequence[ClusterTotals | None], permutations: int, seed: int, names: Sequence[str]
) -> list[float]:
    """Two-sided p of the change in every pair by ``sign_flips``; NaN where there is no pair.

    Args:
        pairs: Totals of parent and child, two columns each.
        permutations: How many sign patterns, at most.
        seed: The suite's seed.
        names: Dataset and category, the name of the random stream.
    """
    found = np.full(len(pairs), math.nan)
    for clusters in sorted({pair.clusters for pair in pairs if pair is not None}):
        of_size = [place for place, pair in enumerate(pairs) if pair is not None and pair.clusters == clusters]
        moved = np.column_stack([contributions(pair) for place in of_size if (pair := pairs[place]) is not None])
        found[of_size] = sign_flips(moved, sign_patterns(clusters, permutations, seed, *names))
    return [float(p) for p in found]
