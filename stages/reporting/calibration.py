"""What each measure says against what was planted, for every kind of model, uncompressed and compressed."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stages.reporting.style import BASELINE, FAINT, GRID, INK, add_legend, legend_rows, looks, new_figure, save

_PANELS = (
    ("crows_pairs", "score", "pairs: share preferred, %"),
    ("crows_pairs", "log_odds", "pairs: log-odds, nats"),
    ("stereoset", "ss", "triples: SS, %"),
    ("stereoset", "log_odds", "triples: log-odds, nats"),
    ("seat", "effect_size", "SEAT: effect size"),
)
_NOTE = (
    "Points: uncompressed models, one a world, kind of group and seed, with the interval over clusters of items; "
    "triangles: planted through proxy words. Lines: means of each variant. Dotted: no preference. Dashed: the truth, "
    "for log-odds."
)
_LAST = "p100"


def draw_calibration(
    levels: pd.DataFrame, summary: Mapping[str, Any], path: Path, *, learners: Sequence[str], variants: Sequence[str],
    baseline: str,
) -> None:
    """Draw one row a kind of model and one column a measure.

    Args:
        levels: Of ``stages.evidence.calibration_rows``.
        summary: Of ``stages.evidence.calibration_summary``, for the slopes that stand in the panels.
        path: SVG file to write.
        learners: Order of the kinds of models.
        variants: Order of the variants.
        baseline: The uncompressed one.
    """
    levels = levels[(levels["checkpoint"] == _LAST) & ~levels["control"]]
    width, look = 2.0 + 2.55 * len(_PANELS), looks(variants, baseline)
    note = textwrap.wrap(_NOTE, int(15.5 * width))
    top, bottom = 0.45 + 0.2 * legend_rows(variants, width), 0.66 + 0.15 * len(note)
    inches = 2.25 * len(learners) + top + bottom
    figure, axes = new_figure(len(learners), len(_PANELS), (width, inches), sharex=True, sharey="col")
    for row, learner in zip(axes, learners, strict=True):
        for axis, (dataset, measure, title) in zip(row, _PANELS, strict=True):
            rows = levels[(levels["learner"] == learner) & (levels["dataset"] == dataset)
                          & (levels["measure"] == measure)]
            _panel(axis, rows, look, baseline)
            if measure == "log_odds":
                reach = levels["planted"].max()
                axis.plot([0, reach], [0, reach], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            found = summary[learner]["measures"][dataset][measure]
            axis.annotate(f"slope {found['slope']['value']:.2f}, rank {found['rank']['value']:.2f}".replace("-", "−"),
                          (0.97, 0.03), xycoords="axes fraction", ha="right", fontsize=8, color=FAINT)
            if row is axes[0]:
                axis.set_title(title)
            if row is axes[-1]:
                axis.set_xlabel("planted log-odds, nats")
        row[0].set_ylabel(learner, fontweight="bold")
    figure.subplots_adjust(left=0.75 / width, right=1 - 0.12 / width, top=1 - top / inches, bottom=bottom / inches,
                           wspace=0.2, hspace=0.12)
    handles = [axes[0][0].plot([], [], linewidth=1.5, markersize=4.6, color=style["color"], markerfacecolor="white",
                               marker="o" if variant == baseline else "")[0] for variant, style in look.items()]
    add_legend(figure, handles, list(look))
    figure.text(0.1 / width, 0.1 / inches, "\n".join(note), fontsize=7.8, color=FAINT)
    save(figure, path)


def _panel(axis: Any, rows: pd.DataFrame, look: Mapping[str, Mapping[str, str]], baseline: str) -> None:
    for variant, style in look.items():
        means = rows[(rows["variant"] == variant) & ~rows["proxy"]].groupby("planted")["value"].mean()
        axis.plot(means.index, means, color=style["color"], linewidth=1.3, alpha=0.8, zorder=2)
    points = rows[rows["variant"] == baseline]
    axis.vlines(points["planted"], points["low"], points["high"], color=BASELINE, linewidth=0.8, alpha=0.45, zorder=3)
    for proxy, marker in ((False, "o"), (True, "^")):
        part = points[points["proxy"] == proxy]
        axis.plot(part["planted"], part["value"], linestyle="none", marker=marker, markersize=4.6, markeredgewidth=1.1,
                  color=BASELINE, markerfacecolor="white", zorder=4)
    axis.axhline(points["neutral"].iloc[0], color=INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    axis.grid(color=GRID, linewidth=0.8)
