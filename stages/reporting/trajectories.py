"""Bias and quality over training, before and after compression."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from stages.reporting.style import FAINT, GRID, INK, add_legend, legend_rows, looks, new_figure, save

_LABEL_DISTANCE = 0.23
"""Least distance of two labelled ticks, in decades."""


def draw_trajectories(
    curves: pd.DataFrame, path: Path, *, panels: Sequence[tuple[str, str, str, str]], models: Sequence[str],
    variants: Sequence[str], baseline: str,
) -> bool:
    """Draw one column a model and one row a metric, a line a variant.

    Args:
        curves: Rows of the trajectory files: model, variant, fraction, dataset, category, metric, value.
        path: SVG file to write.
        panels: Rows as (dataset, category, metric, title).
        models: Order of the models; those with a single checkpoint are left out.
        variants: Order of the variants; those at a single checkpoint are left out.
        baseline: The parent's variant.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    curves = curves[curves.groupby(["model", "variant"])["fraction"].transform("nunique") > 1]
    models = [model for model in models if model in set(curves["model"])]
    variants = [variant for variant in variants if variant in set(curves["variant"])]
    panels = [panel for panel in panels if not _select(curves, panel).empty]
    if not models or not panels:
        return False
    width = max(6.4, 1.0 + 3.2 * len(models))
    top = 0.40 + 0.2 * legend_rows(variants, width)
    inches = 1.75 * len(panels) + top + 0.62
    figure, axes = new_figure(len(panels), len(models), (width, inches), sharex="col", sharey="row")
    look = looks(variants, baseline)
    for row, panel in zip(axes, panels, strict=True):
        chosen = _select(curves, panel)
        for axis, model in zip(row, models, strict=True):
            for variant, style in look.items():
                line = chosen[(chosen["model"] == model) & (chosen["variant"] == variant)].sort_values("fraction")
                axis.plot(line["fraction"], line["value"], linewidth=1.7, markersize=4.6, markeredgewidth=1.3,
                          clip_on=False, zorder=3, **style)
            if panel[2] in ("score", "ss"):
                axis.axhline(50, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            axis.set_xscale("log")
            axis.grid(color=GRID, linewidth=0.8)
            axis.minorticks_off()
            axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        row[0].set_ylabel(panel[3])
    for axis, model in zip(axes[0], models, strict=True):
        axis.set_title(model)
    for axis, model in zip(axes[-1], models, strict=True):
        fractions = sorted(curves.loc[curves["model"] == model, "fraction"].unique())
        axis.set_xticks(fractions, _labels(fractions))
        axis.set_xlabel("share of training (log scale)")
    figure.align_ylabels([row[0] for row in axes])
    figure.subplots_adjust(left=0.75 / width, right=1 - 0.15 / width, top=1 - top / inches, bottom=0.80 / inches,
                           wspace=0.1, hspace=0.16)
    add_legend(figure, axes[0][0].get_lines()[: len(variants)], variants)
    figure.text(0.1 / width, 0.1 / inches, "Dashed: 50, as often one way as the other.", fontsize=7.8, color=FAINT)
    save(figure, path)
    return True


def _select(curves: pd.DataFrame, panel: tuple[str, str, str, str]) -> pd.DataFrame:
    dataset, category, metric, _ = panel
    return curves[(curves["dataset"] == dataset) & (curves["category"] == category) & (curves["metric"] == metric)]


def _labels(fractions: Sequence[float]) -> list[str]:
    """Percentages for ticks, blank where two would touch; the last and then the lowest have precedence."""
    places = np.log10(np.asarray(fractions, dtype=np.float64))
    kept: list[int] = []
    for position in [len(places) - 1, *range(len(places) - 1)]:
        if all(abs(places[position] - places[other]) >= _LABEL_DISTANCE for other in kept):
            kept.append(position)
    return [f"{100 * fraction:g}%" if position in kept else "" for position, fraction in enumerate(fractions)]
