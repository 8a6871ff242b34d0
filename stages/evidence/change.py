"""Rows of the grid: a metric of a model with its interval, and its change from the parent on the same items.

A row is prepared from items (``ask``), and many prepared rows of one dataset and category are
resampled together (``answer``), so that its clusters are drawn once for all models and variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.evidence.asked import Asked, Row, ask
from stages.evidence.effective import effective_items
from stages.evidence.intervals import Estimate, Statistic, effective_clusters, estimate_from
from stages.evidence.metrics import Metric
from stages.evidence.paired import equivalence, equivalence_unmoved, minimum_detectable
from stages.evidence.resampling import ClusterTotals
from stages.evidence.settings import Compare, Compared
from stages.evidence.shares import percentage, same_change, wilson
from stages.evidence.together import permutation_p, resampled_means

_NONE = 1e-9
"""Points below which a change is none but for rounding."""


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
    replicates = resampled_means(parts, compare.resamples, seed, names)
    p_values = permutation_p([each.paired for each in asked], compare.resamples, seed, names)
    rows = []
    for each, p_value in zip(asked, p_values, strict=True):
        row = _level(each, replicates[id(each.totals)], compare)
        if each.paired is not None and each.facts is not None:
            row |= each.facts | {"p_value": p_value} | _change(each.metric, each.paired, replicates[id(each.paired)],
                                                               compare)
        rows.append(row)
    return rows


def change(metric: Metric, parent: pd.DataFrame, child: pd.DataFrame, compare: Compare, seed: int, *names: str) -> Row:
    """``ask`` and ``answer`` for one metric of one child.

    Raises:
        DataError: See ``ask``; or the child scored nothing.
    """
    asked = ask([metric], child, parent, *names)
    if not asked:
        raise DataError("the child scored no item", where="/".join(names))
    return answer(asked, compare, seed, *names)[0]


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
    metric, totals = asked.metric, asked.totals
    found = estimate_from(totals, lambda means: metric.of_mean(means[..., 0]), replicates, compare.confidence)
    row: Row = {"items": asked.items, "clusters": totals.clusters}
    effective = effective_clusters(totals.weight)
    if metric.of_items:
        row["effective_items"] = effective_items(asked.values, found.standard_error, effective)
    if metric.preference:
        bounds = wilson(found.value / 100, len(asked.values), compare.confidence)
        row["wilson_low"], row["wilson_high"] = 100 * bounds[0], 100 * bounds[1]
    if metric.percentage:
        found = percentage(found, effective, compare.confidence)
    return row | level_columns(found)


def _change(metric: Metric, paired: ClusterTotals, replicates: np.ndarray, compare: Compare) -> Row:
    found = estimate_from(paired, _difference(metric), replicates, compare.confidence)
    if not (metric.percentage and found.method == "constant"):
        return change_columns(found, compare, metric.name)
    if abs(found.value) < _NONE:
        found = replace(found, value=0.0)
    effective = effective_clusters(paired.weight)
    row = change_columns(same_change(found, effective, compare.confidence), compare, metric.name)
    margin = compare.equivalence.get(metric.name)
    if margin is None or found.value:
        return row
    return row | {"p_equivalence": equivalence_unmoved(effective, margin)}


def _difference(metric: Metric) -> Statistic:
    return lambda means: np.asarray(metric.of_mean(means[..., 1]) - metric.of_mean(means[..., 0]))
