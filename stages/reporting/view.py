"""The evidence and the contrasts, as tables and figures look things up in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from stages.evidence.table import OVERALL, quality_rows, worst_moving

Row = Mapping[Any, Any]
_FEW = 4
"""Compressed variants that tables and figures have room for in every detail."""


@dataclass(frozen=True)
class Order:
    """The order of everything, from params, and the level of tests."""

    models: Sequence[str]
    variants: Sequence[str]
    baseline: str
    categories: Sequence[str]
    alpha: float
    families: Mapping[str, str]
    """Of each variant the kind of its method (``stages.reporting.families``)."""


@dataclass(frozen=True, eq=False)
class View:
    """What a suite's report is made of."""

    table: pd.DataFrame
    """The evidence table."""
    contrasts: pd.DataFrame
    """The contrast table."""
    bins: pd.DataFrame
    """Flips by the parent's entropy (``stages.evidence.entropy``)."""
    order: Order

    @cached_property
    def _rows(self) -> dict[tuple[str, ...], Row]:
        keys = ["model", "variant", "dataset", "category", "metric"]
        return {tuple(row[key] for key in keys): row for row in self.table.to_dict("records")}

    @cached_property
    def _contrasts(self) -> dict[tuple[str, ...], Row]:
        keys = ["analysis", "model", "variant", "dataset", "category", "metric"]
        chosen = self.contrasts[self.contrasts["analysis"].isin(["matched", "noise"])]
        return {tuple(row[key] for key in keys): row for row in chosen.to_dict("records")}

    @cached_property
    def _quality(self) -> dict[tuple[str, str, str], Row]:
        return {(metric, row["model"], row["variant"]): row for metric in ("lm", "perplexity")
                for row in quality_rows(self.table, metric).to_dict("records")}

    @cached_property
    def _flips(self) -> dict[tuple[str, str, str], list[float]]:
        found: dict[tuple[str, str, str], list[float]] = {}
        for row in self.bins.sort_values("bin").to_dict("records"):
            found.setdefault((row["model"], row["variant"], row["dataset"]), []).append(float(row["flip_share"]))
        return found

    @cached_property
    def _worst(self) -> dict[tuple[str, str, str], Row]:
        return {(row["model"], row["variant"], row["dataset"]): row
                for row in worst_moving(self.table).to_dict("records")}

    def flips(self, model: str, variant: str, dataset: str) -> list[float]:
        """Shares of items that flipped, from those that the parent was surest of on; empty if unknown."""
        return self._flips.get((model, variant, dataset), [])

    def worst(self, model: str, variant: str, dataset: str) -> Row | None:
        """The category that moved most (``stages.evidence.table.worst_moving``)."""
        return self._worst.get((model, variant, dataset))

    def row(self, model: str, variant: str, dataset: str, category: str, metric: str) -> Row | None:
        """A row of the evidence table."""
        return self._rows.get((model, variant, dataset, category, metric))

    def contrast(self, analysis: str, names: tuple[str, ...]) -> Row | None:
        """A row of the contrast table: of analysis ``matched`` or ``noise``, and by names as ``row`` takes them."""
        return self._contrasts.get((analysis, *names))

    def quality(self, metric: str, model: str, variant: str) -> Row | None:
        """The row of a model's ``lm`` or ``perplexity``."""
        return self._quality.get((metric, model, variant))

    def perplexity_ratio(self, model: str, variant: str) -> float:
        """Perplexity of a variant as a multiple of its parent's; NaN where it was not measured."""
        row = self.quality("perplexity", model, variant)
        return float("nan") if row is None else float(row["value"] / row["parent"])

    def headline(self, dataset: str) -> str:
        """The metric of a dataset that counts."""
        rows = self.table[(self.table["dataset"] == dataset) & self.table["headline"]]
        return str(rows["metric"].iloc[0])

    def categories(self, dataset: str) -> list[str]:
        """The categories of a dataset, in order."""
        rows = self.table[(self.table["dataset"] == dataset) & self.table["headline"]]
        present = set(rows["category"])
        return [category for category in (*self.order.categories, OVERALL) if category in present]

    def summary_categories(self, dataset: str) -> list[str]:
        """All categories together where the measure pools them, and each otherwise."""
        categories = self.categories(dataset)
        return [OVERALL] if OVERALL in categories else categories

    def models(self, dataset: str) -> list[str]:
        """The models that have bias rows of a dataset."""
        rows = self.table[(self.table["dataset"] == dataset) & (self.table["kind"] == "bias")]
        present = set(rows["model"])
        return [model for model in self.order.models if model in present]

    def variants(self, model: str) -> list[str]:
        """The variants of a model, the baseline first."""
        present = set(self.table.loc[self.table["model"] == model, "variant"])
        return [self.order.baseline, *(variant for variant in self.compressed() if variant in present)]

    def compressed(self) -> list[str]:
        """All variants but the baseline."""
        present = set(self.table["variant"])
        return [variant for variant in self.order.variants if variant in present and variant != self.order.baseline]

    @property
    def many(self) -> bool:
        """Whether there are too many variants to show each of them everywhere."""
        return len(self.compressed()) > _FEW

    def bias_datasets(self, names: Sequence[str]) -> list[str]:
        """Of these datasets, those about bias."""
        present = set(self.table.loc[self.table["kind"] == "bias", "dataset"])
        return [name for name in names if name in present]

    def largest(self, datasets: Sequence[str]) -> list[str]:
        """Of several datasets with the same headline metric, the one of most items stands for all."""
        size = {name: self.table.loc[self.table["dataset"] == name, "items"].max() for name in datasets}
        best: dict[str, str] = {}
        for name in datasets:
            metric = self.headline(name)
            if metric not in best or size[name] > size[best[metric]]:
                best[metric] = name
        return [name for name in datasets if best[self.headline(name)] == name]
