"""One look for all figures, and SVG files that are the same bytes on every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from stages.common.files import atomic_path

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.figure import Figure

INK, FAINT, GRID = "#222222", "#6b6b6b", "#e4e4e4"
BASELINE = "#3d3d3d"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours, told apart with any colour vision."""
MARKERS = ("o", "s", "D", "^", "v", "P")

_RC = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib, so every machine has it
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b0b0b0",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # an <img> in a README loads no fonts
    "svg.hashsalt": "compression-bias",
    "path.simplify": False,
}


def new_figure(rows: int, columns: int, size: tuple[float, float], **options: object) -> tuple[Figure, list[list]]:
    """A figure with a grid of axes in the project's look; close it by ``save``.

    Args:
        rows: Rows of axes.
        columns: Columns of axes.
        size: Width and height in inches.
        options: For ``plt.subplots``.
    """
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_RC)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, **options)
    return figure, [list(row) for row in axes]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG without date or other traces of the run, and free it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lstrip("."), metadata={"Date": None, "Creator": None}
                       if path.suffix == ".svg" else None)
    plt.close(figure)


def legend_rows(names: Sequence[str], width: float) -> int:
    """Rows that a legend of these names needs in a figure of this width in inches."""
    return -(-len(names) // _columns(names, width))


def add_legend(figure: Figure, handles: Sequence[Artist], names: Sequence[str]) -> None:
    """Put the legend in the figure's upper right corner, in as many rows as it needs."""
    width, height = figure.get_size_inches()
    figure.legend(handles, names, loc="upper right", bbox_to_anchor=(1 - 0.1 / width, 1 - 0.02 / height),
                  ncols=_columns(names, width), borderaxespad=0.1, columnspacing=1.6)


def _columns(names: Sequence[str], width: float) -> int:
    return max(1, min(len(names), int(width / (0.75 + 0.075 * max(map(len, names))))))


def looks(variants: Sequence[str], baseline: str) -> dict[str, dict[str, str]]:
    """Colour and marker of each variant: the baseline hollow and dark, the others filled and coloured."""
    found = {}
    for position, variant in enumerate(variant for variant in variants if variant != baseline):
        colour = PALETTE[position % len(PALETTE)]
        marker = MARKERS[(position // len(PALETTE)) % len(MARKERS)]
        found[variant] = {"color": colour, "marker": marker, "markerfacecolor": colour}
    hollow = {"color": BASELINE, "marker": "o", "markerfacecolor": "white"}
    return {variant: found.get(variant, hollow) for variant in variants}
