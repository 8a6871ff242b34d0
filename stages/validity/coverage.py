"""Do 95% intervals hold the truth 95 times in 100, and do those that take items as independent fail to?"""

from __future__ import annotations

from collections import Counter
from typing import Any

from stages import measures
from stages.evidence.asked import ask
from stages.evidence.change import answer
from stages.evidence.metrics import Metric, measured
from stages.evidence.seeds import generator
from stages.evidence.settings import Compare
from stages.validity.designs import DESIGNS, MEAN, QUANTITIES, Design
from stages.validity.pool import Spread
from stages.validity.rows import Row, share

COVERAGE = (0.93, 0.97)
SIMULATIONS = 2_000
_PARTS = 4
_COMPARE = Compare(resamples=1_000)
_SHIFT = -0.25
"""Change of the margins from parent to child."""


def coverage_rows(spread: Spread, seed: int, simulations: int = SIMULATIONS) -> list[Row]:
    """Coverage of every interval in every design; the unclustered one must stay below the bounds."""
    count = simulations // _PARTS
    parts = spread(covered, [(design, seed, part * count, count) for design in DESIGNS for part in range(_PARTS)])
    rows = []
    for number, design in enumerate(DESIGNS):
        held: Counter[str] = sum(parts[number * _PARTS : (number + 1) * _PARTS], Counter())
        for quantity in ("share", "change of share", "log-odds", "change of log-odds"):
            rows.append(Row(f"coverage of {quantity}, {design.name}", share(held[quantity], count * _PARTS), *COVERAGE))
        rows.append(Row(f"coverage of share by an unclustered interval, {design.name}",
                        share(held["unclustered"], count * _PARTS), 0.0, COVERAGE[0]))
    return rows


def covered(design: Design, seed: int, first: int, simulations: int) -> Counter[str]:
    """How many intervals of simulations ``first`` and on hold the truth, by quantity."""
    truth = {"share": design.share(_SHIFT), "change of share": design.share(_SHIFT) - design.share(),
             "log-odds": MEAN + _SHIFT, "change of log-odds": _SHIFT}
    metrics = bias_metrics(design)
    held: Counter[str] = Counter()
    for number in range(first, first + simulations):
        names = ("coverage", design.name, str(number))
        parent, child = design.draw(generator(seed, *names), _SHIFT)
        found: Any = answer(ask(metrics, child, parent, *names), _COMPARE, seed, *names)
        for row, quantity in zip(found, QUANTITIES, strict=True):
            held[quantity] += row["ci_low"] <= truth[quantity] <= row["ci_high"]
            held[f"change of {quantity}"] += row["change_low"] <= truth[f"change of {quantity}"] <= row["change_high"]
        held["unclustered"] += found[0]["wilson_low"] <= truth["share"] <= found[0]["wilson_high"]
    return held


def bias_metrics(design: Design) -> tuple[Metric, Metric]:
    """The share of preferred items and the graded log-odds, as the compare stage takes them from a measure."""
    found = measured(design.measure, measures.get(design.measure).Options(), "causal").metrics
    return found[0], next(metric for metric in found if metric.name == "log_odds")
