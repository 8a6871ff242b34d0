"""One cell of the grid: a metric of a child with its interval, and its change from the parent on the same items."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.evidence.intervals import Estimate, effective_items, estimate, wilson
from stages.evidence.items import align
from stages.evidence.metrics import Metric
from stages.evidence.paired import equivalence, flips, mcnemar, minimum_detectable, sign_flip
from stages.evidence.resampling import ClusterTotals, bootstrap_draws, sign_patterns
from stages.evidence.settings import Compare, Compared

Row = dict[str, str | float]


def level(metric: Metric, items: pd.DataFrame, compare: Compare, seed: int, *names: str) -> Row:
    """A metric of one model: its value with an interval, and how much it rests on.

    Args:
        metric: What to compute.
        items: Usable items of one dataset and category, at least one.
        compare: Level and number of resamples.
        seed: The suite's seed.
        names: Dataset and category: the name of the random streams, the same for all models.
    """
    totals = metric.totals(items)
    draws = bootstrap_draws(totals.clusters, compare.resamples, seed, *names)
    found = estimate(totals, lambda means: metric.of_mean(means[..., 0]), draws, compare.confidence)
    row: Row = {"items": len(items), "clusters": totals.clusters}
    if metric.preference:
        bounds = wilson(found.value / 100, len(items), compare.confidence)
        row["wilson_low"], row["wilson_high"] = 100 * bounds[0], 100 * bounds[1]
        row["effective_items"] = effective_items(metric.value(items), found.standard_error, totals.clusters)
        found = _of_percentage(found, compare.confidence)
    return row | level_columns(found)


def change(metric: Metric, parent: pd.DataFrame, child: pd.DataFrame, compare: Compare, seed: int, *names: str) -> Row:
    """The change of a metric from parent to child over the items that both could score, and its tests.

    Args:
        metric: What to compute.
        parent: Items of one dataset and category.
        child: The same items as another model scored them.
        compare: Level, resamples, power and equivalence margins.
        seed: The suite's seed.
        names: Dataset and category.

    Raises:
        DataError: Parent and child hold other items (see ``align``), or scored none in common.
    """
    before, after = align(parent, child)
    if not metric.weight(before).sum() or not metric.weight(after).sum():
        raise DataError("parent and child have no scored item in common", where="/".join(names))
    old, new = metric.totals(before), metric.totals(after)
    both = ClusterTotals(np.hstack([old.value, new.value]), np.hstack([old.weight, new.weight]))
    draws = bootstrap_draws(both.clusters, compare.resamples, seed, *names)
    found = estimate(
        both, lambda means: np.asarray(metric.of_mean(means[..., 1]) - metric.of_mean(means[..., 0])),
        draws, compare.confidence,
    )
    signs = sign_patterns(both.clusters, compare.resamples, seed, *names)
    row: Row = {
        "parent": float(metric.of_mean(old.means()[0])),
        "paired_items": len(before),
        "p_value": sign_flip(new.value[:, 0] - old.value[:, 0], signs),
    }
    if metric.preference:
        more, less = flips(metric.value(before) > 50, metric.value(after) > 50)
        row |= {"flips_more": more, "flips_less": less, "p_mcnemar": mcnemar(more, less)}
    return row | change_columns(found, compare, metric.name)


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
            found.standard_error, found.freedom, 1 - compare.confidence, compare.power
        ),
    }
    margin = compare.equivalence.get(metric)
    if margin is not None:
        row["p_equivalence"] = equivalence(found.value, found.standard_error, found.freedom, margin)
    return row


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
