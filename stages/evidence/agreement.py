"""Do the measures agree? Spearman's rank correlation of every two of them over models and variants.

Descriptive: the models and variants of a suite are no sample of a population, and variants of one
model resemble each other. Intervals resample whole models where there are enough of them, and otherwise
single cells (a model in a variant), which then are too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stages.evidence.contrast import Row
from stages.evidence.intervals import FEW_CLUSTERS, Estimate, interval
from stages.evidence.resampling import bootstrap_draws
from stages.evidence.table import OVERALL, quality_rows

_FEWEST = 5
"""Cells below which no correlation is given."""
BIAS = ("score", "ss", "log_odds", "mean_abs_effect")
QUALITY = ("lm", "word_perplexity")


@dataclass(frozen=True)
class Settings:
    """How to resample."""

    resamples: int
    confidence: float
    seed: int


def agreement_rows(table: pd.DataFrame, categories: tuple[str, ...], settings: Settings) -> Iterator[Row]:
    """Correlations of the measures' values, and of their changes from the parent, by category.

    Args:
        table: The evidence table.
        categories: Besides all of them together.
        settings: How to resample.
    """
    for analysis, column in (("agreement", "value"), ("agreement_changes", "change")):
        for category in (*categories, OVERALL):
            wide = measures_by_cell(table, category, column)
            names = list(wide.columns)
            ranked: dict[tuple[str, bytes], np.ndarray] = {}
            for position, one in enumerate(names):
                for other in names[position + 1 :]:
                    both = wide[[one, other]].notna().all(axis=1).to_numpy()
                    chosen = wide[both]
                    if len(chosen) < _FEWEST or (chosen[[one, other]].nunique() < 2).any():
                        continue
                    weights, clusters = _weights(chosen.index.get_level_values("model").to_numpy(dtype=str), settings)
                    for name in (one, other):
                        key = (name, both.tobytes())
                        if key not in ranked:
                            ranked[key] = weighted_ranks(chosen[name].to_numpy(), weights)
                    found = _estimate(ranked[one, both.tobytes()], ranked[other, both.tobytes()], weights, settings)
                    dataset, _, metric = one.rpartition("/")
                    yield {"analysis": analysis, "dataset": dataset, "category": category, "metric": metric,
                           "against": other, "estimate": found.value, "low": found.low, "high": found.high,
                           "method": found.method, "items": len(chosen), "clusters": clusters}


def measures_by_cell(table: pd.DataFrame, category: str, column: str) -> pd.DataFrame:
    """One row a model and variant, one column a measure ``<dataset>/<metric>``, NaN where it was not measured.

    Quality is that of all categories together. A measure that has no value for all categories together (SEAT) has
    the mean over its categories.
    """
    quality = [quality_rows(table, "lm")]
    perplexity = table[table["metric"] == "word_perplexity"]
    quality.append(perplexity.drop_duplicates(["model", "variant", "dataset"]))
    of = table[table["metric"].isin(BIAS)]
    bias = of[of["category"] == category]
    if category == OVERALL:
        whole = set(zip(bias["dataset"], bias["metric"], strict=True))
        parts = of[[key not in whole for key in zip(of["dataset"], of["metric"], strict=True)]]
        pooled = parts.groupby(["model", "variant", "dataset", "metric"], as_index=False)[column].mean()
        bias = pd.concat([part for part in (bias, pooled) if len(part)]) if len(bias) or len(pooled) else bias
    rows = pd.concat([bias, *quality])
    rows = rows.assign(measure=rows["dataset"] + "/" + rows["metric"])
    wide = rows.pivot(index=["model", "variant"], columns="measure", values=column)
    order = {metric: position for position, metric in enumerate((*BIAS, *QUALITY))}
    names = sorted(wide.columns, key=lambda name: (order[name.rpartition("/")[2]], name))
    return wide[[name for name in names if wide[name].notna().any()]]


def weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mid-ranks of values of which each counts as often as its weight says.

    Args:
        values: Shape [n].
        weights: Shape [rows, n].

    Returns:
        float64 of shape [rows, n].
    """
    below = (values[:, None] < values).astype(np.float64)
    tied = (values[:, None] == values).astype(np.float64)
    return np.asarray(weights @ (below + 0.5 * tied) + 0.5)


def _estimate(one: np.ndarray, other: np.ndarray, weights: np.ndarray, settings: Settings) -> Estimate:
    """Weighted Pearson's correlation of ranks: of all cells, of resamples, and without each cluster."""
    total = weights.sum(axis=1, keepdims=True)
    x = one - (weights * one).sum(axis=1, keepdims=True) / total
    y = other - (weights * other).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1))
    covariance = (weights * x * y).sum(axis=1)
    rho = np.divide(covariance, spread, out=np.full_like(spread, np.nan), where=spread > 1e-9)
    replicates, jackknife = rho[1 : 1 + settings.resamples], rho[1 + settings.resamples :]
    found = interval(float(rho[0]), replicates[np.isfinite(replicates)], [jackknife[np.isfinite(jackknife)]],
                     settings.confidence)
    # Where no resample moves it (a handful of cells in the very same order), that is not certainty.
    low, high = np.clip([found.low, found.high], -1, 1) if found.method != "constant" else (np.nan, np.nan)
    return replace(found, low=float(low), high=float(high))


def _weights(of: np.ndarray, settings: Settings) -> tuple[np.ndarray, int]:
    """How often each cell counts: once; then in each resample; then without one cluster in turn.

    Args:
        of: The model of each cell, shape [cells].
        settings: How to resample.

    Returns:
        Weights of shape [1 + resamples + clusters, cells], and how many clusters there are.
    """
    models, codes = np.unique(of, return_inverse=True)
    if len(models) < FEW_CLUSTERS:
        codes = np.arange(len(of))
    clusters = int(codes.max()) + 1
    draws = bootstrap_draws(clusters, settings.resamples, settings.seed, "agreement").astype(np.float64)
    by_cluster = np.vstack([np.ones((1, clusters)), draws, 1 - np.eye(clusters)])
    return by_cluster[:, codes], clusters
