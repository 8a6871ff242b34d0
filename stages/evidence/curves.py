"""Metrics of models as the measure stage wrote them: at the last checkpoint, and over training."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from stages.common.errors import DataError

CURVE_COLUMNS = ("model", "variant", "fraction", "dataset", "category", "metric", "value")


def read_metrics(suite: str, kind: Literal["models", "trajectories"], model: str, variant: str) -> Any:
    """What ``metrics/<suite>/<kind>/<model>/<variant>.json`` holds.

    Raises:
        DataError: The file is missing or no JSON.
    """
    path, fix = Path("metrics", suite, kind, model, f"{variant}.json"), measured_anew(model, variant)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=path, fix=fix) from None
    except json.JSONDecodeError as error:
        raise DataError(f"not valid JSON: {error}", where=path, fix=fix) from None


def measured_anew(model: str, variant: str) -> str:
    """What to type to have the metrics of a cell written again."""
    return f"in the suite's folder: dvc repro cells/{model}/dvc.yaml:measure@{variant}"


def read_curves(suite: str, cells: Iterable[tuple[str, str]]) -> pd.DataFrame:
    """The trajectories of models in variants, stacked: one row a checkpoint and metric, with ``CURVE_COLUMNS``.

    Raises:
        DataError: A trajectory is missing or no JSON.
    """
    rows = [row for model, variant in cells for row in read_metrics(suite, "trajectories", model, variant)]
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))
