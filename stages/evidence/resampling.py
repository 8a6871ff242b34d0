"""Means over items as totals per cluster, and how they move when whole clusters are resampled.

Items that share a swapped term, a target or a template are not independent; their cluster is.
So a bootstrap draws clusters, and since a mean needs only each cluster's totals, one matrix
product of multinomial weights with the totals gives every resample at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from stages.evidence.seeds import generator

_CELLS = 4_000_000
"""Weights held as float64 at one time."""


@dataclass(frozen=True, slots=True)
class ClusterTotals:
    """Means of ``k`` quantities over the same clusters: ``value.sum(0) / weight.sum(0)``."""

    value: np.ndarray
    """float64 of shape [clusters, k]."""
    weight: np.ndarray
    """float64 of shape [clusters, k]; positive."""

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.value)

    def means(self) -> np.ndarray:
        """The k means, shape [k]."""
        return np.asarray(self.value.sum(axis=0) / self.weight.sum(axis=0))

    def leave_one_out(self) -> np.ndarray:
        """The means without each cluster in turn, shape [clusters, k]; needs two clusters."""
        return np.asarray(
            (self.value.sum(axis=0) - self.value) / (self.weight.sum(axis=0) - self.weight)
        )

    def resampled(self, draws: np.ndarray) -> np.ndarray:
        """The means under each row of cluster weights.

        Args:
            draws: How often each cluster was drawn, shape [resamples, clusters].

        Returns:
            float64 of shape [resamples, k].
        """
        totals = np.hstack([self.value, self.weight])
        rows = max(1, _CELLS // self.clusters)
        parts = [draws[start : start + rows].astype(np.float64) @ totals for start in range(0, len(draws), rows)]
        sums = np.concatenate(parts)
        k = self.value.shape[1]
        return np.asarray(sums[:, :k] / sums[:, k:])


def cluster_totals(
    clusters: pd.Series | np.ndarray, columns: Sequence[np.ndarray], weights: Sequence[np.ndarray] | None = None,
    *, macro: bool = False,
) -> ClusterTotals:
    """Sum per-item columns by cluster, clusters in sorted order.

    Args:
        clusters: Cluster label of each item, shape [items].
        columns: k columns of per-item values, each of shape [items].
        weights: Per-item weights of each column; ones if left out.
        macro: The statistic is the mean over clusters of the cluster's mean (StereoSet's mean
            over terms), so that a cluster counts once however many items it has.
    """
    _, codes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    ones = [np.ones(len(codes))] * len(columns)

    def summed(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.column_stack([np.bincount(codes, weights=np.asarray(part, dtype=np.float64)) for part in parts])

    value, weight = summed(columns), summed(weights or ones)
    return ClusterTotals(value / weight, np.ones_like(weight)) if macro else ClusterTotals(value, weight)


@lru_cache(maxsize=8)
def bootstrap_draws(clusters: int, resamples: int, seed: int, *names: str) -> np.ndarray:
    """How often each cluster is drawn in each resample of as many clusters as there are.

    Cached, because every model and variant of a cell meets the same clusters.

    Returns:
        uint16 of shape [resamples, clusters], read-only; rows sum to ``clusters``.
    """
    stream = generator(seed, "bootstrap", *names)
    draws = np.empty((resamples, clusters), dtype=np.uint16)
    rows = max(1, _CELLS // clusters)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = stream.integers(0, clusters, size=(count, clusters))
        drawn += np.arange(count)[:, None] * clusters
        draws[start : start + count] = np.bincount(drawn.ravel(), minlength=count * clusters).reshape(count, clusters)
    draws.flags.writeable = False
    return draws


@lru_cache(maxsize=8)
def coin_tosses(clusters: int, permutations: int, seed: int, *names: str) -> np.ndarray:
    """Independent fair coins, int8 of shape [permutations, clusters], values 0 and 1, read-only."""
    tosses = generator(seed, "coins", *names).integers(0, 2, size=(permutations, clusters), dtype=np.int8)
    tosses.flags.writeable = False
    return tosses


def sign_patterns(clusters: int, permutations: int, seed: int, *names: str) -> np.ndarray:
    """Signs that clusters' differences may take under the null: all of them if no more than asked, else a sample.

    Returns:
        int8 of shape [2**clusters or permutations, clusters], values -1 and 1.
    """
    if 2**clusters <= permutations:
        bits = ((np.arange(2**clusters)[:, None] >> np.arange(clusters)) & 1).astype(np.int8)
    else:
        bits = coin_tosses(clusters, permutations, seed, *names)
    return np.asarray(2 * bits - 1, dtype=np.int8)
