"""A metric of parent and child over the items that both could score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.evidence.metrics import Metric
from stages.evidence.paired import flips, mcnemar
from stages.evidence.resampling import ClusterTotals


def paired_totals(
    metric: Metric, before: pd.DataFrame, after: pd.DataFrame, codes: np.ndarray, names: Sequence[str],
    known: ClusterTotals | None = None,
) -> ClusterTotals | None:
    """Totals of parent and child, two columns; ``None`` where the two count in other units.

    Args:
        metric: What to compute.
        before: The parent's items, of ``stages.evidence.items.align``.
        after: The child's.
        codes: Their ``cluster_codes``.
        names: Dataset and category, for error messages.
        known: The child's totals, where all its items are compared.

    Raises:
        DataError: The two scored no item in common, or one side's are all ties where ties are left out.
    """
    if metric.unit is not None and (before[metric.unit].to_numpy() != after[metric.unit].to_numpy()).any():
        return None
    if not len(before):
        raise DataError("parent and child have no scored item in common", where="/".join(names))
    refuse_ties_alone(metric, before, "parent", names)
    refuse_ties_alone(metric, after, "child", names)
    old, new = metric.totals(before, codes), known or metric.totals(after, codes)
    return ClusterTotals(np.hstack([old.value, new.value]), np.hstack([old.weight, new.weight]))


def flip_facts(metric: Metric, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, float]:
    """``flips_more``, ``flips_less`` and ``p_mcnemar`` of a preference, over the items that count on both sides.

    Where ties are left out, an item that is a tie on one side shows no preference that could have flipped.
    """
    both = metric.counts(before) & metric.counts(after)
    more, less = flips(metric.value(before)[both] > 50, metric.value(after)[both] > 50)
    return {"flips_more": more, "flips_less": less, "p_mcnemar": mcnemar(more, less)}


def refuse_ties_alone(metric: Metric, items: pd.DataFrame, side: str, names: Sequence[str]) -> None:
    """Check that a metric of some items has anything to count.

    Raises:
        DataError: All are ties, and ties are left out; dataset and category are named.
    """
    if not metric.counts(items).any():
        raise DataError(f"{metric.name} has nothing to count: all {len(items)} items are ties in the {side}, and ties "
                        "are left out", where="/".join(names), fix="count ties as half or as no stereotype")
