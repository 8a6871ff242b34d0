"""The results as Markdown tables: a row a model and variant, bias by category, quality always beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from stages.evidence.table import OVERALL, quality_rows
from stages.reporting.words import number, title, unit, with_interval


@dataclass(frozen=True)
class Order:
    """The order of everything, from params, and the level of tests."""

    models: Sequence[str]
    variants: Sequence[str]
    baseline: str
    categories: Sequence[str]
    alpha: float


def dataset_section(table: pd.DataFrame, dataset: str, order: Order) -> str:
    """All tables of one bias dataset: values, changes and graded changes."""
    rows = table[table["dataset"] == dataset]
    headline = str(rows.loc[rows["headline"], "metric"].iloc[0])
    parts = [f"## {dataset}", _basis(rows, headline, order),
             f"### {title(headline)[0].upper()}{title(headline)[1:]}", _levels(table, rows, headline, order)]
    for metric in [headline, *sorted({"log_odds"} & set(rows["metric"]))]:
        changes = _changes(table, rows, metric, order)
        if changes:
            parts += [f"### Change of the {title(metric)}", changes]
    return "\n\n".join(parts)


def quality_section(table: pd.DataFrame, order: Order) -> str:
    """Language modelling of every model and variant, with its change."""
    rows = table[(table["kind"] == "quality") & table["metric"].isin(["lm", "perplexity"])]
    rows = rows[(rows["metric"] == "perplexity") | (rows["category"] == OVERALL)]
    columns = list(rows[["dataset", "category", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    head = [f"{dataset} {title(metric)}" for dataset, _, metric in columns]
    body = []
    for model, variant in _cells(rows, order):
        cells = []
        for dataset, category, metric in columns:
            row = _row(rows, model, variant, dataset, category, metric)
            cells += [_value(row, metric), _change(row, metric, order) if variant != order.baseline else "–"]
        body.append([model, variant, *cells])
    return "## Language modelling\n\n" + _markdown(
        ["model", "variant", *(text for name in head for text in (name, "change"))], body)


def _basis(rows: pd.DataFrame, headline: str, order: Order) -> str:
    """How many items and clusters the numbers rest on, over all models."""
    found = []
    for category in _categories(rows, order):
        of = rows[(rows["category"] == category) & (rows["metric"] == headline)]
        text = f"{category} {_span(of['items'])} {unit(headline)} in {_span(of['clusters'])} clusters"
        if of["effective_items"].notna().any():
            text += f", worth {_span(of['effective_items'].round())} independent ones"
        found.append(text)
    return "Rests on: " + "; ".join(found) + "."


def _levels(table: pd.DataFrame, rows: pd.DataFrame, metric: str, order: Order) -> str:
    categories = _categories(rows, order)
    dataset = str(rows["dataset"].iloc[0])
    body = [
        [model, variant, *(_value(_row(rows, model, variant, dataset, category, metric), metric)
                           for category in categories), *_quality(table, model, variant)]
        for model, variant in _cells(rows, order)
    ]
    return _markdown(["model", "variant", *categories, "LM score", "perplexity"], body)


def _changes(table: pd.DataFrame, rows: pd.DataFrame, metric: str, order: Order) -> str:
    categories = _categories(rows, order)
    dataset = str(rows["dataset"].iloc[0])
    body = []
    for model, variant in _cells(rows, order):
        if variant == order.baseline:
            continue
        found = [_row(rows, model, variant, dataset, category, metric) for category in categories]
        lm, perplexity = (next(iter(rows.loc[(rows["model"] == model) & (rows["variant"] == variant), name]))
                          for name in ("lm_change", "perplexity_change"))
        body.append([model, variant, *(_change(row, metric, order) for row in found),
                     number(lm, "lm", signed=True), number(perplexity, "perplexity", signed=True)])
    return _markdown(["model", "variant", *categories, "ΔLM score", "Δperplexity"], body) if body else ""


def _quality(table: pd.DataFrame, model: str, variant: str) -> list[str]:
    """LM score and perplexity of a model."""
    found = []
    for metric in ("lm", "perplexity"):
        rows = quality_rows(table, metric)
        of = rows.loc[(rows["model"] == model) & (rows["variant"] == variant), "value"]
        found.append(number(float(of.iloc[0]), metric) if len(of) else "–")
    return found


def _value(row: pd.Series | None, metric: str) -> str:
    return "–" if row is None else with_interval(row["value"], row["ci_low"], row["ci_high"], metric)


def _change(row: pd.Series | None, metric: str, order: Order) -> str:
    """A change with its interval and flips; bold where its adjusted p is below alpha."""
    if row is None or pd.isna(row["change"]):
        return "–"
    text = with_interval(row["change"], row["change_low"], row["change_high"], metric, signed=True)
    if row["p_adjusted"] < order.alpha:
        text = f"**{text}**"
    if not pd.isna(row["flips_more"]):
        text += f" ↑{row['flips_more']:.0f} ↓{row['flips_less']:.0f}"
    return text


def _row(rows: pd.DataFrame, model: str, variant: str, dataset: str, category: str, metric: str) -> pd.Series | None:
    found = rows[(rows["model"] == model) & (rows["variant"] == variant) & (rows["dataset"] == dataset)
                 & (rows["category"] == category) & (rows["metric"] == metric)]
    return found.iloc[0] if len(found) else None


def _cells(rows: pd.DataFrame, order: Order) -> list[tuple[str, str]]:
    present = set(zip(rows["model"], rows["variant"], strict=True))
    return [(model, variant) for model in order.models for variant in order.variants if (model, variant) in present]


def _categories(rows: pd.DataFrame, order: Order) -> list[str]:
    present = set(rows.loc[rows["headline"], "category"])
    return [category for category in (*order.categories, OVERALL) if category in present]


def _span(values: pd.Series) -> str:
    low, high = f"{values.min():,.0f}", f"{values.max():,.0f}"
    return low if low == high else f"{low} to {high}"


def _markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", "---", *("---:" for _ in head[2:])], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
