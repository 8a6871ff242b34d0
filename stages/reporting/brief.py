"""Each model in one table: what its variants changed, what of it is beyond quality, and the quality that is left."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stages.evidence.contrast import GRADED
from stages.evidence.table import OVERALL
from stages.reporting.marks import change_alone, contrast_text, floor_mark, level_text, verdict_text
from stages.reporting.view import Row, View
from stages.reporting.words import factor, markdown, number, short


def brief_section(view: View, datasets: Sequence[str]) -> str:
    """A table a model over all categories together: headline metrics, graded log-odds, and quality beside them.

    Args:
        view: Evidence and contrasts.
        datasets: Those about bias that count; the ones whose measure does not pool categories are left out.

    Returns:
        Markdown; empty where no dataset pools its categories, or nothing was compressed.
    """
    columns = [(dataset, metric) for dataset in datasets if view.summary_categories(dataset) == [OVERALL]
               for metric in (view.headline(dataset), GRADED)]
    columns.sort(key=lambda column: column[1] == GRADED)
    tables = [f"### In brief: {model}\n\n{_table(view, model, columns)}" for model in view.order.models
              if any(view.row(model, view.order.baseline, *_names(column)) for column in columns)]
    if not tables or not view.compressed():
        return ""
    intro = (f"Change from `{view.order.baseline}` over all categories together, on the same items, and what of it is "
             "beyond quality: against an uncompressed checkpoint of the model's own training with the same quality.")
    return "\n\n".join([f"## Each model in brief\n\n{intro}", *tables])


def _table(view: View, model: str, columns: list[tuple[str, str]]) -> str:
    head = ["variant", *(short(*column) for column in columns),
            *(f"{short(*column)}, beyond quality" for column in columns), "LM score", "perplexity"]
    body = []
    for variant in view.variants(model):
        changes = [_change(view.row(model, variant, *_names(column)), column[1], view.order.alpha)
                   for column in columns]
        beyond = [contrast_text(view.contrast("matched", (model, variant, *_names(column))), column[1],
                                view.order.alpha) for column in columns]
        lm, perplexity = (view.quality(metric, model, variant) for metric in ("lm", "perplexity"))
        left = ("–" if perplexity is None else number(perplexity["value"], "perplexity")
                if variant == view.order.baseline else factor(view.perplexity_ratio(model, variant)))
        body.append([variant, *changes, *beyond, "–" if lm is None else number(lm["value"], "lm"), left])
    return markdown(head, body)


def _names(column: tuple[str, str]) -> tuple[str, str, str]:
    dataset, metric = column
    return dataset, OVERALL, metric


def _change(row: Row | None, metric: str, alpha: float) -> str:
    """Of a parent the value, of a child the change and the verdict."""
    if row is None:
        return "–"
    if pd.isna(row["change"]):
        return level_text(row, metric)
    return change_alone(row, metric, alpha) + floor_mark(row) + verdict_text(row)
