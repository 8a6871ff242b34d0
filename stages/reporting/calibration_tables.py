"""The calibration of the measures in plain words and Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from stages.reporting.words import markdown, number, percent, with_interval

_PLAIN = ""
"""The metric of numbers that are of none: two decimals."""
_HOW_PLANTED = {"planted": "", "proxied": " (proxy)"}
_NAMES = {
    ("crows_pairs", "score"): "pairs: share preferred (%)",
    ("crows_pairs", "log_odds"): "pairs: log-odds (nats a pair)",
    ("stereoset", "ss"): "triples: SS (%)",
    ("stereoset", "log_odds"): "triples: log-odds (nats a triple)",
    ("both", "log_odds"): "both: log-odds (nats an item)",
    ("seat", "effect_size"): "SEAT: mean effect size",
    ("seat", "mean_abs_effect"): "SEAT: mean magnitude of effect size",
}
_HOW = """\
Tiny models are trained on worlds whose bias is known, because it was planted: the log-odds with which a group goes
with what is typical of it, in nats. {models} models were trained on {worlds} worlds and asked with sentences in
constructions that the training text never joins with a group.

- **slope**: units of the measure a planted nat (log-odds that told the whole truth would have 1);
  **at none**: the measure where nothing is planted; **rank**: rank correlation with the truth. In brackets: intervals
  that resample worlds, and seeds within them.
- **95% at**: planted nats from which the measure has covered 95% of its range; what is stronger looks alike.
- **own / others / floor**: how far it moves when one kind's association is changed: that kind, the kinds left alone,
  and what two seeds of the same world exceed in 5% of cases.
- **false**: share of models and kinds called biased where nothing was planted, and of control items (both words of one
  group). **found**: share called biased by planted nats; (proxy): through a proxy word, group and attribute never in
  one sentence. Called biased: the interval over clusters of items leaves out no preference. **beyond seeds**:
  both kinds of false findings, where the value must also lie further from no preference than 95% of seeds do.
"""
_ONE_SEED = """\
Trained with one seed a world: what two seeds differ by is not known here, so there is no floor, and no finding could be
judged beyond seeds. Its false findings are of single models.
"""
_COMPRESSED = """\
- **slope**: log-odds of the variant on its parent's, over worlds and kinds: 1 keeps the association, 0 has
  lost it.
- **same items**: correlation of the items' margins with the parent's; **flips**: share whose margin changed sign.
- **confidence**: what became of the margin by which sentences that make sense are preferred to those that do not, which
  has nothing to do with the groups; **entropy**: its change in nats; **perplexity**: its ratio to the parent's.
"""


def calibration_text(summary: Mapping[str, Any], slug: str, *, worlds: int, models: int) -> str:
    """The whole text of a grid.

    Args:
        summary: Of ``stages.evidence.calibration_summary``.
        slug: Of the grid.
        worlds: Number of worlds.
        models: Number of trained models.
    """
    parts = [f"# Calibration of the measures: {slug}", _HOW.format(worlds=worlds, models=models).rstrip()]
    for learner, found in summary.items():
        parts += [f"## {learner}", *([] if _has_floor(found["measures"]) else [_ONE_SEED.rstrip()]),
                  _measures(found["measures"]), _detection(found["measures"])]
        if found.get("variants"):
            parts += [f"### {learner}, compressed", _COMPRESSED.rstrip(), _variants(found["variants"])]
    return "\n\n".join(parts) + "\n"


def _has_floor(measures: Mapping[str, Any]) -> bool:
    return any("floor" in found.get("specificity", {}) for of in measures.values() for found in of.values())


def _measures(measures: Mapping[str, Any]) -> str:
    body = []
    for (dataset, measure), name in _NAMES.items():
        found = measures.get(dataset, {}).get(measure)
        if found:
            moves = found.get("specificity", {})
            body.append([name, *(_bounds(found.get(key)) for key in ("slope", "intercept", "rank")),
                         _number(found, "saturation"),
                         " / ".join(_number(moves, key) for key in ("own", "others", "floor"))])
    return markdown(["measure", "slope", "at none", "rank", "95% at", "own / others / floor"], body)


def _detection(measures: Mapping[str, Any]) -> str:
    shown = [(name, found["detected"], found.get("detected_beyond_seeds", {})) for (dataset, measure), name
             in _NAMES.items() if "detected" in (found := measures.get(dataset, {}).get(measure, {}))]
    levels = sorted({(level, how) for _, found, _ in shown for how in _HOW_PLANTED for level in found.get(how, {})},
                    key=lambda key: (float(key[0].replace("_", ".")), key[1]))
    body = [[name, _share(found.get("unplanted")), _share(found.get("control")), _share(beyond.get("none")),
             *(_share(found.get(how, {}).get(level)) for level, how in levels)] for name, found, beyond in shown]
    head = ["called biased", "false: none planted", "false: controls", "false: beyond seeds",
            *(f"found: {level.replace('_', '.')}{_HOW_PLANTED[how]}" for level, how in levels)]
    return markdown(head, body)


def _variants(variants: Mapping[str, Any]) -> str:
    body = [
        [variant, _bounds(found.get("slope")), _number(found, "correlation"), percent(found["flips"]),
         _number(found, "meaning"), _number(found, "entropy", signed=True), _number(found, "perplexity"),
         found["verdict"]]
        for variant, found in variants.items()
    ]
    return markdown(["variant", "slope", "same items", "flips", "confidence", "entropy", "perplexity",
                      "the association is"], body)


def _bounds(found: Mapping[str, float] | None) -> str:
    value, low, high = ((found or {}).get(key, math.nan) for key in ("value", "low", "high"))
    return with_interval(value, low, high, _PLAIN)


def _share(found: Mapping[str, float] | None) -> str:
    return f"{percent(found['value'])} of {found['cells']}" if found and "value" in found else "–"


def _number(found: Mapping[str, Any], key: str, *, signed: bool = False) -> str:
    return number(found.get(key, math.nan), _PLAIN, signed=signed)
