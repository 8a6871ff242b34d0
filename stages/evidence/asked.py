"""Rows of the grid before anything is resampled: what must be known of a model's items and of its parent's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stages.evidence.items import align
from stages.evidence.metrics import Metric
from stages.evidence.pairing import flip_facts, paired_totals, refuse_ties_alone
from stages.evidence.resampling import ClusterTotals, cluster_codes

Row = dict[str, str | float]


@dataclass(frozen=True)
class Asked:
    """A row to be: what has to be resampled for it."""

    metric: Metric
    items: int
    """Usable items of the model."""
    values: np.ndarray
    """Per-item values of those that count: all, unless ties are left out."""
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
        DataError: Parent and child hold other items (see ``align``), scored none in common, or one side's are all
            ties where ties are left out.
    """
    usable = own[own["usable"].to_numpy(dtype=bool)]
    if parent is not None and len(usable):
        for metric in metrics:
            refuse_ties_alone(metric, usable, "child", names)
    counted = [(metric, metric.counts(usable)) for metric in metrics]
    codes = cluster_codes(usable["cluster"])
    levels = [Asked(metric, len(usable), metric.value(usable)[counts], metric.totals(usable, codes))
              for metric, counts in counted if counts.any()]
    if parent is None:
        return levels
    before, after = align(parent, own)
    shared = codes if len(after) == len(usable) else cluster_codes(after["cluster"])
    return [_beside(level, before, after, shared, names) for level in levels]


def _beside(
    level: Asked, before: pd.DataFrame, after: pd.DataFrame, codes: np.ndarray, names: tuple[str, ...]
) -> Asked:
    """``level`` with what compares it with the parent; as it is where the two count in other units."""
    metric = level.metric
    paired = paired_totals(metric, before, after, codes, names, level.totals if len(after) == level.items else None)
    if paired is None:
        return level
    facts: Row = {"parent": float(metric.of_mean(paired.means()[0])), "paired_items": len(before)}
    if metric.preference:
        facts |= flip_facts(metric, before, after)
    return replace(level, paired=paired, facts=facts)
