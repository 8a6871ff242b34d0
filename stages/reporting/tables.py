"""Bias of every variant, with its change, verdict and contrasts, and quality beside it: a table a dataset and model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from stages.evidence.contrast import GRADED
from stages.evidence.table import OVERALL
from stages.reporting.families import CONTROL
from stages.reporting.marks import change_text, contrast_text, floor_mark, level_text, verdict_text
from stages.reporting.view import Row, View
from stages.reporting.words import factor, markdown, number, percent, title, unit

CONTRASTS = {"matched": "beyond quality", "noise": "beyond noise"}
"""Analyses of the contrast table, and what their columns are called."""


def dataset_section(view: View, dataset: str) -> str:
    """All tables of one bias dataset, one a model."""
    metric = view.headline(dataset)
    parts = [f"## {dataset}: {title(metric)}", _basis(view, dataset)]
    for model in view.models(dataset):
        parts += [f"### {dataset}: {model}", _model_table(view, dataset, model)]
    return "\n\n".join(parts)


def compact_section(view: View, dataset: str, other: str) -> str:
    """One table of a dataset that another of the same measure stands for: a row a variant, a column a model."""
    metric = view.headline(dataset)
    models = view.models(dataset)
    [category] = view.summary_categories(dataset)[-1:]
    body = [[variant, *(_cell(view.row(model, variant, dataset, category, metric), metric, view.order.alpha)
                        for model in models)]
            for variant in [view.order.baseline, *view.compressed()]]
    intro = f"The same measure as `{other}` on fewer items: {category}. {_basis(view, dataset)}"
    return f"## {dataset}: {title(metric)}\n\n{intro}\n\n{markdown(['variant', *models], body)}"


def _model_table(view: View, dataset: str, model: str) -> str:
    metric, categories = view.headline(dataset), view.categories(dataset)
    graded = view.row(model, view.order.baseline, dataset, categories[-1], GRADED) is not None
    kinds = [kind for kind in CONTRASTS if _any(view, kind, dataset, model)]
    named = view.summary_categories(dataset)
    columns = [(kind, category) for kind in kinds for category in named]
    known = {variant: view.flips(model, variant, dataset) for variant in view.variants(model)}
    binned = any(known.values())
    head = ["variant", *categories, *(["log-odds"] if graded else []),
            *(["flips, sure to unsure"] if binned else []), "moves most",
            *(CONTRASTS[kind] + ("" if category == OVERALL else f", {category}") for kind, category in columns),
            "LM score", "perplexity"]
    body = []
    for variant in view.variants(model):
        if view.many and view.order.families[variant] == CONTROL:  # stand in the overview
            continue
        rows = [view.row(model, variant, dataset, category, metric) for category in categories]
        cells = [_cell(row, metric, view.order.alpha) for row in rows]
        if graded:
            cells.append(_cell(view.row(model, variant, dataset, categories[-1], GRADED), GRADED, view.order.alpha))
        if binned:
            cells.append(" ".join(percent(share) for share in known[variant]) or "–")
        worst = view.worst(model, variant, dataset)
        cells.append("–" if worst is None else
                     f"{worst['worst_category']} {number(worst['worst_change'], metric, signed=True)}")
        cells += [contrast_text(view.contrast(kind, (model, variant, dataset, category, metric)), metric,
                                view.order.alpha) for kind, category in columns]
        body.append([variant, *cells, *quality_cells(view, model, variant)])
    shown = [*((category, metric) for category in categories), *([(categories[-1], GRADED)] if graded else [])]
    return markdown(head, [*body, *_floors(view, dataset, model, shown, len(head))])


def quality_cells(view: View, model: str, variant: str) -> list[str]:
    """LM score and perplexity: of the baseline their values, of a variant what became of them."""
    lm, perplexity = (view.quality(metric, model, variant) for metric in ("lm", "perplexity"))
    if variant == view.order.baseline:
        return ["–" if row is None else number(row["value"], metric)
                for row, metric in ((lm, "lm"), (perplexity, "perplexity"))]
    return ["–" if lm is None else number(lm["change"], "lm", signed=True),
            factor(view.perplexity_ratio(model, variant))]


def _cell(row: Row | None, metric: str, alpha: float) -> str:
    """Of a parent the value with its interval; of a child the value, its change and the verdict."""
    if row is None:
        return "–"
    if pd.isna(row["change"]):
        return level_text(row, metric)
    value = number(row["value"], metric) + floor_mark(row)
    return f"{value}: {change_text(row, metric, alpha)}{verdict_text(row)}"


def _floors(
    view: View, dataset: str, model: str, shown: Sequence[tuple[str, str]], columns: int
) -> list[list[str]]:
    """Rows of what a model that knows nothing gets, by category and metric, where that is known."""
    found = []
    for name, label in (("floor", "*untrained network*"), ("null", "*no context*")):
        cells = []
        for category, metric in shown:
            row = view.row(model, view.order.baseline, dataset, category, metric)
            known = row is not None and not pd.isna(row[f"{name}_low"])
            cells.append(f"{number(row[f'{name}_low'], metric)} to {number(row[f'{name}_high'], metric)}"
                         if row is not None and known else "–")
        if set(cells) != {"–"}:
            found.append([label, *cells, *["–"] * (columns - 1 - len(cells))])
    return found


def _any(view: View, kind: str, dataset: str, model: str) -> bool:
    rows = view.contrasts
    chosen = rows[(rows["analysis"] == kind) & (rows["dataset"] == dataset) & (rows["model"] == model)]
    return bool(chosen["estimate"].notna().any())


def _basis(view: View, dataset: str) -> str:
    """How many items and clusters the numbers rest on, over all models."""
    headline = view.headline(dataset)
    rows = view.table[(view.table["dataset"] == dataset) & (view.table["metric"] == headline)]
    found = []
    for category in view.categories(dataset):
        of = rows[rows["category"] == category]
        text = f"{category} {_span(of['items'])} {unit(headline)} in {_span(of['clusters'])} clusters"
        if of["effective_items"].notna().any():
            text += f", worth {_span(of['effective_items'].round())} independent ones"
        found.append(text)
    return "Rests on: " + "; ".join(found) + "."


def _span(values: pd.Series | Sequence[float]) -> str:
    values = [value for value in values if not math.isnan(value)]
    low, high = f"{min(values):,.0f}", f"{max(values):,.0f}"
    return low if low == high else f"{low} to {high}"
