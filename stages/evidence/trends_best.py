"""The best point of pretraining: by LM score as in the study, and by the trade-off of quality and bias (ICAT).

A checkpoint is best on a sample of items. Resampling the items' clusters, for all checkpoints and
variants at once, shows on which other checkpoints the choice might have fallen. What a variant that is itself
trained (a student) does over its own training is another question, and not compared with this.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.evidence.contrast import Row
from stages.evidence.contrast_levels import Levels, of_items
from stages.evidence.contrast_metrics import How
from stages.evidence.contrast_runs import open_checkpoints, shared_items
from stages.evidence.metrics import measured
from stages.evidence.table import OVERALL

CRITERIA = ("lm", "icat")
FULL, INT8 = 0.8, 0.2
"""Of pretraining, where the study finds the best trade-off: "around 80%" in full precision, "around 20%" in int8."""
CEILING = "at the ceiling"
"""Note of a best checkpoint by an LM score of 100: nothing can be better, and later ones that are as good are passed
over by rule, so that it says nothing of where training is best."""

_FEWEST = 3
"""Checkpoints below which there is no best one to speak of."""
_CEILING = 100 - 1e-9
_TAIL = 0.025


@dataclass(frozen=True)
class Best:
    """Fraction of training of the best checkpoint."""

    value: float
    replicates: np.ndarray
    """Under resampled items, shape [resamples]."""
    ceiling: bool = False
    """Whether it, or more than a tail of its replicates, was chosen by an LM score of 100 (``CEILING``)."""

    def bounds(self, confidence: float) -> tuple[float, float]:
        """Percentile interval, whose ends are values that occur."""
        low, high = np.quantile(self.replicates, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
        return float(low), float(high)

    def p_value(self) -> float:
        """Two-sided bootstrap p that the value is 0."""
        below, above = np.sum(self.replicates <= 0), np.sum(self.replicates >= 0)
        return float(min(1.0, 2 * (1 + min(below, above)) / (1 + len(self.replicates))))


def best_fraction(ss: Levels, lm: Levels, fractions: np.ndarray, criterion: str) -> Best:
    """The best checkpoint's fraction of training; of equally good ones, the earliest's.

    Args:
        ss: Stereotype scores of the checkpoints (0 to 100).
        lm: Their LM scores, under the same resamples.
        fractions: Of training, shape [checkpoints].
        criterion: ``lm``, or ``icat`` = lm * min(ss, 100 - ss) / 50.
    """
    def best(scores: np.ndarray, quality: np.ndarray) -> np.ndarray:
        value = quality * np.minimum(scores, 100 - scores) / 50 if criterion == "icat" else quality
        return np.asarray(fractions[np.argmax(np.round(value, 9), axis=-1)])

    # Where resamples reach it more often than an interval's tail, the rule of the earliest decides that end.
    often = float(np.mean(lm.replicates.max(axis=-1) >= _CEILING))
    ceiling = criterion == "lm" and bool(lm.observed.max() >= _CEILING or often > _TAIL)
    return Best(float(best(ss.observed, lm.observed)), best(ss.replicates, lm.replicates), ceiling)


def best_rows(
    found: Mapping[tuple[str, str], Best], *, baseline: str, claims: Mapping[str, float], confidence: float, where: Row
) -> Iterator[Row]:
    """Rows of the contrast table: each model and variant, their means over models, and the gain of the baseline.

    Args:
        found: By model and variant; models and variants under the same resamples.
        baseline: The variant without compression.
        claims: Of a variant, the fraction that is claimed for it.
        confidence: Level of the intervals.
        where: Dataset, category and metric.

    Yields:
        Rows whose ``note`` says whether the interval holds what is claimed, or that the LM score is at its ceiling;
        a difference at the ceiling has no p.
    """
    gains = {(model, variant): Best(found[model, baseline].value - best.value,
                                    found[model, baseline].replicates - best.replicates,
                                    found[model, baseline].ceiling or best.ceiling)
             for (model, variant), best in found.items() if variant != baseline and (model, baseline) in found}
    for (model, variant), best in _with_means(found).items():
        yield _row("best", model, variant, best, confidence, claims.get(variant), where)
    for (model, variant), gain in _with_means(gains).items():
        claim = claims[baseline] - claims[variant] if {baseline, variant} <= set(claims) else None
        row = _row("best_difference", model, variant, gain, confidence, claim, where) | {"against": baseline}
        yield row if gain.ceiling else row | {"p_value": gain.p_value()}


def _with_means(found: Mapping[tuple[str, str], Best]) -> dict[tuple[str, str], Best]:
    """Add the mean over models of each variant that several models have, as the model ``""``."""
    means = {}
    for variant in dict.fromkeys(variant for _, variant in found):
        parts = [best for (_, other), best in found.items() if other == variant]
        if len(parts) > 1:
            means["", variant] = Best(float(np.mean([part.value for part in parts])),
                                      np.mean([part.replicates for part in parts], axis=0),
                                      any(part.ceiling for part in parts))
    return {**found, **means}


def _row(
    analysis: str, model: str, variant: str, best: Best, confidence: float, claim: float | None, where: Row
) -> Row:
    low, high = best.bounds(confidence)
    row: Row = {"analysis": analysis, "model": model, "variant": variant, **where, "estimate": best.value, "low": low,
                "high": high, "method": "percentile"}
    if claim is not None:
        row["reference"] = claim
        row["note"] = "as claimed" if low <= claim <= high else "not as claimed"
    return row | {"note": CEILING} if best.ceiling else row


def best_in_training(
    dataset: str, root: Path, cells: Sequence[tuple[str, str]], claims: Mapping[str, float], how: How
) -> Iterator[Row]:
    """Rows of the contrast table about one dataset of triples.

    Args:
        dataset: Its slug.
        root: Folder of the suite's records.
        cells: Models, and their variants that are applied to each checkpoint of the model's run.
        claims: Of a variant, the fraction that is claimed for it.
        how: Level, resamples and options.

    Raises:
        DataError: Records are missing, malformed or of other items in one checkpoint than in another.
    """
    found: dict[str, dict[tuple[str, str], Best]] = {criterion: {} for criterion in CRITERIA}
    for model, variant in cells:
        checkpoints, fractions = open_checkpoints(root / model / variant)
        runs = list(checkpoints.values())
        if len(runs) < _FEWEST or dataset not in runs[0].measures:
            continue
        rule = measured("stereotype_triples", how.options_of("stereotype_triples"), runs[0].family)
        tables = shared_items(runs, dataset, rule)
        ss, lm = (of_items(metric, tables, resamples=how.contrast.resamples, seed=how.seed, names=(dataset, OVERALL))
                  for name in ("ss", "lm") for metric in rule.metrics if metric.name == name)
        for criterion in CRITERIA:
            found[criterion][model, variant] = best_fraction(ss, lm, fractions, criterion)
    for criterion, bests in found.items():
        where: Row = {"dataset": dataset, "category": OVERALL, "metric": criterion}
        yield from best_rows(bests, baseline=how.compare.baseline, claims=claims, confidence=how.compare.confidence,
                             where=where)
