"""Matched and noise contrasts of every variant of a model, over all datasets, categories and bias metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from stages import measures
from stages.common.params import parse
from stages.evidence.association import Resampled, draw_stimuli, resample, seat_tests
from stages.evidence.contrast import Row
from stages.evidence.contrast_levels import Levels, of_effects, of_items, t_test
from stages.evidence.contrast_noise import against_noise
from stages.evidence.contrast_runs import ModelRuns, shared_items
from stages.evidence.intervals import Estimate
from stages.evidence.items import items_by_text, refuse_other_items
from stages.evidence.matched import Match, against_match, match, matched_fraction
from stages.evidence.metrics import Measured, Metric, measured
from stages.evidence.runs import Run, located
from stages.evidence.settings import Compare, Contrast
from stages.evidence.table import OVERALL
from stages.measures import association


@dataclass(frozen=True)
class How:
    """How to contrast."""

    contrast: Contrast
    compare: Compare
    """Level of the intervals and categories."""
    seed: int
    corpus: str
    """Dataset whose perplexity is the quality."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Raw options of each measure."""

    def options_of(self, measure: str) -> Any:
        """Typed options of a measure."""
        return parse(measures.get(measure).Options, dict(self.options.get(measure, {})), f"measures.{measure}")


def contrast_rows(runs: ModelRuns, how: How) -> Iterator[Row]:
    """Rows of the contrast table (``stages.evidence.contrast``) of one model.

    A variant that has no match has a row that says why, and no estimate.

    Raises:
        DataError: Records are missing, malformed or of other items in one run than in another.
    """
    if not runs.variants:
        return
    quality = quality_levels(runs, how)
    first = len(runs.checkpoints)
    matches: dict[str, Match | None] = dict.fromkeys(runs.variants)
    if quality is not None:
        matches = {variant: match(quality.only([*range(first), *runs.columns(variant)])) for variant in runs.variants}
    fractions = {variant: matched_fraction(found, runs.fractions, how.compare.confidence)
                 for variant, found in matches.items() if found is not None and found.kind != "none"}
    for names, levels in _bias_levels(runs, how):
        for variant, found in matches.items():
            yield from _matched(runs, how, variant, names, levels, found, fractions.get(variant))
            yield from _noise(runs, how, variant, names, levels)


def quality_levels(runs: ModelRuns, how: How) -> Levels | None:
    """The loss that a match is made on, of every run; ``None`` for a model that was not scored for it."""
    wanted = "language_model" if how.contrast.quality == "word_perplexity" else "stereotype_triples"
    known = next(iter(runs.checkpoints.values()))
    datasets = [name for name, measure in known.measures.items() if measure == wanted]
    if how.corpus in datasets:
        datasets = [how.corpus]
    best: Levels | None = None
    for dataset in sorted(datasets):
        rule = measured(wanted, how.options_of(wanted), known.family)
        [metric] = [metric for metric in rule.metrics if metric.name == how.contrast.quality]
        tables = shared_items(runs.every, dataset, rule)
        if tables[0].empty:
            continue
        levels = of_items(metric, tables, resamples=how.contrast.resamples, seed=how.seed, names=(dataset, OVERALL),
                          log=True)
        if best is None or levels.items > best.items:
            best = levels
    if best is not None and how.contrast.quality == "lm":  # a loss falls as the model gets better
        best = Levels(-best.observed, -best.replicates, tuple(-part for part in best.jackknife), best.effective,
                      best.items, best.clusters)
    return best


def _bias_levels(runs: ModelRuns, how: How) -> Iterator[tuple[Row, Levels]]:
    """Every bias metric of every dataset and category, of all runs."""
    known = next(iter(runs.checkpoints.values()))
    for dataset, measure in sorted(known.measures.items()):
        options = how.options_of(measure)
        if measure == "association":
            yield from _effects(runs.every, dataset, options, how)
        elif measure != "language_model":
            rule = measured(measure, options, known.family)
            yield from _means(shared_items(runs.every, dataset, rule), dataset, rule, how)


def _means(
    tables: Sequence[pd.DataFrame], dataset: str, rule: Measured, how: How
) -> Iterator[tuple[Row, Levels]]:
    present = set(tables[0]["category"])
    for category in [*(name for name in how.compare.categories if name in present), OVERALL]:
        chosen = [items if category == OVERALL else items[items["category"] == category] for items in tables]
        for metric in rule.metrics:
            if metric.kind == "bias" and all(_counts(metric, items) for items in chosen):
                levels = of_items(metric, chosen, resamples=how.contrast.resamples, seed=how.seed,
                                  names=(dataset, category))
                yield {"dataset": dataset, "category": category, "metric": metric.name}, levels


def _counts(metric: Metric, items: pd.DataFrame) -> bool:
    return bool(metric.weight(items).sum() > 0)


def _effects(
    runs: Sequence[Run], dataset: str, options: association.Options, how: How
) -> Iterator[tuple[Row, Levels]]:
    with located(runs[0], dataset):
        asked = runs[0].records(dataset)
        first = items_by_text(asked)
        stimuli = {category: draw_stimuli(tests, resamples=how.contrast.resamples, seed=how.seed)
                   for category, tests in seat_tests(asked).items() if category in how.compare.categories}
    found: dict[str, list[Resampled]] = {category: [] for category in stimuli}
    for run in runs:
        with located(run, dataset):
            refuse_other_items(first, items_by_text(run.records(dataset)))
            vectors = run.vectors(dataset)
            for category, drawn in stimuli.items():
                found[category].append(resample(drawn, vectors, ddof=options.ddof))
    for category, resampled in found.items():
        levels = of_effects(resampled, int((asked["category"] == category).sum()))
        yield {"dataset": dataset, "category": category, "metric": "mean_abs_effect"}, levels


def _matched(
    runs: ModelRuns, how: How, variant: str, names: Row, levels: Levels, found: Match | None,
    fraction: Estimate | None,
) -> Iterator[Row]:
    [column] = runs.columns(variant)
    row: Row = {"analysis": "matched", "model": runs.model, "variant": variant, **names,
                "value": float(levels.observed[column]), "items": levels.items, "clusters": levels.clusters}
    if found is None or fraction is None:
        yield row | {"note": "worse than every checkpoint" if found else "no measure of quality"}
        return
    bias = levels.only([*range(len(runs.checkpoints)), column])
    reference, estimate = against_match(bias, found, how.compare.confidence)
    checkpoints = list(runs.checkpoints)
    lower = min(int(np.floor(found.position)), max(len(checkpoints) - 2, 0))
    last = found.kind == "last"
    yield row | _columns(estimate) | {
        "against": checkpoints[-1] if last else "-".join(checkpoints[lower : lower + 2]),
        "note": "as good as the last checkpoint" if last else "", "reference": reference,
        "fraction": fraction.value, "fraction_low": fraction.low, "fraction_high": fraction.high,
    }


def _noise(runs: ModelRuns, how: How, variant: str, names: Row, levels: Levels) -> Iterator[Row]:
    controls = runs.controls.get(variant, ())
    if not controls:
        return
    bias = levels.only(runs.columns(variant, *controls))
    reference, estimate = against_noise(bias, how.compare.confidence, how.seed, runs.model, variant)
    yield {"analysis": "noise", "model": runs.model, "variant": variant, **names, "against": "+".join(controls),
           "value": float(bias.observed[0]), "reference": reference, **_columns(estimate),
           "items": levels.items, "clusters": levels.clusters, "seeds": len(controls)}


def _columns(found: Estimate) -> Row:
    return {"estimate": found.value, "low": found.low, "high": found.high, "method": found.method,
            "standard_error": found.standard_error, "p_value": t_test(found)}
