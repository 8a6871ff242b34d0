"""How far models differ by the noise of training alone: between checkpoints of one run, and between seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from stages.evidence.floors import CELL
from stages.evidence.table import corrected

_ROUNDED, _UNROUNDED = "score", "score_unrounded"
"""CrowS-Pairs' percentage as the measure prints it, and before that, which is the evidence table's ``score``."""
_DECIMALS = 9
_LEAST_EFFECT = 1e-3
"""Mean absolute effects are taken to be no smaller, so that they have a logarithm."""


def checkpoint_noise(rows: Sequence[Mapping[str, Any]], confidence: float, start: float) -> pd.DataFrame:
    """How far adjacent checkpoints of one run differ, once it has learnt most of what it will.

    Args:
        rows: Metrics over training (``metrics/<suite>/trajectories``): ``dataset``, ``category``, ``metric``,
            ``fraction`` and ``value``.
        confidence: Level.
        start: Fraction of training from which checkpoints count.

    Returns:
        By dataset, category and metric (the index) ``noise``: the interval around 0 in which a further difference is
        expected, from the root mean square of the n differences and Student's t with n degrees of freedom (what
        is left of learning counts as noise). Cells with fewer than two differences are left out.
    """
    late = pd.DataFrame([row for row in rows if row["fraction"] >= start and row["metric"] != _ROUNDED],
                        columns=[*CELL, "fraction", "value"])
    late = late.replace({"metric": {_UNROUNDED: _ROUNDED}}).sort_values("fraction")
    found = {}
    for cell, values in late.groupby(CELL):
        differences = np.diff(values["value"].to_numpy(dtype=np.float64))
        if len(differences) > 1:
            t = float(stdtrit(len(differences), (1 + confidence) / 2))
            found[cell] = t * math.sqrt(np.mean(differences**2))
    index = pd.MultiIndex.from_tuples(found, names=CELL) if found else pd.MultiIndex.from_arrays([[]] * 3, names=CELL)
    return pd.DataFrame({"noise": list(found.values())}, index=index, dtype=np.float64)


def with_noise(table: pd.DataFrame, noise: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The evidence table with ``checkpoint_noise`` of each model beside its children's changes."""
    found = pd.Series(np.nan, index=table.index)
    for model, bounds in noise.items():
        rows = table.index[(table["model"] == model) & table["change"].notna()]
        keys = pd.MultiIndex.from_frame(table.loc[rows, CELL])
        found.loc[rows] = bounds["noise"].reindex(keys).to_numpy()
    return table.assign(noise=found)


def seed_p(table: pd.DataFrame, alike: pd.DataFrame) -> np.ndarray:
    """Two-sided p of every change if the two models differed by their seed alone.

    NaN where there is no change, or the seeds do not differ at all and it does.

    Student's t of the change over the spread of the seeds, times sqrt(2), since both models were trained.
    A mean of absolute effects is positive and spreads by factors over seeds, so it is taken on the log scale.

    Args:
        table: Rows with ``value`` and ``parent``.
        alike: The values of further models for each of the rows, a column a model.
    """
    factors = (table["metric"] == "mean_abs_effect").to_numpy()

    def scaled(values: np.ndarray) -> np.ndarray:
        logs = np.log(np.maximum(values, _LEAST_EFFECT))
        return np.where(factors if values.ndim == 1 else factors[:, None], logs, values)

    spread = scaled(alike.to_numpy()).std(axis=1, ddof=1)
    change = np.abs(scaled(table["value"].to_numpy()) - scaled(table["parent"].to_numpy()))
    with np.errstate(divide="ignore", invalid="ignore"):
        p_values = 2 * stdtr(alike.shape[1] - 1, -change / (math.sqrt(2) * spread))
    # A few seeds may agree by chance, for scores are counts: then nothing is known of what a seed changes.
    return np.where(spread == 0, np.where(change == 0, 1.0, np.nan), p_values)


def with_seed_noise(table: pd.DataFrame, floors: pd.DataFrame) -> pd.DataFrame:
    """The evidence table with ``p_seed`` of the children of every model that has replicates, and corrected anew.

    The models alike of a child are its parent and the parent's replicates. The parent is one side of the change as
    well, which makes the test stricter: where it stands apart, it widens the spread, too.

    Args:
        table: The evidence table.
        floors: ``stages.evidence.floors.read_floors`` of all its models; ``p_seed`` stays null of a model without
            replicates.
    """
    found = pd.Series(np.nan, index=table.index)
    for model, rows in floors[floors["null"] == "seed"].groupby("model"):
        others = rows.pivot(index=CELL, columns="seed", values="value")
        children = table[(table["model"] == model) & (table["kind"] == "bias") & table["change"].notna()]
        replicates = others.reindex(pd.MultiIndex.from_frame(children[CELL])).set_axis(children.index)
        found.loc[children.index] = seed_p(children, replicates.assign(parent=children["parent"])).round(_DECIMALS)
    return corrected(table.assign(p_seed=found))
