"""One module a measure: metrics from per-item records, without torch.

A module here is a measure by being here. It offers:

``Options``   typed settings of ``measures.<name>`` in params; the defaults reproduce the paper
              (arXiv 2312.05662 and the reference code it ran).
``measure(records, options, vectors, family=...)``   nested metrics: ``{category: {metric: number}}``.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from stages.common.errors import ParamsError
from stages.common.params import Family, Frozen, Params, choose, parse


class Measure(Protocol):
    """The shape of a measure module."""

    Options: type[Frozen]

    def measure(
        self, records: pd.DataFrame, options: Any, vectors: dict[str, np.ndarray] | None = None, *, family: Family
    ) -> dict[str, Any]:
        """Metrics of one dataset's records, by category; ``family`` is the family of the model that gave them."""


def names() -> list[str]:
    """Names of all measures, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def get(name: str) -> Measure:
    """The measure of that name.

    Raises:
        ParamsError: There is none; the message lists those there are.
    """
    choose(dict.fromkeys(names()), name, "measure")
    return cast(Measure, importlib.import_module(f"{__name__}.{name}"))


def check_params(params: Params, where: str) -> None:
    """Check the options of every measure in params (called by ``load_params``)."""
    for name, raw in params.measures.items():
        try:
            module = get(name)
        except ParamsError as error:
            raise ParamsError(error.what, where=f"{where}: measures") from None
        parse(module.Options, raw, f"{where}: measures.{name}")
