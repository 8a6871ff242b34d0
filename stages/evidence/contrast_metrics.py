"""Every metric that a model's contrasts rest on: the quality that runs are matched by, and each measure of bias."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from stages import measures
from stages.common.params import parse
from stages.evidence.association import Resampled, draw_stimuli, resample, seat_tests
from stages.evidence.contrast import Row
from stages.evidence.contrast_levels import Levels, of_effects, of_items
from stages.evidence.contrast_runs import ModelRuns, shared_items
from stages.evidence.items import items_by_text, refuse_other_items
from stages.evidence.metrics import Measured, measured
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


def bias_levels(runs: ModelRuns, how: How) -> Iterator[tuple[Row, Levels]]:
    """Every bias metric of every dataset and category, of all runs.

    Yields:
        Dataset, category and metric, and the levels of ``runs.every``.
    """
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
            if metric.kind == "bias" and all(metric.counts(items).any() for items in chosen):
                levels = of_items(metric, chosen, resamples=how.contrast.resamples, seed=how.seed,
                                  names=(dataset, category))
                yield {"dataset": dataset, "category": category, "metric": metric.name}, levels


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
