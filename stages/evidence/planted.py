"""What every measure says of one model about whose training text the truth is known: values with intervals.

Of the measures one is in the unit of the truth: ``log_odds``, the mean over items of log P(stereotypical text) -
log P(anti-stereotypical text) at equal length, in nats. Items are balanced between the two groups, so that how
common a word is cancels, and what was planted, log P(typical | group) / P(typical of the other | group), is what
remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stages import measures
from stages.common.params import Family, parse
from stages.evidence.association import draw_stimuli, resample, seat_tests
from stages.evidence.intervals import Estimate, effective_clusters, estimate, interval
from stages.evidence.items import items_by_role
from stages.evidence.metrics import Metric, measured
from stages.evidence.resampling import ClusterTotals, bootstrap_draws
from stages.evidence.shares import percentage
from stages.measures import association

ROLES = {"crows_pairs": ("stereo", "anti"), "stereoset": ("stereo", "anti", "unrelated")}
_MEASURES = {"crows_pairs": "pair_preference", "stereoset": "stereotype_triples"}

Row = dict[str, str | float]


@dataclass(frozen=True)
class Scored:
    """How a model was scored, and how sure to be of it."""

    family: Family
    options: Mapping[str, Mapping[str, Any]]
    """Raw options of each measure (``measures`` in params)."""
    resamples: int
    confidence: float
    seed: int


def measure_rows(dataset: str, records: pd.DataFrame, about: Scored) -> Iterator[Row]:
    """Every measure of the pairs or triples of one dataset, by category.

    Args:
        dataset: ``crows_pairs`` or ``stereoset``.
        records: Its records.
        about: See ``Scored``.

    Returns:
        Rows of ``category``, ``measure``, ``value``, ``low``, ``high`` (NaN where there is no interval),
        ``neutral`` (the value of no preference), ``items`` and ``clusters``.

    Raises:
        DataError: The records are not whole.
    """
    name = _MEASURES[dataset]
    options = parse(measures.get(name).Options, dict(about.options.get(name, {})), f"measures.{name}")
    rule = measured(name, options, about.family)
    items = rule.items(records)
    for category, members in items[items["usable"]].groupby("category", sort=True):
        stream = (dataset, str(category))
        for metric in rule.metrics:
            if metric.kind == "bias":
                totals = metric.totals(members)
                yield _row(metric, totals, members, about, *stream)


def association_rows(
    records: pd.DataFrame, vectors: Mapping[str, np.ndarray], about: Scored
) -> Iterator[Row]:
    """SEAT's mean effect size over the tests of each category, signed and in magnitude, as ``measure_rows`` does.

    The magnitude has no value of no preference: without any association it is above 0 by chance.

    Raises:
        DataError: Records or vectors are not whole, or a test has no effect size.
    """
    options = parse(association.Options, dict(about.options.get("association", {})), "measures.association")
    for category, tests in seat_tests(records).items():
        stimuli = draw_stimuli(tests, resamples=about.resamples, seed=about.seed)
        found = resample(stimuli, vectors, ddof=options.ddof)
        counts: Row = {"category": category, "items": float((records["category"] == category).sum()),
                       "clusters": float(sum(part.clusters for part in stimuli.sets.values()))}
        signed = interval(float(found.observed.mean()), found.replicates.mean(axis=1),
                          [part.mean(axis=1) for part in found.jackknife.values()], about.confidence)
        yield {"measure": "effect_size", "neutral": 0.0, **_columns(signed), **counts}
        size = interval(float(np.abs(found.observed).mean()), np.abs(found.replicates).mean(axis=1),
                        [np.abs(part).mean(axis=1) for part in found.jackknife.values()], about.confidence, folded=True)
        yield {"measure": "mean_abs_effect", "neutral": np.nan, **_columns(size), **counts}


def margins(records: pd.DataFrame, roles: tuple[str, ...]) -> pd.DataFrame:
    """Log-probabilities of an item's texts, at equal length, set against each other item by item.

    Args:
        records: Records of one dataset.
        roles: ``("stereo", "anti")``, or these and ``unrelated``.

    Returns:
        Indexed by item: ``category``, ``margin``, log P(stereo) - log P(anti) in nats; ``meaning``, the mean of both
        less log P(unrelated), NaN for pairs; ``entropy``, the mean (nats) at the scored positions of both.
    """
    items = items_by_role(records, roles)
    both = (items["log_stereo"] + items["log_anti"]) / 2
    return pd.DataFrame({
        "category": items["category"],
        "margin": items["log_stereo"] - items["log_anti"],
        "meaning": both - items["log_unrelated"] if "unrelated" in roles else np.nan,
        "entropy": items["entropy"],
    })


def _row(metric: Metric, totals: ClusterTotals, members: pd.DataFrame, about: Scored, *stream: str) -> Row:
    draws = bootstrap_draws(totals.clusters, about.resamples, about.seed, *stream)
    found = estimate(totals, lambda means: means[..., 0], draws, about.confidence)
    if metric.percentage:
        found = percentage(found, effective_clusters(totals.weight), about.confidence)
    return {"category": stream[-1], "measure": metric.name, "neutral": 50.0 if metric.preference else 0.0,
            "items": float(len(members)), "clusters": float(totals.clusters), **_columns(found)}


def _columns(found: Estimate) -> Row:
    return {"value": found.value, "low": found.low, "high": found.high}
