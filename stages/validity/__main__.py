"""Prove that the inference is right: ``python -m stages.validity [--out FILE] [--only NAME ...]``.

Prints a row for every goal, writes them as JSON, and exits with 1 if one does not hold. NAME is one of
coverage, same-model, power (simulations); seeds, graded, controls, worlds (trained models); speed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from stages.common.errors import run
from stages.validity import coverage, false_positives, power, speed
from stages.validity.pool import Spread, processes
from stages.validity.rows import Row, table, write

T = TypeVar("T")
SEED = 1
_SIMULATED: Mapping[str, Callable[[Spread, int], list[Row]]] = {
    "coverage": coverage.coverage_rows,
    "same-model": false_positives.same_model_rows,
    "power": power.power_rows,
}
_TRAINED = ("seeds", "graded", "controls", "worlds")
NAMES = (*_SIMULATED, *_TRAINED, "speed")


def validate(names: Sequence[str], seed: int = SEED) -> list[Row]:
    """The rows of the named parts, all of them in a fixed order."""
    rows = []
    with processes() as spread:
        for name, simulate in _SIMULATED.items():
            if name in names:
                rows += _timed(name, partial(simulate, spread, seed))
        if set(names) & set(_TRAINED):
            rows += _trained(names, spread, seed)
    if "speed" in names:  # last and alone: nothing else may run while the clock does
        rows += _timed("speed", speed.speed_rows)
    return rows


def _trained(names: Sequence[str], spread: Spread, seed: int) -> list[Row]:
    from stages.validity import controls, graded, planted, seed_pairs, worlds_apart
    from stages.validity.noise import NOISES
    from stages.validity.trained_runs import run_of

    found = dict(_timed("training", lambda: [item for part in spread(planted.train, planted.jobs())
                                             for item in part.items()]))
    noised = {name: run_of(name, "neox", found.pop(name)) for name in NOISES}
    parts: Mapping[str, Callable[[], list[Row]]] = {
        "seeds": lambda: seed_pairs.seed_rows(found, spread, seed),
        "graded": lambda: [row for architecture in planted.SEEDS
                           for row in graded.graded_rows(found, architecture, seed)],
        "controls": lambda: controls.control_rows(found, seed),
        "worlds": lambda: worlds_apart.worlds_rows(found, noised, seed),
    }
    return [row for name in _TRAINED if name in names for row in _timed(name, parts[name])]


def _timed(name: str, work: Callable[[], list[T]]) -> list[T]:
    start = time.monotonic()
    found = work()
    print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, validate, print and write."""
    parser = argparse.ArgumentParser(prog="python -m stages.validity", description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/validate.json"), help="file to write")
    parser.add_argument("--only", action="append", choices=NAMES, help="a part to validate; all if left out")
    given = parser.parse_args(arguments)
    for library in ("OMP", "OPENBLAS", "MKL"):  # read by the processes that are started from here
        os.environ[f"{library}_NUM_THREADS"] = "1"
    rows = validate(given.only or NAMES)
    print(table(rows))
    write(given.out, rows)
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    run(main)
