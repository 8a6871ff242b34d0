"""What stands beside a number: bold where it is found, ° inside the floor of untrained networks, ``biased``."""

from __future__ import annotations

import pandas as pd

from stages.reporting.view import Row
from stages.reporting.words import with_interval

FLOOR = "°"


def bold_where_found(text: str, row: Row, low: float, high: float, alpha: float) -> str:
    """Bold if the corrected test finds it and its interval leaves out 0.

    Both, because the two do not ask the same: SEAT's permutation test takes the words as given, the interval takes
    them for a sample.
    """
    return f"**{text}**" if row["p_adjusted"] < alpha and not low <= 0 <= high else text


def floor_mark(row: Row) -> str:
    """° where the model's value is what an untrained network may get."""
    return FLOOR if row["inside_floor"] == 1 else ""


def level_text(row: Row, metric: str) -> str:
    """A model's own value with its interval and marks."""
    text = with_interval(row["value"], row["ci_low"], row["ci_high"], metric) + floor_mark(row)
    return f"{text} biased" if row["biased"] == 1 else text


def change_alone(row: Row, metric: str, alpha: float) -> str:
    """A change with its interval, bold where it is found."""
    low, high = row["change_low"], row["change_high"]
    return bold_where_found(with_interval(row["change"], low, high, metric, signed=True), row, low, high, alpha)


def change_text(row: Row, metric: str, alpha: float) -> str:
    """A change with its interval and flips, bold where it is found."""
    text = change_alone(row, metric, alpha)
    if not pd.isna(row["flips_more"]):
        text += f" ↑{row['flips_more']:.0f} ↓{row['flips_less']:.0f}"
    return text


def contrast_text(row: Row | None, metric: str, alpha: float) -> str:
    """A contrast with its interval, bold where it is found; a dash where there is none."""
    if row is None or pd.isna(row["estimate"]):
        return "–"
    low, high = row["low"], row["high"]
    return bold_where_found(with_interval(row["estimate"], low, high, metric, signed=True), row, low, high, alpha)


def verdict_text(row: Row) -> str:
    """The verdict, with a space before it; nothing where none is given."""
    return "" if pd.isna(row["verdict"]) else f" {row['verdict']}"
