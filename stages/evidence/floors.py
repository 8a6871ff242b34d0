"""What a measure says of networks that know nothing, and where a model's values lie beside that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from stages.common.errors import DataError
from stages.common.records import read_table

FLOOR_COLUMNS = {
    **dict.fromkeys(("model", "null", "dataset", "category", "metric"), "string"),
    "seed": "float64", "value": "float64",
    "draws": "float64", "mean": "float64", "sd": "float64", "low": "float64", "median": "float64", "high": "float64",
}
"""Columns of ``data/floors/<suite>/<model>.parquet``. ``null`` is ``random_init`` (a row a ``seed``, with its
``value``), ``seed`` (the same of a model's ``replicates``, trained from other seeds) or ``context_free`` (one row over
all ``draws``: ``mean``, ``sd`` and the quantiles 2.5, 50 and 97.5%)."""
CELL = ["dataset", "category", "metric"]
"""What a value is of, besides the model."""


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
    keys = ["model", *CELL]
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


def _inside(value: pd.Series, low: pd.Series, high: pd.Series) -> pd.Series:
    known = value.notna() & low.notna() & high.notna()
    return ((low <= value) & (value <= high)).astype("float64").where(known)
