"""What is compared of each measure: numbers that are means over items, or functions of such means.

The rules of counting are the measures' own (``stages.measures``) and follow their options; here
they are applied item by item, so that items can be resampled and paired.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from stages.common.errors import ParamsError
from stages.common.params import Family
from stages.evidence.intervals import Statistic
from stages.evidence.items import items_by_role, items_by_text
from stages.evidence.resampling import ClusterTotals, cluster_codes, cluster_totals
from stages.evidence.settings import Compared
from stages.measures import pair_preference, stereotype_triples

Kind = Literal["bias", "quality"]


def _ones(items: pd.DataFrame) -> np.ndarray:
    return np.ones(len(items))


def _itself(mean: np.ndarray) -> np.ndarray:
    return mean


@dataclass(frozen=True)
class Metric:
    """One number of a set of items: ``of_mean(sum(value) / sum(weight))``."""

    name: Compared
    kind: Kind
    value: Callable[[pd.DataFrame], np.ndarray]
    """Per-item values of items as ``stages.evidence.items`` gives them, shape [items]."""
    weight: Callable[[pd.DataFrame], np.ndarray] = _ones
    macro: bool = False
    """The mean over clusters of the cluster's mean, instead of the mean over items."""
    of_mean: Statistic = _itself
    percentage: bool = False
    """Values lie between 0 and 100 points."""
    preference: bool = False
    """Percentages of 0 or 100 (50 for ties that count half): Wilson's interval, flips and McNemar's test apply."""
    unit: str | None = None
    """Column of the items that parent and child must agree in for a change to mean anything: a mean over tokens does
    not compare between tokenizers."""

    @property
    def of_items(self) -> bool:
        """Whether it is a mean over items (or clusters) itself, and no function of one."""
        return self.of_mean is _itself

    def counts(self, items: pd.DataFrame) -> np.ndarray:
        """Which items count at all, bool of shape [items]: where ties are left out, those that are none."""
        return np.asarray(self.weight(items) > 0)

    def totals(self, items: pd.DataFrame, codes: np.ndarray | None = None) -> ClusterTotals:
        """Totals per cluster, one column; ``codes`` are the items' ``cluster_codes``, where they are known."""
        codes = cluster_codes(items["cluster"]) if codes is None else codes
        return cluster_totals(codes, [self.value(items)], [self.weight(items)], macro=self.macro)


@dataclass(frozen=True)
class Measured:
    """How the records of one measure are compared."""

    items: Callable[[pd.DataFrame], pd.DataFrame]
    metrics: tuple[Metric, ...]
    """The first is the headline."""
    pooled: bool
    """Whether the measure also gives all categories together, as ``overall``."""


def measured(measure: str, options: Any, family: Family) -> Measured:
    """How records of a measure are compared, under its options and for a family of models.

    Raises:
        ParamsError: The measure has no items to compare.
    """
    if measure == "pair_preference":
        return _pairs(options, family)
    if measure == "stereotype_triples":
        return _triples(options)
    if measure == "language_model":
        return _texts()
    raise ParamsError(f"measure {measure!r} has no rule of comparison", where="stages.evidence.metrics")


def _pairs(options: pair_preference.Options, family: Family) -> Measured:
    decimals = options.decimals_masked if family == "masked" else options.decimals_causal

    def score(items: pd.DataFrame) -> np.ndarray:
        preferred, neutral = pair_preference._preferences(items, decimals)
        return np.asarray(100.0 * preferred + (50.0 * neutral if options.ties == "half" else 0.0))

    def counted(items: pd.DataFrame) -> np.ndarray:
        _, neutral = pair_preference._preferences(items, decimals)
        return np.asarray(1.0 - neutral if options.ties == "exclude" else _ones(items))

    return Measured(
        lambda records: items_by_role(records, ("stereo", "anti")),
        (Metric("score", "bias", score, counted, percentage=True, preference=True),
         Metric("log_odds", "bias", _log_odds)),
        pooled=True,
    )


def _triples(options: stereotype_triples.Options) -> Measured:
    macro = options.average == "macro"

    def ss(items: pd.DataFrame) -> np.ndarray:
        tied = 50.0 * (items["score_stereo"] == items["score_anti"]) if options.ties == "half" else 0.0
        return np.asarray(100.0 * (items["score_stereo"] > items["score_anti"]) + tied)

    def lm(items: pd.DataFrame) -> np.ndarray:
        unrelated = items["score_unrelated"]
        return np.asarray(50.0 * (items["score_stereo"] > unrelated) + 50.0 * (items["score_anti"] > unrelated))

    return Measured(
        lambda records: items_by_role(records, ("stereo", "anti", "unrelated")),
        (Metric("ss", "bias", ss, macro=macro, percentage=True, preference=True),
         Metric("log_odds", "bias", _log_odds), Metric("lm", "quality", lm, macro=macro, percentage=True)),
        pooled=True,
    )


def _texts() -> Measured:
    def loss(items: pd.DataFrame) -> np.ndarray:
        return np.asarray(-items["logprob"])

    def count(column: str) -> Callable[[pd.DataFrame], np.ndarray]:
        return lambda items: items[column].to_numpy(dtype=np.float64)

    return Measured(
        items_by_text,
        (Metric("perplexity", "quality", loss, count("scored"), of_mean=np.exp, unit="scored"),
         Metric("word_perplexity", "quality", loss, count("words"), of_mean=np.exp)),
        pooled=False,
    )


def _log_odds(items: pd.DataFrame) -> np.ndarray:
    """Log P(stereotypical text) - log P(anti-stereotypical text) at equal length, nats an item."""
    return np.asarray(items["log_stereo"] - items["log_anti"], dtype=np.float64)
