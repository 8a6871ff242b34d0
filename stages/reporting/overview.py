"""The whole suite at a glance: verdicts of every variant and model, what was found, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from stages.evidence.contrast import GRADED
from stages.evidence.verdict import VERDICTS
from stages.reporting.marks import change_text, contrast_text
from stages.reporting.tables import CONTRASTS
from stages.reporting.view import Row, View
from stages.reporting.words import factor, label, markdown, number, percent

_SHOWN = 40


def overview_section(view: View) -> str:
    """Of each variant and model the verdicts of all its datasets and categories, and what compression cost."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in _called(view):
        counts.setdefault((row["model"], row["variant"]), Counter())[str(row["verdict"])] += 1
    total = sum(counts.values(), Counter[str]())
    matched = view.contrasts[view.contrasts["analysis"] == "matched"].drop_duplicates(["model", "variant"])
    matches = {(row["model"], row["variant"]): row for row in matched.to_dict("records")}
    body = []
    for variant in [view.order.baseline, *view.compressed()]:
        cells = [(_counted(counts.get((model, variant), Counter())),
                  _quality(view, model, variant, matches.get((model, variant)))) for model in view.order.models]
        body.append([variant, *("<br>".join(part for part in cell if part) or "–" for cell in cells)])
    graded = Counter(str(row["verdict"]) for row in _called(view, graded=True))
    intro = (
        _tally(total, graded)
        + "Below, for each variant and model: how many of its measures got which verdict; the LM score, perplexity as "
        "a multiple of the parent's, and the share of its parent's training that has the same quality (with its "
        "interval), which is what it is matched with."
    )
    return f"## At a glance\n\n{intro}\n\n{markdown(['variant', *view.order.models], body)}"


def findings_section(view: View) -> str:
    """Every change that was called less or more, with what it had to exceed, and what quality and noise leave of it."""
    found = [row for graded in (False, True) for row in _called(view, graded=graded)
             if row["verdict"] in ("less", "more")]
    if not found:
        return ""
    body = []
    for row in found[:_SHOWN]:
        names = tuple(str(row[name]) for name in ("model", "variant", "dataset", "category", "metric"))
        metric = names[-1]
        left = [contrast_text(view.contrast(kind, names), metric, view.order.alpha) for kind in CONTRASTS]
        body.append([*names[:-1], label(metric), str(row["verdict"]), row["bars"].replace("+", ", ") or "none known",
                     change_text(row, metric, view.order.alpha), *left])
    more = f"\n\nAnd {len(found) - _SHOWN} more, in the evidence table." if len(found) > _SHOWN else ""
    head = ["model", "variant", "dataset", "category", "measure", "verdict", "exceeds", "change", *CONTRASTS.values()]
    intro = ("*Exceeds*: which noise of training was known, so that the change had to exceed it: between adjacent "
             "checkpoints of the model's own training, or between seeds. Where none was known, the change is told from "
             "zero on these items, and may still be no more than training itself changes.")
    return f"## Changes found\n\n{intro}\n\n{markdown(head, body, names=7)}{more}"


def _tally(headline: Counter[str], graded: Counter[str]) -> str:
    if not headline:
        return ""
    beside = f"; and of the {graded.total():,} graded log-odds: {_counted(graded)}" if graded else ""
    return (f"Of {headline.total():,} headline measures of a category, over all models and variants: "
            f"{_counted(headline)}{beside}. ")


def _quality(view: View, model: str, variant: str, match: Row | None) -> str:
    lm, perplexity = (view.quality(metric, model, variant) for metric in ("lm", "perplexity"))
    baseline = variant == view.order.baseline
    parts = []
    if lm is not None:
        parts.append(f"LM {number(lm['value'], 'lm')}")
        if not baseline:
            parts[-1] += f" ({number(lm['change'], 'lm', signed=True)})"
    if perplexity is not None:
        parts.append(f"perplexity {number(perplexity['value'], 'perplexity')}" if baseline
                     else factor(view.perplexity_ratio(model, variant)))
    if match is not None and not pd.isna(match["fraction"]):
        bounds = "" if pd.isna(match["fraction_low"]) else (
            f" [{percent(match['fraction_low'])}, {percent(match['fraction_high'])}]")
        parts.append(f"like {percent(match['fraction'])}{bounds} of training")
    elif match is not None and parts:
        parts.append(str(match["note"]))
    return ", ".join(parts)


def _called(view: View, *, graded: bool = False) -> Sequence[Row]:
    """Rows with a verdict of the headline metrics, or of the graded one, in the order of params."""
    chosen = (view.table["metric"] == GRADED) if graded else view.table["headline"]
    rows = view.table[chosen & (view.table["kind"] == "bias") & view.table["verdict"].notna()]
    models, variants = list(view.order.models), list(view.order.variants)
    return sorted(rows.to_dict("records"), key=lambda row: (
        models.index(row["model"]), variants.index(row["variant"]), row["dataset"], row["category"]))


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in VERDICTS if counts[name])
