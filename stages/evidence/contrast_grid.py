"""Matched and noise contrasts of every variant of a model, over all datasets, categories and bias metrics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stages.evidence.contrast import Row
from stages.evidence.contrast_levels import Levels, t_test
from stages.evidence.contrast_metrics import How, bias_levels, quality_levels
from stages.evidence.contrast_noise import against_noise
from stages.evidence.contrast_runs import ModelRuns
from stages.evidence.intervals import Estimate
from stages.evidence.matched import Match, against_match, match, matched_fraction


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
    for names, levels in bias_levels(runs, how):
        for variant, found in matches.items():
            yield from _matched(runs, how, variant, names, levels, found, fractions.get(variant))
            yield from _noise(runs, how, variant, names, levels)


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
