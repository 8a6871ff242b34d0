"""Bias over model size: models of one kind where there are enough of them, and all kinds together otherwise.

Size says something only where nothing else differs. Models of another architecture or another task (masked,
causal, sentence) differ in more than their size, so a trend over all of them describes the suite and tests nothing:
it has no p.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from stages.evidence.contrast import Row

PARAMETERS = "parameters"
MIXED = "all architectures together, descriptive"
"""Note of a trend over models that differ in more than their size."""
FEWEST = 3
"""Sizes below which there is no trend to speak of."""


class Size(NamedTuple):
    """How large a model is, and which models it is comparable with."""

    kind: str
    """Architecture and family, e.g. ``gpt_neox causal``."""
    parameters: float


def size_rows(bias: pd.DataFrame, sizes: Mapping[str, Size]) -> Iterator[Row]:
    """Kendall's tau-c of bias with the number of parameters.

    Args:
        bias: One variant's values of one metric over training: model, fraction, value. The last checkpoint of each
            model counts.
        sizes: Of the models; those left out have no size.

    Yields:
        A row for each kind of model that has ``FEWEST`` sizes, ``against`` it; the models are independent of each
        other, so p is Kendall's. If there is no such kind, one row over all models, with the note ``MIXED``.
    """
    last = bias[bias["model"].isin(list(sizes))].sort_values("fraction").drop_duplicates("model", keep="last")
    kinds = last["model"].map({model: size.kind for model, size in sizes.items()})
    large = last["model"].map({model: size.parameters for model, size in sizes.items()})
    points = last.assign(kind=kinds, parameters=large)
    alike = {str(kind): part for kind, part in points.groupby("kind") if part["parameters"].nunique() >= FEWEST}
    for kind, part in alike.items():
        statistic, p_value = _tau_c(part)
        yield _row(part, statistic) | {"against": f"{PARAMETERS} of {kind}", "p_value": p_value}
    if not alike and points["parameters"].nunique() >= FEWEST:
        yield _row(points, _tau_c(points)[0]) | {"against": PARAMETERS, "note": MIXED}


def _tau_c(points: pd.DataFrame) -> tuple[float, float]:
    found = kendalltau(points["parameters"].to_numpy(np.float64), points["value"].to_numpy(np.float64), variant="c")
    return float(found.statistic), float(found.pvalue)


def _row(points: pd.DataFrame, tau_c: float) -> Row:
    return {"estimate": tau_c, "items": len(points), "clusters": len(points)}
