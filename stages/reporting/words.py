"""What numbers are called, and how they are written, in tables and figures."""

from __future__ import annotations

import math

_TITLES = {
    "score": "pairs preferred stereotypical",
    "ss": "stereotype score (SS)",
    "mean_abs_effect": "mean absolute effect size |d|",
    "log_odds": "mean log-odds of the stereotype (nats per token)",
    "lm": "LM score",
    "perplexity": "perplexity",
}
_UNITS = {"score": "pairs", "ss": "items", "mean_abs_effect": "sentences"}
_DECIMALS = {"score": 1, "ss": 1, "lm": 1, "perplexity": 1, "mean_abs_effect": 2, "log_odds": 3}


def title(metric: str) -> str:
    """A metric's name in words."""
    return _TITLES.get(metric, metric)


def percent_title(dataset: str, metric: str) -> str:
    """Title of a panel of percentages."""
    return f"{dataset} {'SS' if metric == 'ss' else metric}"


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
