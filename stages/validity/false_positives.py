"""How often a whole grid holds a finding where there is nothing to find: the same model, read twice."""

from __future__ import annotations

from collections import Counter

from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.seeds import generator
from stages.evidence.settings import Compare
from stages.validity.pool import Spread
from stages.validity.rows import Row, share
from stages.validity.simulated_runs import truth

MOST = 0.05
GRIDS = 500
_PARTS = 10
_COMPARE = Compare(resamples=1_000)
_CHILDREN = 2


def same_model_rows(spread: Spread, seed: int, grids: int = GRIDS) -> list[Row]:
    """Share of grids with any adjusted p at or below the level, of bias and of quality."""
    count = grids // _PARTS
    parts = spread(found_in_grids, [(seed, part * count, count) for part in range(_PARTS)])
    found: Counter[str] = sum(parts, Counter())
    return [Row(f"grids with any finding of {kind}, same model twice", share(found[kind], count * _PARTS), 0.0, MOST)
            for kind in ("bias", "quality")]


def found_in_grids(seed: int, first: int, grids: int) -> Counter[str]:
    """In how many of the grids ``first`` and on something is found, by kind of finding."""
    found: Counter[str] = Counter()
    for number in range(first, first + grids):
        rng = generator(seed, "same model", str(number))
        model = truth(rng)
        parent = model.read("parent", rng)
        cells = [Cell("model", "parent", parent),
                 *(Cell("model", f"child{child}", model.read(f"child{child}", rng), parent)
                   for child in range(_CHILDREN))]
        table = evidence(cells, Grid(_COMPARE, seed + number)).table
        significant = table[table["p_adjusted"] <= 1 - _COMPARE.confidence]
        found.update(set(significant["kind"]))
    return found
