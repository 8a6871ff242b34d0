"""Which figures a suite has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stages.evidence.table import OVERALL
from stages.reporting.changes import draw_changes
from stages.reporting.forest import CHANGE, LEVEL, draw_forest
from stages.reporting.heatmap import draw_agreement
from stages.reporting.quality import draw_quality
from stages.reporting.trajectories import draw_trajectories
from stages.reporting.view import View


def draw_figures(
    view: View, curves: pd.DataFrame, folder: Path, datasets: Sequence[str], confidence: float
) -> list[str]:
    """Draw every figure that there are numbers for.

    Args:
        view: Evidence and contrasts.
        curves: Rows of the trajectory files.
        folder: Where to write.
        datasets: Those about bias, in order.
        confidence: Level of the intervals.

    Returns:
        The names of the figures drawn, in the order of reading.
    """
    order = view.order
    shares = view.table[view.table["metric"].isin(["score", "ss"])]

    def forest(path: Path, name: str) -> bool:
        quantity = LEVEL if name == "scores" else CHANGE
        shown = shares if not view.many else shares[shares["variant"] == order.baseline]
        if name == "changes":  # a baseline has one only against another model, its teacher
            shown = shares[shares["variant"] != order.baseline]
        if shown[quantity.value].isna().all():
            return False
        draw_forest(shown, path, quantity, models=order.models, variants=order.variants, baseline=order.baseline,
                    categories=[*order.categories, OVERALL], confidence=confidence)
        return True

    pooled = [name for name in view.largest(datasets) if OVERALL in view.categories(name)]
    drawn = {
        "changes": lambda path: draw_changes(view, path, pooled, confidence) if view.many else forest(path, "changes"),
        "quality": lambda path: draw_quality(view, path, datasets),
        "scores": lambda path: forest(path, "scores"),
        "agreement": lambda path: draw_agreement(view.contrasts, path),
        "trajectories": lambda path: draw_trajectories(
            curves, path, panels=_panels(view, datasets), models=order.models, variants=order.variants,
            baseline=order.baseline),
    }
    return [name for name, draw in drawn.items() if draw(folder / f"{name}.svg")]


def _panels(view: View, datasets: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """Rows of the trajectory figure: each percentage of bias, and the LM score, of its largest dataset."""
    found = []
    for metric, label in (("score", "score, %"), ("ss", "SS, %"), ("lm", "LM score, %")):
        rows = view.table[(view.table["metric"] == metric) & view.table["dataset"].isin(datasets)]
        if len(rows):
            rows = rows.sort_values(["items", "dataset"], ascending=[False, True], kind="stable")
            dataset = str(rows["dataset"].iloc[0])
            found.append((dataset, OVERALL, metric, f"{dataset}\n{label}"))
    return found
