"""Rows of the grid: a metric of a model with its interval, and its change from the parent on the same items.

A row is prepared from items (``ask``), and many prepared rows of one dataset and category are
resampled together (``answer``), so that its clusters are drawn once for all models and variants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.evidence.intervals import Estimate, Statistic, effective_items, estimate_from, wilson
from stages.evidence.items import align
from stages.evidence.metrics import Metric
from stages.evidence.paired import equivalence, equivalence_unmoved, flips, mcnemar, minimum_detectable, sign_flips
from stages.evidence.resampling import ClusterTotals, bootstrap_draws, cluster_codes, resampled_together, sign_patterns
from stages.evidence.settings import Compare, Compared

Row = dict[str, str | float]


@dataclass(frozen=True)
class Asked:
    """A row to be: what has to be resampled for it."""

    metric: Metric
    values: np.ndarray
    """Per-item values of the model's usable items."""
    totals: ClusterTotals
    """One column."""
    paired: ClusterTotals | None = None
    """Parent and child over the items that both could score: two columns."""
    facts: Row | None = None
    """What the row says of the pair without resampling."""


def ask(metrics: Sequence[Metric], own: pd.DataFrame, parent: pd.DataFrame | None, *names: str) -> list[Asked]:
    """Prepare one row a metric; a metric of which the model has nothing to count is left out, as the measure does.

    Args:
        metrics: What to compute.
        own: Items of one dataset and category as the model scored them.
        parent: The same items as the parent scored them; a parent itself has none.
        names: Dataset and category, for error messages.

    Raises:
        DataError: Parent and child hold other items (see ``align``), or scored none in common.
    """
    usable = own[own["usable"].to_numpy(dtype=bool)]
    metrics = [metric for metric in metrics if metric.weight(usable).sum()]
    codes = cluster_codes(usable["cluster"])
    levels = [Asked(metric, metric.value(usable), metric.totals(usable, codes)) for metric in metrics]
    if parent is None:
        return levels
    before, after = align(parent, own)
    shared = codes if len(after) == len(usable) else cluster_codes(after["cluster"])
    return [replace(level, **_pair(level, before, after, shared, names)) for level in levels]


def _pair(
    level: Asked, before: pd.DataFrame, after: pd.DataFrame, codes: np.ndarray, names: tuple[str, ...]
) -> dict[str, Any]:
    """The fields of ``level`` that compare it with the parent; none where the two count in other units."""
    metric = level.metric
    if metric.unit is not None and (before[metric.unit].to_numpy() != after[metric.unit].to_numpy()).any():
        return {}
    if not metric.weight(before).sum() or not metric.weight(after).sum():
        raise DataError("parent and child have no scored item in common", where="/".join(names))
    old = metric.totals(before, codes)
    new = level.totals if len(after) == len(level.values) else metric.totals(after, codes)
    facts: Row = {"parent": float(metric.of_mean(old.means()[0])), "paired_items": len(before)}
    if metric.preference:
        more, less = flips(metric.value(before) > 50, metric.value(after) > 50)
        facts |= {"flips_more": more, "flips_less": less, "p_mcnemar": mcnemar(more, less)}
    return {"paired": ClusterTotals(np.hstack([old.value, new.value]), np.hstack([old.weight, new.weight])),
            "facts": facts}


def answer(asked: Sequence[Asked], compare: Compare, seed: int, *names: str) -> list[Row]:
    """Resample prepared rows of one dataset and category together.

    Args:
        asked: Prepared rows of any models and metrics.
        compare: Level, resamples, power and equivalence margins.
        seed: The suite's seed.
        names: Dataset and category: the name of the random streams, the same for all models.

    Returns:
        The columns of each row (``stages.evidence.table``) that describe its value and its change.
    """
    parts = [part for each in asked for part in (each.totals, each.paired) if part is not None]
    replicates = _by_clusters(parts, compare, seed, names)
    p_values = _p_values([each.paired for each in asked], compare, seed, names)
    rows = []
    for each, p_value in zip(asked, p_values, strict=True):
        row = _level(each, replicates[id(each.totals)], compare)
        if each.paired is not None and each.facts is not None:
            found = estimate_from(each.paired, _difference(each.metric), replicates[id(each.paired)],
                                  compare.confidence)
            row |= each.facts | {"p_value": p_value} | change_columns(found, compare, each.metric.name)
            if each.metric.preference and found.standard_error == found.value == 0 and "p_equivalence" in row:
                row["p_equivalence"] = equivalence_unmoved(found.clusters, compare.equivalence[each.metric.name])
        rows.append(row)
    return rows


def change(metric: Metric, parent: pd.DataFrame, child: pd.DataFrame, compare: Compare, seed: int, *names: str) -> Row:
    """``ask`` and ``answer`` for one metric of one child."""
    return answer(ask([metric], child, parent, *names), compare, seed, *names)[0]


def level_columns(found: Estimate) -> Row:
    """The columns that describe a value."""
    return {"value": found.value, "ci_low": found.low, "ci_high": found.high, "ci_method": found.method}


def change_columns(found: Estimate, compare: Compare, metric: Compared) -> Row:
    """The columns that describe a change, whatever it was estimated from."""
    row: Row = {
        "change": found.value,
        "change_low": found.low,
        "change_high": found.high,
        "change_method": found.method,
        "standard_error": found.standard_error,
        "minimum_detectable": minimum_detectable(
            found.standard_error, found.freedom, compare.alpha, compare.power
        ),
    }
    margin = compare.equivalence.get(metric)
    if margin is not None:
        row["p_equivalence"] = equivalence(found.value, found.standard_error, found.freedom, margin)
    return row


def _level(asked: Asked, replicates: np.ndarray, compare: Compare) -> Row:
    metric, totals, items = asked.metric, asked.totals, len(asked.values)
    found = estimate_from(totals, lambda means: metric.of_mean(means[..., 0]), replicates, compare.confidence)
    row: Row = {"items": items, "clusters": totals.clusters}
    if metric.preference:
        bounds = wilson(found.value / 100, items, compare.confidence)
        row["wilson_low"], row["wilson_high"] = 100 * bounds[0], 100 * bounds[1]
        row["effective_items"] = effective_items(asked.values, found.standard_error, totals.clusters)
        found = _of_percentage(found, compare.confidence)
    return row | level_columns(found)


def _difference(metric: Metric) -> Statistic:
    return lambda means: np.asarray(metric.of_mean(means[..., 1]) - metric.of_mean(means[..., 0]))


def _by_clusters(
    parts: Sequence[ClusterTotals], compare: Compare, seed: int, names: tuple[str, ...]
) -> dict[int, np.ndarray]:
    """Resampled means of every part, by its identity; models that scored other items may have other clusters."""
    found: dict[int, np.ndarray] = {}
    for clusters in sorted({part.clusters for part in parts}):
        of_size = [part for part in parts if part.clusters == clusters]
        draws = bootstrap_draws(clusters, compare.resamples, seed, *names)
        found |= zip(map(id, of_size), resampled_together(of_size, draws), strict=True)
    return found


def _p_values(
    pairs: Sequence[ClusterTotals | None], compare: Compare, seed: int, names: tuple[str, ...]
) -> list[float]:
    """Sign-flip permutation p of every pair; NaN where there is none."""
    found = np.full(len(pairs), math.nan)
    for clusters in sorted({pair.clusters for pair in pairs if pair is not None}):
        of_size = [place for place, pair in enumerate(pairs) if pair is not None and pair.clusters == clusters]
        values = [pair.value for place in of_size if (pair := pairs[place]) is not None]
        differences = np.column_stack([value[:, 1] - value[:, 0] for value in values])
        found[of_size] = sign_flips(differences, sign_patterns(clusters, compare.resamples, seed, *names))
    return [float(p) for p in found]


def _of_percentage(found: Estimate, confidence: float) -> Estimate:
    """Keep the interval of a percentage within 0 and 100, and wider than a point.

    Where no resample moves it (every item prefers the same), Wilson's interval with each cluster as one
    observation stands in.
    """
    if found.method == "constant":
        low, high = wilson(found.value / 100, found.clusters, confidence)
        return replace(found, low=100 * low, high=100 * high, method="wilson")
    if math.isnan(found.low):
        return found
    return replace(found, low=max(0.0, found.low), high=min(100.0, found.high))
