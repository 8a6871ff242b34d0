"""How far the measures agree: rank correlations as a matrix, with the values in its cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from stages.evidence.agreement import BIAS, QUALITY
from stages.evidence.table import OVERALL
from stages.reporting.style import FAINT, INK, new_figure, save
from stages.reporting.words import short

_PANELS = (("agreement", "of values"), ("agreement_changes", "of changes from the parent"))
_CELL = 0.46


def draw_agreement(contrasts: pd.DataFrame, path: Path) -> bool:
    """Draw the correlations over all categories together, one panel of values and one of changes.

    Orange is agreement, purple the opposite: PuOr reversed, which all kinds of colour vision tell apart.

    Args:
        contrasts: The contrast table.
        path: SVG file to write.

    Returns:
        Whether there was anything to draw; if not, no file is written.
    """
    rows = contrasts[(contrasts["category"] == OVERALL) & contrasts["analysis"].isin([name for name, _ in _PANELS])]
    panels = [(name, label) for name, label in _PANELS if (rows["analysis"] == name).any()]
    if not panels:
        return False
    rows = rows.assign(one=rows["dataset"] + "/" + rows["metric"])
    order = {metric: place for place, metric in enumerate((*BIAS, *QUALITY))}
    names = sorted({*rows["one"], *rows["against"]}, key=lambda name: (order[name.rpartition("/")[2]], name))
    labels = [short(*name.split("/")) for name in names]
    side = _CELL * len(names)
    left, bottom, top, gap = 1.7, 1.75, 0.45, 0.35
    width = max(left + len(panels) * (side + gap) + 0.1, 6.4)
    figure, [axes] = new_figure(1, len(panels), (width, side + top + bottom))
    for place, (axis, (analysis, label)) in enumerate(zip(axes, panels, strict=True)):
        matrix = _matrix(rows[rows["analysis"] == analysis], names)
        axis.imshow(matrix, cmap="PuOr_r", vmin=-1, vmax=1, aspect="equal")
        for (y, x), value in np.ndenumerate(matrix):
            if np.isfinite(value) and x != y:
                axis.text(x, y, f"{value:.2f}".replace("-", "−").replace("0.", "."), ha="center", va="center",
                          fontsize=7.8, color="white" if abs(value) > 0.6 else INK)
        axis.set_title(f"Spearman's ρ {label}", pad=6)
        axis.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axis.set_yticks(range(len(names)), labels if place == 0 else [""] * len(names))
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    height = side + top + bottom
    cells = f"{rows['items'].max():.0f}"
    for place, axis in enumerate(axes):
        axis.set_position([(left + place * (side + gap)) / width, bottom / height, side / width, side / height])
    figure.text(0.1 / width, 0.12 / height, f"Over up to {cells} models in a variant, all categories together. Blank: "
                "measured in too few of them,\nor without variation.", fontsize=7.8, color=FAINT)
    save(figure, path)
    return True


def _matrix(rows: pd.DataFrame, names: list[str]) -> np.ndarray:
    matrix = np.full((len(names), len(names)), np.nan)
    for row in rows.to_dict("records"):
        one, other = names.index(row["one"]), names.index(row["against"])
        matrix[one, other] = matrix[other, one] = row["estimate"]
    np.fill_diagonal(matrix, np.nan)
    return matrix
