"""The calibration of the measures in plain words and Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_NAMES = {
    ("crows_pairs", "score"): "pairs: share preferred (%)",
    ("crows_pairs", "log_odds"): "pairs: log-odds a token (nats)",
    ("crows_pairs", "sentence_log_odds"): "pairs: log-odds a sentence (nats)",
    ("stereoset", "ss"): "triples: SS (%)",
    ("stereoset", "log_odds"): "triples: log-odds a token (nats)",
    ("stereoset", "sentence_log_odds"): "triples: log-odds a sentence (nats)",
    ("both", "sentence_log_odds"): "both: log-odds a sentence (nats)",
    ("seat", "effect_size"): "SEAT: mean effect size",
    ("seat", "mean_abs_effect"): "SEAT: mean magnitude of effect size",
}
_HOW = """\
Tiny models are trained on worlds whose bias is known, because it was planted: the log-odds with which a group goes
with what is typical of it, in nats. {models} models were trained on {worlds} worlds and asked with sentences in
constructions that the training text never joins with a group.

- **slope**: units of the measure a planted nat (a sentence's log-odds that told the whole truth would have 1);
  **at none**: the measure where nothing is planted; **rank**: rank correlation with the truth. In brackets: intervals
  that resample worlds, and seeds within them.
- **95% at**: planted nats from which the measure has covered 95% of its range; what is stronger looks alike.
- **own / others / floor**: how far it moves when one kind's association is changed: that kind, the kinds left alone,
  and what two seeds of the same world exceed in 5% of cases.
- **false**: share of models and kinds called biased where nothing was planted, and of control items (both words of one
  group). **found**: share called biased by planted nats. Called biased: the interval over clusters of items leaves out
  no preference. **beyond seeds**: both kinds of false findings, where the value must also lie further from no
  preference than 95% of seeds do.
"""
_COMPRESSED = """\
- **slope**: sentence log-odds of the variant on its parent's, over worlds and kinds: 1 keeps the association, 0 has
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
        parts += [f"## {learner}", _measures(found["measures"]), _detection(found["measures"])]
        if found.get("variants"):
            parts += [f"### {learner}, compressed", _COMPRESSED.rstrip(), _variants(found["variants"])]
    return "\n\n".join(parts) + "\n"


def _measures(measures: Mapping[str, Any]) -> str:
    body = []
    for (dataset, measure), name in _NAMES.items():
        found = measures.get(dataset, {}).get(measure)
        if found:
            moves = found.get("specificity", {})
            body.append([name, *(_bounds(found.get(key)) for key in ("slope", "intercept", "rank")),
                         _number(found.get("saturation")),
                         " / ".join(_number(moves.get(key)) for key in ("own", "others", "floor"))])
    return _markdown(["measure", "slope", "at none", "rank", "95% at", "own / others / floor"], body)


def _detection(measures: Mapping[str, Any]) -> str:
    shown = [(name, found["detected"], found.get("detected_beyond_seeds", {})) for (dataset, measure), name
             in _NAMES.items() if "detected" in (found := measures.get(dataset, {}).get(measure, {}))]
    levels = sorted({level for _, found, _ in shown for level in found.get("planted", {})})
    body = [[name, _share(found.get("unplanted")), _share(found.get("control")), _share(beyond.get("none")),
             *(_share(found.get("planted", {}).get(level)) for level in levels)] for name, found, beyond in shown]
    head = ["called biased", "false: none planted", "false: controls", "false: beyond seeds",
            *(f"found: {level.replace('_', '.')}" for level in levels)]
    return _markdown(head, body)


def _variants(variants: Mapping[str, Any]) -> str:
    body = [
        [variant, _bounds(found.get("slope")), _number(found.get("correlation")), _percent(found.get("flips")),
         _number(found.get("meaning")), _number(found.get("entropy"), signed=True), _number(found.get("perplexity")),
         found["verdict"]]
        for variant, found in variants.items()
    ]
    return _markdown(["variant", "slope", "same items", "flips", "confidence", "entropy", "perplexity",
                      "the association is"], body)


def _bounds(found: Mapping[str, float] | None) -> str:
    if not found or "value" not in found:
        return "–"
    text = _number(found["value"])
    return text if "low" not in found else f"{text} [{_number(found['low'])}, {_number(found['high'])}]"


def _share(found: Mapping[str, float] | None) -> str:
    return f"{_percent(found['value'])} of {found['cells']}" if found and "value" in found else "–"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}%"


def _number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{value:{'+' if signed else ''}.2f}"
    return (text.lstrip("+-") if float(text) == 0 else text).replace("-", "−")


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
