"""The values that the evidence table holds, of one model alone and without intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from stages.evidence.association import seat_tests
from stages.evidence.effect_sizes import Vectors, cosines
from stages.evidence.metrics import Measured
from stages.evidence.table import OVERALL

Value = tuple[str, str, float]
"""Category, metric, value."""


def item_values(rule: Measured, records: pd.DataFrame) -> Iterator[Value]:
    """Every metric of a measure, by category and of all categories together."""
    items = rule.items(records)
    items = items[items["usable"]]
    for category, chosen in by_category(items):
        for metric in rule.metrics:
            if metric.weight(chosen).sum():
                yield category, metric.name, float(metric.of_mean(metric.totals(chosen).means()[0]))


def association_values(records: pd.DataFrame, vectors: Vectors, ddof: int) -> Iterator[Value]:
    """SEAT's mean absolute effect size by category."""
    for category, tests in seat_tests(records).items():
        effects = [cosines(test, vectors).effect_sizes([np.ones((part.clusters, 1)) for part in test.sets], ddof)
                   for test in tests]
        yield category, "mean_abs_effect", float(np.abs(effects).mean())


def by_category(items: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The items of each category, then all of them."""
    for category in sorted(items["category"].unique()):
        yield category, items[items["category"] == category]
    yield OVERALL, items
