"""The calibration of every measure on a grid of planted worlds, and what compression did, as nested numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from stages.evidence.calibration import line, saturation, slope, specificity
from stages.evidence.calibration_rows import BOTH, GRADED, PERPLEXITY, Tables
from stages.evidence.detection import Detection, detected, power
from stages.evidence.retention import verdict
from stages.lab.result import LAST

MEASURES = (
    ("crows_pairs", "score"), ("crows_pairs", GRADED), ("stereoset", "ss"), ("stereoset", GRADED),
    (BOTH, GRADED), ("seat", "effect_size"), ("seat", "mean_abs_effect"),
)
"""Measures of bias by dataset, in the order of tables and figures."""


@dataclass(frozen=True)
class Grid:
    """What the numbers are computed with."""

    baseline: str
    twins: Sequence[tuple[str, str, str]]
    resamples: int
    confidence: float
    seed: int


def summarise(tables: Tables, grid: Grid) -> dict[str, Any]:
    """Nested numbers: ``{learner: {"measures": {dataset: {measure: ...}}, "variants": {variant: ...}}}``.

    Of a measure: ``slope`` and ``intercept`` (measure against planted log-odds), ``rank`` (Spearman), each with an
    interval, over kinds planted directly; ``saturation``; ``specificity``; ``detected`` where nothing was planted
    (``unplanted`` kinds, ``control`` items, and ``none``, both: false positives) and by planted log-odds (power:
    ``planted`` of kinds planted directly, ``proxied`` of those planted through proxies), and the same where a finding
    must also exceed what seeds do (``detected_beyond_seeds``; not where there is one seed a world);
    ``checkpoints``, the slope over training; ``proxy``, what is measured of an association through proxies.

    Of a variant: ``slope`` of its log-odds (of both datasets) on the baseline's, with its interval, what
    ``stages.evidence.retention`` gives, ``perplexity`` (its ratio to the baseline's), ``verdict``, and under
    ``measures`` such a slope of each measure. What does not apply is left out.
    """
    found = {}
    for learner, levels in tables.levels.groupby("learner", sort=True):
        retained = tables.retained[tables.retained["learner"] == learner]
        measures: dict[str, dict[str, Any]] = {}
        for dataset, measure in MEASURES:
            rows = levels[(levels["dataset"] == dataset) & (levels["measure"] == measure)]
            measures.setdefault(dataset, {})[measure] = _measure(rows, grid)
        variants = {str(variant): _variant(levels, part, grid) for variant, part in retained.groupby("variant")}
        found[str(learner)] = {"measures": measures, "variants": variants}
    cleaned: dict[str, Any] = _finite(found)
    return cleaned


def _measure(rows: pd.DataFrame, grid: Grid) -> dict[str, Any]:
    trained = rows[rows["variant"] == grid.baseline]
    last = trained[trained["checkpoint"] == LAST]
    items = last[~last["control"]]
    direct = items[~items["proxy"]]
    fitted = line(direct, resamples=grid.resamples, confidence=grid.confidence, seed=grid.seed)
    moves = specificity(items, grid.twins)
    found: dict[str, Any] = {**asdict(fitted), "saturation": saturation(direct), "specificity": asdict(moves)}
    if last["neutral"].notna().any():
        found["detected"] = _detection(last, grid, 0.0)
        if math.isfinite(moves.floor):
            # The floor is of a difference of two seeds; one model deviates by less, by a factor of sqrt(2).
            found["detected_beyond_seeds"] = _detection(last, grid, moves.floor / math.sqrt(2))
    earlier = trained[~trained["control"] & ~trained["proxy"]]
    found["checkpoints"] = {
        str(checkpoint): slope(part) for checkpoint, part in earlier.groupby("checkpoint", sort=True)
    }
    through = items[items["proxy"]]
    if len(through):
        expected = fitted.intercept.value + fitted.slope.value * through["planted"].mean()
        found["proxy"] = {"planted": through["planted"].mean(), "value": through["value"].mean(), "direct": expected}
    return found


def _detection(rows: pd.DataFrame, grid: Grid, floor: float) -> dict[str, Any]:
    items = rows[~rows["control"]]
    nothing = {"unplanted": items[items["planted"] == 0], "control": rows[rows["control"]],
               "none": rows[rows["planted"] == 0]}
    return {
        **{name: _share(detected(part, grid.confidence, floor)) for name, part in nothing.items()},
        **{name: {f"{level:.2f}".replace(".", "_"): _share(share)
                  for level, share in power(items[items["proxy"] == proxy], grid.confidence, floor).items()}
           for name, proxy in (("planted", False), ("proxied", True))},
    }


def _variant(levels: pd.DataFrame, retained: pd.DataFrame, grid: Grid) -> dict[str, Any]:
    variant = retained["variant"].iloc[0]
    keys = ["world", "seed", "dataset", "measure", "kind", "control"]
    last = levels[levels["checkpoint"] == LAST]
    parent = last[last["variant"] == grid.baseline].set_index(keys)["value"].rename("parent")
    both = last[last["variant"] == variant].join(parent, on=keys)
    planted = both[~both["control"] & (both["kind"] != "")]

    association = line(planted[planted["dataset"] == BOTH], x="parent", resamples=grid.resamples,
                       confidence=grid.confidence, seed=grid.seed).slope
    own = retained[~retained["control"]]
    means = own[["correlation", "scale", "meaning", "flips", "entropy"]].mean()
    quality = both[both["measure"] == PERPLEXITY]
    return {
        "slope": asdict(association),
        "measures": {
            dataset: {measure: slope(planted[(planted["dataset"] == dataset) & (planted["measure"] == measure)],
                                     x="parent")
                      for of, measure in MEASURES if of == dataset}
            for dataset in dict.fromkeys(dataset for dataset, _ in MEASURES)
        },
        **{str(name): float(value) for name, value in means.items()},
        PERPLEXITY: float((quality["value"] / quality["parent"]).mean()),
        "verdict": verdict(association, float(means["meaning"])),
    }


def _share(found: Detection) -> dict[str, float]:
    return {**asdict(found.share), "cells": found.cells}


def _finite(value: Any) -> Any:
    """Leave out what is not a number: metrics files hold none."""
    if isinstance(value, Mapping):
        cleaned = {key: _finite(inner) for key, inner in value.items()}
        return {key: inner for key, inner in cleaned.items()
                if inner != {} and not (isinstance(inner, float) and not math.isfinite(inner))}
    return value
