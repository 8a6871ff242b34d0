"""What every measure says of one model about whose training text the truth is known: values with intervals.

Beside the published measures there is ``sentence_log_odds``, the mean over items of the difference between the
log-probabilities (nats) of two whole sentences. Items are balanced between the two groups, so that how common a
word is cancels, and what was planted, log P(typical | group) / P(typical of the other | group), is what remains: the
one measure here in the unit of the truth.
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
from stages.evidence.intervals import Estimate, estimate, interval, wilson
from stages.evidence.items import items_by_role
from stages.evidence.metrics import measured
from stages.evidence.resampling import ClusterTotals, bootstrap_draws, cluster_totals
from stages.measures import association

SENTENCE = "sentence_log_odds"
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
    items = items.assign(sentence=margins(records, ROLES[dataset])["margin"].reindex(items.index))
    for category, members in items[items["usable"]].groupby("category", sort=True):
        stream = (dataset, str(category))
        for metric in rule.metrics:
            if metric.kind == "bias":
                totals = metric.totals(members)
                yield _row(metric.name, totals, 50.0 if metric.preference else 0.0, members, about, *stream)
        totals = cluster_totals(members["cluster"], [members["sentence"].to_numpy(dtype=np.float64)])
        yield _row(SENTENCE, totals, 0.0, members, about, *stream)


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
    """Log-probabilities of whole sentences set against each other, item by item.

    Args:
        records: Records of one dataset.
        roles: ``("stereo", "anti")``, or these and ``unrelated``.

    Returns:
        Indexed by item: ``category``, ``margin``, log P(stereo) - log P(anti) in nats; ``meaning``, the mean of both
        less log P(unrelated), NaN for pairs; ``entropy``, the mean (nats) at the scored positions of both.
    """
    items = items_by_role(records, roles)
    wide = records.pivot(index="item", columns="role", values=["logprob", "entropy"]).reindex(items.index)
    logs, entropy = wide["logprob"], wide["entropy"]
    both = (logs["stereo"] + logs["anti"]) / 2
    return pd.DataFrame({
        "category": items["category"],
        "margin": logs["stereo"] - logs["anti"],
        "meaning": both - logs["unrelated"] if "unrelated" in logs else np.nan,
        "entropy": (entropy["stereo"] + entropy["anti"]) / 2,
    })


def _row(
    name: str, totals: ClusterTotals, neutral: float, members: pd.DataFrame, about: Scored, *stream: str
) -> Row:
    draws = bootstrap_draws(totals.clusters, about.resamples, about.seed, *stream)
    found = estimate(totals, lambda means: means[..., 0], draws, about.confidence)
    row: Row = {"category": stream[-1], "measure": name, "neutral": neutral, "items": float(len(members)),
                "clusters": float(totals.clusters), **_columns(found)}
    if found.method == "constant" and neutral:  # every item the same way: each cluster is one observation of it
        low, high = wilson(found.value / 100, totals.clusters, about.confidence)
        row |= {"low": 100 * low, "high": 100 * high}
    return row


def _columns(found: Estimate) -> Row:
    return {"value": found.value, "low": found.low, "high": found.high}
