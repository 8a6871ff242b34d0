"""How much of the change in bias the change in quality explains: one point a model and variant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from stages.reporting.families import NAMES
from stages.reporting.style import FAINT, GRID, INK, MARKERS, PALETTE, add_legend, legend_rows, new_figure, save
from stages.reporting.view import View
from stages.reporting.words import short

_FACTORS = (1, 1.1, 1.3, 2, 4, 10, 100, 1000, 10000)
_LINEAR = 0.05
"""Log ratios of perplexity below which the axis is linear."""


def draw_quality(view: View, path: Path, datasets: Sequence[str]) -> bool:
    """Draw the change of each dataset's headline metric against the change of perplexity.

    All categories together; where a measure does not pool them, the mean over them. Vertical lines are
    intervals, where there is one change.

    Args:
        view: What to draw.
        path: SVG file to write.
        datasets: One panel each.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    points = {dataset: _points(view, dataset) for dataset in datasets}
    points = {dataset: found for dataset, found in points.items() if len(found)}
    if not points:
        return False
    every = pd.concat(points.values())
    families = [name for name in NAMES if name in set(every["family"])]
    models = [name for name in view.order.models if name in set(every["model"])]
    colours = {name: PALETTE[place % len(PALETTE)] if place < len(PALETTE) else FAINT
               for place, name in enumerate(NAMES)}
    markers = {name: MARKERS[place % len(MARKERS)] for place, name in enumerate(view.order.models)}
    columns = min(2, len(points))
    rows = -(-len(points) // columns)
    width = max(6.4, 0.3 + 4.1 * columns)
    names = [*families, *models]
    top = 0.5 + 0.2 * legend_rows(names, width)
    height = top + 3.1 * rows + 0.35
    figure, grid = new_figure(rows, columns, (width, height))
    axes = [axis for line in grid for axis in line]
    for axis, (dataset, found) in zip(axes, points.items(), strict=False):
        axis.axhline(0, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axis.axvline(0, color=GRID, linewidth=0.8, zorder=1)
        for row in found.to_dict("records"):
            style = {"color": colours[row["family"]], "marker": markers[row["model"]]}
            if not math.isnan(row["low"]):
                axis.plot([row["cost"]] * 2, [row["low"], row["high"]], color=style["color"], linewidth=1, alpha=0.45)
            axis.plot(row["cost"], row["change"], linestyle="none", markersize=5.5, markeredgewidth=0.7,
                      markeredgecolor="white", zorder=3, **style)
        axis.set_xscale("symlog", linthresh=_LINEAR, linscale=0.6)
        axis.xaxis.set_major_locator(FixedLocator([math.log(factor) for factor in _FACTORS]))
        axis.xaxis.set_minor_locator(NullLocator())
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"×{math.exp(value):,.4g}"))
        axis.set_xlim(min(-0.02, every["cost"].min() * 1.2), max(0.15, every["cost"].max() * 1.25))
        axis.grid(color=GRID, linewidth=0.8)
        metric = view.headline(dataset)
        axis.set_title(short(dataset, metric), pad=6)
        axis.set_ylabel("change in bias" + ("" if metric == "mean_abs_effect" else ", points"))
        axis.set_xlabel("perplexity against the parent's (log scale)")
    for axis in axes[len(points) :]:
        axis.set_visible(False)
    blank = axes[0]
    handles = [blank.plot([], [], linestyle="none", marker="o", markersize=5.5, color=colours[name])[0]
               for name in families]
    handles += [blank.plot([], [], linestyle="none", marker=markers[name], markersize=5.5, color=FAINT)[0]
                for name in models]
    figure.subplots_adjust(left=0.72 / width, right=1 - 0.12 / width, top=1 - top / height, bottom=0.75 / height,
                           wspace=0.24, hspace=0.42)
    add_legend(figure, handles, names)
    figure.text(0.1 / width, 0.1 / height, "Colour: kind of compression. Shape: model. Right: worse language model. "
                "Below 0: less stereotypical than the parent.", fontsize=7.8, color=FAINT)
    save(figure, path)
    return True


def _points(view: View, dataset: str) -> pd.DataFrame:
    """Columns model, family, cost (log ratio of perplexity), change, low, high (of the change; NaN of a mean)."""
    metric, categories = view.headline(dataset), view.summary_categories(dataset)
    found = []
    for model in view.models(dataset):
        for variant in view.variants(model)[1:]:
            known = [view.row(model, variant, dataset, category, metric) for category in categories]
            rows = [row for row in known if row is not None and not math.isnan(row["change"])]
            ratio = view.perplexity_ratio(model, variant)
            if rows and ratio > 0:
                low, high = (rows[0][f"change_{end}"] if len(categories) == 1 else math.nan for end in ("low", "high"))
                found.append({"model": model, "family": view.order.families[variant], "cost": math.log(ratio),
                              "change": float(np.mean([row["change"] for row in rows])), "low": low, "high": high})
    return pd.DataFrame(found)
