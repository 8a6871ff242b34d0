"""Scores with their intervals, model by model and category by category."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stages.reporting.style import FAINT, GRID, INK, add_legend, legend_rows, looks, new_figure, save
from stages.reporting.words import short


@dataclass(frozen=True)
class Quantity:
    """What a forest figure shows: columns of the evidence table, the line to read against, and a note."""

    value: str
    low: str
    high: str
    reference: float
    label: str
    note: str


LEVEL = Quantity(
    "value", "ci_low", "ci_high", 50, "preference for the stereotype, %",
    "Lines: {level} intervals, whole clusters of items resampled. Grey: what an untrained network of the same "
    "architecture scores, where that is known. 50: as often one way as the other, which an untrained network does not "
    "score either, so that a move towards 50 is not by itself less bias.",
)
CHANGE = Quantity(
    "change", "change_low", "change_high", 0, "change from {baseline}, points",
    "Lines: {level} intervals of the paired change, whole clusters of items resampled. Left of 0: fewer stereotypes "
    "preferred than by the parent. Read it beside the change in quality: a model that is damaged also moves.",
)


def draw_forest(
    table: pd.DataFrame, path: Path, quantity: Quantity, *, models: Sequence[str], variants: Sequence[str],
    baseline: str, categories: Sequence[str], confidence: float,
) -> None:
    """Draw percentages (CrowS-Pairs score, StereoSet SS), or their changes, of every model, variant and category.

    Args:
        table: Rows of the evidence table whose metric is a percentage.
        path: SVG file to write.
        quantity: ``LEVEL`` or ``CHANGE``.
        models: Order of the models; those without such scores are left out.
        variants: Order of the variants within a category.
        baseline: The parent's variant; it has no change.
        categories: Order of the categories.
        confidence: Level of the intervals.
    """
    table = table[table[quantity.value].notna()]
    look = {name: style for name, style in looks(variants, baseline).items() if name in set(table["variant"])}
    variants = list(look)
    models = [model for model in models if model in set(table["model"])]
    panels = list(table[["dataset", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    step, gap = 0.27, 0.62
    height = {"category": step * (len(variants) - 1) + gap, "model": 0.55}
    rows: dict[tuple[str, str], float] = {}
    heads: dict[str, float] = {}
    y = 0.0
    for model in models:
        heads[model] = y
        y += height["model"]
        for category in categories:
            rows[model, category] = y
            y += height["category"]
        y += 0.25
    width = max(6.4, 1.3 + 3.1 * len(panels))
    top = 0.44 + 0.2 * legend_rows(variants, width)
    note = textwrap.wrap(quantity.note.format(level=f"{confidence:.0%}"), int(15.5 * width))
    bottom = 0.63 + 0.15 * len(note)
    inches = 0.31 * y + top + bottom
    figure, [axes] = new_figure(1, len(panels), (width, inches), sharey=True)
    shown = [quantity.value, quantity.low, quantity.high]
    reach = table[shown + (["floor_low", "floor_high"] if quantity is LEVEL else [])]
    low = min(quantity.reference - 5, float(reach.min().min()))
    high = max(quantity.reference + 5, float(reach.max().max()))
    margin = 0.03 * (high - low)
    for axis, (dataset, metric) in zip(axes, panels, strict=True):
        axis.axvline(quantity.reference, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        for row in table[(table["dataset"] == dataset) & (table["metric"] == metric)].to_dict("records"):
            if (row["model"], row["category"]) not in rows:
                continue
            if quantity is LEVEL and row["variant"] == baseline and not pd.isna(row["floor_low"]):
                start = rows[row["model"], row["category"]]
                axis.fill_betweenx([start - 0.2, start + step * (len(variants) - 1) + 0.2], row["floor_low"],
                                   row["floor_high"], color=GRID, linewidth=0, zorder=0)
            place = rows[row["model"], row["category"]] + step * variants.index(row["variant"])
            style = look[row["variant"]]
            if not pd.isna(row[quantity.low]):
                axis.plot([row[quantity.low], row[quantity.high]], [place, place], color=style["color"], linewidth=1.6,
                          solid_capstyle="round", zorder=2)
            axis.plot(row[quantity.value], place, linestyle="none", markersize=5.2, markeredgewidth=1.4, zorder=3,
                      **style)
        axis.set_title(short(dataset, metric), pad=8)
        axis.set_xlim(low - margin, high + margin)
        axis.set_xlabel(quantity.label.format(baseline=baseline))
        axis.grid(axis="x", color=GRID, linewidth=0.8)
        axis.tick_params(axis="y", length=0)
        axis.spines["left"].set_visible(False)
    first = axes[0]
    first.set_ylim(y - 0.1, -0.45)
    middle = step * (len(variants) - 1) / 2
    first.set_yticks([place + middle for place in rows.values()], [category for _, category in rows])
    for model, place in heads.items():
        first.annotate(model, (0, place), xycoords=("axes fraction", "data"), xytext=(-78, 0),
                       textcoords="offset points", fontweight="bold", va="center", annotation_clip=False)
        for axis in axes:
            axis.axhline(place - 0.38, color=GRID, linewidth=0.8)
    handles = [first.plot([], [], linewidth=1.6, markersize=5.2, markeredgewidth=1.4, **style)[0]
               for style in look.values()]
    figure.subplots_adjust(left=1.25 / width, right=1 - 0.15 / width, top=1 - top / inches,
                           bottom=bottom / inches, wspace=0.08)
    add_legend(figure, handles, variants)
    figure.text(0.1 / width, 0.1 / inches, "\n".join(note), fontsize=7.8, color=FAINT)
    save(figure, path)
