"""Is a value told from no preference?

A value is called biased if both hold:

- its interval leaves out no preference (50 of a share, 0 of log-odds), at a level at which all intervals of a dataset
  hold together, of all its categories by its share and by its log-odds (Bonferroni: of m intervals, each at
  1 - (1 - confidence) / m), for a model is asked about all of them, and one interval in twenty leaves out the truth;
- it lies outside what untrained networks of the architecture get on the same items (``inside_floor``).

SEAT's mean absolute effect has no value of no preference: without any association it is above 0 by chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.settings import Compared
from stages.evidence.table import NAMES

NEUTRAL: dict[Compared, float] = {"score": 50.0, "ss": 50.0, "log_odds": 0.0}
"""The value of no preference, by metric."""
_MEASURES = ("pair_preference", "stereotype_triples")
_ASKED = 2
"""Metrics with a value of no preference that a dataset has: its share and its log-odds."""


def with_bias(table: pd.DataFrame, cells: Sequence[Cell], grid: Grid) -> pd.DataFrame:
    """The evidence table with its column ``biased`` filled: 1 or 0, null where the rule has no answer.

    It has none for a metric without a value of no preference, without an interval (one cluster), or without a floor.

    Args:
        table: ``evidence`` of the cells, with their floors beside it (``stages.evidence.floors.with_floors``).
        cells: The cells of the table, whose items are resampled again for the wider intervals.
        grid: How the table was computed; m is twice its categories and all of them together.

    Raises:
        DataError: As ``evidence``.
    """
    compare = grid.compare
    joint = 1 - (1 - compare.confidence) / (_ASKED * (len(compare.categories) + 1))
    alone = [replace(cell, parent=None, run=replace(cell.run, measures={
        dataset: measure for dataset, measure in cell.run.measures.items() if measure in _MEASURES})) for cell in cells]
    wide = evidence(alone, replace(grid, compare=compare.model_copy(update={"confidence": joint}))).table
    bounds = wide.set_index(list(NAMES))[["ci_low", "ci_high"]]
    bounds = bounds.reindex(pd.MultiIndex.from_frame(table[list(NAMES)])).set_axis(table.index)
    neutral = table["metric"].map(NEUTRAL)
    told = (bounds["ci_low"] > neutral) | (bounds["ci_high"] < neutral)
    known = (table["kind"] == "bias") & neutral.notna() & bounds.notna().all(axis=1) & table["inside_floor"].notna()
    return table.assign(biased=(told & (table["inside_floor"] == 0)).astype("float64").where(known))
