"""Does the minimum detectable change keep its promise: found with the power that it was named for?

A first study, in which nothing changed, names a minimum detectable change; a second study of new items with a
true change of exactly that size is tested. Over many such couples, the share found must be the power asked for.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from stages.evidence.change import change
from stages.evidence.seeds import generator
from stages.evidence.settings import Compare
from stages.validity.coverage import bias_metrics
from stages.validity.designs import DESIGNS, QUANTITIES, Design
from stages.validity.pool import Spread
from stages.validity.rows import Row, share

POWER = (0.75, 0.85)
SIMULATIONS = 1_000
_PARTS = 2
_COMPARE = Compare(resamples=1_000)


def power_rows(spread: Spread, seed: int, simulations: int = SIMULATIONS) -> list[Row]:
    """Power of the paired test in every design, for a change of the share and of the log-odds."""
    count = simulations // _PARTS
    parts = spread(detected, [(design, seed, part * count, count) for design in DESIGNS for part in range(_PARTS)])
    rows = []
    for number, design in enumerate(DESIGNS):
        found: Counter[str] = sum(parts[number * _PARTS : (number + 1) * _PARTS], Counter())
        rows += [Row(f"power for the minimum detectable change of {quantity}, {design.name}",
                     share(found[quantity], count * _PARTS), *POWER) for quantity in QUANTITIES]
    return rows


def detected(design: Design, seed: int, first: int, simulations: int) -> Counter[str]:
    """In how many of the couples ``first`` and on the planted change is found, by quantity."""
    found: Counter[str] = Counter()
    for number in range(first, first + simulations):
        for metric, quantity in zip(bias_metrics(design), QUANTITIES, strict=True):
            names = ("power", design.name, quantity, str(number))
            unchanged = design.draw(generator(seed, "pilot", *names), design.shift_for(quantity, 0.0))
            pilot: Any = change(metric, *unchanged, _COMPARE, seed, *names)
            shift = design.shift_for(quantity, -pilot["minimum_detectable"])
            changed = design.draw(generator(seed, "study", *names), shift)
            study: Any = change(metric, *changed, _COMPARE, seed, *names)
            found[quantity] += study["p_value"] <= 1 - _COMPARE.confidence
    return found
