"""What numbers are called, and how they are written, in tables and figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

_TITLES = {
    "score": "pairs preferred stereotypical",
    "ss": "stereotype score (SS)",
    "mean_abs_effect": "mean absolute effect size |d|",
    "log_odds": "mean log-odds of the stereotype (nats an item)",
    "lm": "LM score",
    "perplexity": "perplexity",
}
_SHORT = {"mean_abs_effect": "|d|", "log_odds": "log-odds", "lm": "LM score", "word_perplexity": "perplexity",
          "ss": "SS"}
_UNITS = {"score": "pairs", "ss": "items", "mean_abs_effect": "sentences"}
_DECIMALS = {"score": 1, "ss": 1, "lm": 1, "perplexity": 1, "mean_abs_effect": 2, "log_odds": 2}


def title(metric: str) -> str:
    """A metric's name in words."""
    return _TITLES.get(metric, metric)


def label(metric: str) -> str:
    """A metric, in as few words as a table has room for."""
    return _SHORT.get(metric, metric)


def short(dataset: str, metric: str) -> str:
    """Dataset and metric, in as few words as a figure has room for."""
    return f"{dataset} {label(metric)}"


def unit(metric: str) -> str:
    """What the items of a headline metric are."""
    return _UNITS.get(metric, "items")


def number(value: float, metric: str, *, signed: bool = False) -> str:
    """A number with the decimals of its metric, and a real minus sign; a dash where there is none."""
    if math.isnan(value):
        return "–"
    text = f"{value:{'+' if signed else ''}.{_DECIMALS.get(metric, 2)}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def with_interval(value: float, low: float, high: float, metric: str, *, signed: bool = False) -> str:
    """A number and its interval; without one, the number alone."""
    if math.isnan(value) or math.isnan(low):
        return number(value, metric, signed=signed)
    return f"{number(value, metric, signed=signed)} [{number(low, metric)}, {number(high, metric)}]"


def factor(ratio: float) -> str:
    """A ratio as a factor, with two digits beyond one: ×1.07, ×24."""
    if math.isnan(ratio):
        return "–"
    return f"×{ratio:.2f}" if ratio < 10 else f"×{ratio:,.0f}"


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.0f}%".replace("-", "−").replace("−0%", "0%")


def markdown(head: Sequence[str], body: Sequence[Sequence[str]], names: int = 1) -> str:
    """A Markdown table; the first ``names`` columns hold words, the others numbers."""
    lines = [head, [*("---" for _ in head[:names]), *("---:" for _ in head[names:])], *body]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
