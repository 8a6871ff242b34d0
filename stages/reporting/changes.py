"""Change of the preference for the stereotype, of many variants: a column a model, a line a variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stages.evidence.table import OVERALL
from stages.reporting.families import NAMES
from stages.reporting.style import FAINT, GRID, INK, PALETTE, add_legend, legend_rows, new_figure, save
from stages.reporting.view import View
from stages.reporting.words import short

_LINE = 0.205
"""Height of a variant, in inches."""


def draw_changes(view: View, path: Path, datasets: Sequence[str], confidence: float) -> bool:
    """Draw the change of every variant over all categories together.

    Hollow points are models whose quality fell too far for the change to say anything (verdict ``degraded``).
    The axis of a dataset covers nine tenths of its intervals; those that reach beyond end in an arrow.

    Args:
        view: What to draw.
        path: SVG file to write.
        datasets: One row of panels each; their measures pool the categories.
        confidence: Level of the intervals.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    table = view.table[view.table["headline"] & view.table["change"].notna() & (view.table["category"] == OVERALL)
                       & (view.table["variant"] != view.order.baseline)]
    datasets = [dataset for dataset in datasets if dataset in set(table["dataset"])]
    table = table[table["dataset"].isin(datasets)]
    models = [model for model in view.order.models if model in set(table["model"])]
    if not datasets or not models:
        return False
    variants = [variant for variant in view.order.variants if variant in set(table["variant"])]
    place = {variant: line for line, variant in enumerate(variants)}
    families = [name for name in NAMES if name in {view.order.families[variant] for variant in variants}]
    colours = dict(zip(NAMES, (*PALETTE, FAINT, FAINT), strict=False))
    left = 0.35 + 0.075 * max(map(len, variants))
    width = max(6.4, left + 2.6 * len(models) + 0.1)
    top, panel = 0.5 + 0.2 * legend_rows(families, width), _LINE * (len(variants) + 0.6)
    height = top + len(datasets) * (panel + 0.85) + 0.35
    figure, axes = new_figure(len(datasets), len(models), (width, height), sharey=True, sharex="row")
    for row, dataset in zip(axes, datasets, strict=True):
        of = table[table["dataset"] == dataset]
        low, high = _reach(of)
        for axis, model in zip(row, models, strict=True):
            axis.axvline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            for cell in of[of["model"] == model].to_dict("records"):
                y, colour = place[cell["variant"]], colours[view.order.families[cell["variant"]]]
                ends = np.clip([cell["change_low"], cell["change_high"]], low, high)
                if not np.isnan(ends).any():
                    axis.plot(ends, [y, y], color=colour, linewidth=1.6, solid_capstyle="round", zorder=2)
                for end, stop, marker in zip((cell["change_low"], cell["change_high"]), ends, "<>", strict=True):
                    if end != stop and not np.isnan(end):
                        axis.plot(stop, y, marker=marker, color=colour, markersize=4.5, clip_on=False, zorder=3)
                if low <= cell["change"] <= high:
                    inside = "white" if cell["verdict"] == "degraded" else colour
                    axis.plot(cell["change"], y, marker="o", color=colour, markersize=4.8, markeredgewidth=1.3,
                              markerfacecolor=inside, zorder=3)
            axis.set_xlim(low, high)
            axis.grid(axis="x", color=GRID, linewidth=0.8)
            axis.tick_params(axis="y", length=0)
            axis.spines["left"].set_visible(False)
            axis.set_title(model, pad=6)
        row[0].set_yticks(range(len(variants)), variants)
        row[0].set_ylim(len(variants) - 0.4, -0.6)
        row[0].set_xlabel(f"{short(dataset, view.headline(dataset))}: change from {view.order.baseline}, points",
                          loc="left")
    figure.subplots_adjust(left=left / width, right=1 - 0.15 / width, top=1 - top / height, bottom=0.9 / height,
                           wspace=0.08, hspace=0.85 / panel)
    handles = [axes[0][0].plot([], [], marker="o", linewidth=1.6, markersize=4.8, color=colours[name])[0]
               for name in families]
    add_legend(figure, handles, families)
    figure.text(0.1 / width, 0.1 / height, f"Lines: {confidence:.0%} intervals of the paired change. Hollow: degraded, "
                "its language modelling fell too far for the change to say\nanything about bias. Left of 0: fewer "
                "stereotypes preferred than by the parent.", fontsize=7.8, color=FAINT)
    save(figure, path)
    return True


def _reach(table: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: what nine tenths of the intervals stay within, and 0 in any case."""
    low = float(np.nanquantile(table["change_low"].fillna(table["change"]), 0.05))
    high = float(np.nanquantile(table["change_high"].fillna(table["change"]), 0.95))
    margin = 0.06 * max(high - low, 1.0)
    return min(low, -1.0) - margin, max(high, 1.0) + margin
