"""Means over items as totals per cluster, and how they move when whole clusters are resampled.

Items that share a swapped term, a target or a template are not independent; their cluster is.
So a bootstrap draws clusters, and since a mean needs only each cluster's totals, one matrix
product of multinomial weights with the totals gives every resample at once: of one model, or of all
models and variants of a suite (``resampled_together``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from stages.evidence.seeds import generator

_CELLS = 1_000_000
"""Weights held as float64 at one time."""
_DRAWN = 4_000_000
"""Clusters drawn at one time."""


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
            float64 of shape [resamples, k]; NaN where a resample drew nothing of weight.
        """
        return resampled_together([self], draws)[0]


def resampled_together(parts: Sequence[ClusterTotals], draws: np.ndarray) -> list[np.ndarray]:
    """``ClusterTotals.resampled`` of many totals over as many clusters, in one matrix product.

    A column that occurs several times (item counts, the parent of several children) is multiplied once.
    """
    columns: dict[bytes, int] = {}
    distinct: list[np.ndarray] = []

    def place(column: np.ndarray) -> int:
        key = np.ascontiguousarray(column, dtype=np.float64).tobytes()
        if key not in columns:
            columns[key] = len(distinct)
            distinct.append(column)
        return columns[key]

    places = [[(place(part.value[:, k]), place(part.weight[:, k])) for k in range(part.value.shape[1])]
              for part in parts]
    sums = weighted_sums(draws, np.column_stack(distinct)).T
    with np.errstate(invalid="ignore"):  # 0/0 where a resample drew nothing that counts (ties left out)
        return [np.stack([sums[value] / sums[weight] for value, weight in columns_of], axis=-1)
                for columns_of in places]


def weighted_sums(draws: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The product of small integers, shape [n, clusters], with float64 columns, shape [clusters, k]."""
    rows = max(1, _CELLS // draws.shape[1])
    return np.concatenate([draws[start : start + rows].astype(np.float64) @ columns
                           for start in range(0, len(draws), rows)])


def cluster_totals(
    clusters: pd.Series | np.ndarray, columns: Sequence[np.ndarray], weights: Sequence[np.ndarray] | None = None,
    *, macro: bool = False,
) -> ClusterTotals:
    """Sum per-item columns by cluster, clusters in sorted order of their labels, or of their codes.

    Args:
        clusters: Cluster label of each item, or its code (an integer from 0), shape [items].
        columns: k columns of per-item values, each of shape [items].
        weights: Per-item weights of each column; ones if left out.
        macro: The statistic is the mean over clusters of the cluster's mean (StereoSet's mean
            over terms), so that a cluster counts once however many items it has.
    """
    codes = clusters if isinstance(clusters, np.ndarray) and clusters.dtype.kind == "i" else cluster_codes(clusters)
    ones = [np.ones(len(codes))] * len(columns)

    def summed(parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.column_stack([np.bincount(codes, weights=np.asarray(part, dtype=np.float64)) for part in parts])

    value, weight = summed(columns), summed(weights or ones)
    return ClusterTotals(value / weight, np.ones_like(weight)) if macro else ClusterTotals(value, weight)


def cluster_codes(clusters: pd.Series | np.ndarray) -> np.ndarray:
    """The clusters' labels as codes from 0, in the sorted order of the labels as text."""
    codes, labels = pd.factorize(np.asarray(clusters, dtype=object))
    rank = np.empty(len(labels), dtype=np.int64)
    rank[np.argsort(np.asarray(labels, dtype=str), kind="stable")] = np.arange(len(labels))
    return np.asarray(rank[codes])


@lru_cache(maxsize=8)
def bootstrap_draws(clusters: int, resamples: int, seed: int, *names: str) -> np.ndarray:
    """How often each cluster is drawn in each resample of as many clusters as there are.

    Cached, because every model and variant of a cell meets the same clusters.

    Returns:
        uint16 of shape [resamples, clusters], read-only; rows sum to ``clusters``.
    """
    stream = generator(seed, "bootstrap", *names)
    draws = np.empty((resamples, clusters), dtype=np.uint16)
    rows = max(1, _DRAWN // clusters)
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
