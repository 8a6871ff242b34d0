"""What a measure says without cause: of networks that know nothing, and of models that differ by training's noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from stages.common.errors import DataError
from stages.common.records import read_table

FLOOR_COLUMNS = {
    **dict.fromkeys(("model", "null", "dataset", "category", "metric"), "string"),
    "seed": "float64", "value": "float64",
    "draws": "float64", "mean": "float64", "sd": "float64", "low": "float64", "median": "float64", "high": "float64",
}
"""Columns of ``data/floors/<suite>/<model>.parquet``. ``null`` is ``random_init`` (a row a ``seed``, with its
``value``) or ``context_free`` (one row over all ``draws``: ``mean``, ``sd`` and the quantiles 2.5, 50 and 97.5%)."""
_CELL = ["dataset", "category", "metric"]
_ROUNDED, _UNROUNDED = "score", "score_unrounded"
"""CrowS-Pairs' percentage as the measure prints it, and before that, which is the evidence table's ``score``."""
_LEAST_EFFECT = 1e-3
"""Mean absolute effects are taken to be no smaller, so that they have a logarithm."""


class Interval(NamedTuple):
    """Where a further value is expected."""

    mean: float
    sd: float
    low: float
    high: float


def prediction_interval(values: Sequence[float] | np.ndarray, confidence: float) -> Interval:
    """Where the next of some normal values lies (Student's prediction interval).

    Args:
        values: At least two.
        confidence: Level.
    """
    n, mean, sd = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * sd * math.sqrt(1 + 1 / n)
    return Interval(mean, sd, mean - half, mean + half)


def seed_p(table: pd.DataFrame, alike: pd.DataFrame) -> np.ndarray:
    """Two-sided p of every change if the two models differed by their seed alone; NaN where there is none.

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
    with np.errstate(divide="ignore", invalid="ignore"):  # seeds that agree wholly: any change is beyond them
        return np.asarray(2 * stdtr(alike.shape[1] - 1, -change / (math.sqrt(2) * spread)))


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
                        columns=[*_CELL, "fraction", "value"])
    late = late.replace({"metric": {_UNROUNDED: _ROUNDED}}).sort_values("fraction")
    found = {}
    for cell, values in late.groupby(_CELL):
        differences = np.diff(values["value"].to_numpy(dtype=np.float64))
        if len(differences) > 1:
            t = float(stdtrit(len(differences), (1 + confidence) / 2))
            found[cell] = t * math.sqrt(np.mean(differences**2))
    index = pd.MultiIndex.from_tuples(found, names=_CELL) if found else pd.MultiIndex.from_arrays([[]] * 3, names=_CELL)
    return pd.DataFrame({"noise": list(found.values())}, index=index, dtype=np.float64)


def read_floors(folder: Path, model: str) -> pd.DataFrame:
    """The floors of one model (``FLOOR_COLUMNS``).

    Raises:
        DataError: The file is missing or malformed.
    """
    path = folder / f"{model}.parquet"
    if not path.is_file():
        raise DataError("no such file", where=path, fix=f"dvc repro floor@{model}")
    return read_table(path, list(FLOOR_COLUMNS))


def with_floors(table: pd.DataFrame, floors: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The evidence table with the null floors of each model beside its values.

    Args:
        table: The evidence table.
        floors: ``read_floors`` of all its models; a row they say nothing of stays null.
        confidence: Level of the interval over random networks.
    """
    keys = ["model", *_CELL]
    random = floors[floors["null"] == "random_init"].groupby(keys)["value"]
    found = pd.DataFrame([(*key, *prediction_interval(values.to_numpy(), confidence)) for key, values in random],
                         columns=[*keys, "floor_mean", "floor_sd", "floor_low", "floor_high"])
    null = floors[floors["null"] == "context_free"].rename(columns={"low": "null_low", "high": "null_high"})
    wide = table[keys].merge(found, on=keys, how="left").merge(null[[*keys, "null_low", "null_high"]], on=keys,
                                                              how="left").set_index(table.index)
    value = table["value"]
    bounds = {name: wide[name] for name in ("floor_low", "floor_high", "null_low", "null_high")}
    # A normal interval does not know that a mean of magnitudes cannot be negative.
    bounds["floor_low"] = bounds["floor_low"].mask(table["metric"] == "mean_abs_effect", bounds["floor_low"].clip(0))
    sds = (value - wide["floor_mean"]) / wide["floor_sd"].where(wide["floor_sd"] > 0)
    inside = {f"inside_{name}": _inside(value, bounds[f"{name}_low"], bounds[f"{name}_high"])
              for name in ("floor", "null")}
    return table.assign(**bounds, **inside, floor_sds=sds)


def with_noise(table: pd.DataFrame, noise: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The evidence table with ``checkpoint_noise`` of each model beside its children's changes."""
    found = pd.Series(np.nan, index=table.index)
    for model, bounds in noise.items():
        rows = table.index[(table["model"] == model) & table["change"].notna()]
        keys = pd.MultiIndex.from_frame(table.loc[rows, _CELL])
        found.loc[rows] = bounds["noise"].reindex(keys).to_numpy()
    return table.assign(noise=found)


def _inside(value: pd.Series, low: pd.Series, high: pd.Series) -> pd.Series:
    known = value.notna() & low.notna() & high.notna()
    return ((low <= value) & (value <= high)).astype("float64").where(known)
