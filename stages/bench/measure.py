"""Timing the sides: interleaved repeats in CPU time, medians, and the peak of memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.bench.samples import sample
from stages.bench.sides import Side
from stages.bench.work import gemm_peak, needed
from stages.common.memory import peak_memory, reset_peak_memory
from stages.common.query import Row
from stages.models.load import LoadedModel


@dataclass(frozen=True)
class Effort:
    """How much is measured. The slow sides are sampled from everywhere, so that lengths stay alike."""

    repeats: int
    slow_rows: int
    engine_rows: int
    growth_rows: int
    agreement_rows: dict[str, int]
    """By precision, at least; int8 needs more, to tell 99.9% from less."""
    agreement_passes: int
    """Forward passes that more rows may take, where a row takes few."""
    exact_rows: int
    """Of these, those computed in float64 too."""
    stage_rows: int
    """Rows of each benchmark that the stages without torch are given."""


FULL = Effort(3, slow_rows=50, engine_rows=1_000_000, growth_rows=100, agreement_rows={"fp32": 60, "int8": 400},
              agreement_passes=500, exact_rows=12, stage_rows=1_000_000)
QUICK = Effort(1, slow_rows=3, engine_rows=16, growth_rows=2, agreement_rows={"fp32": 4, "int8": 6},
               agreement_passes=0, exact_rows=1, stage_rows=40)


def compare(
    loaded: LoadedModel, sides: dict[str, Side], rows: Sequence[Row], effort: Effort, about: dict[str, Any],
    own_memory: dict[str, int],
) -> list[dict[str, Any]]:
    """Time every side on the rows of one benchmark.

    Args:
        loaded: The model.
        sides: The ways to score with it.
        rows: What to score; the slow sides take a sample of it.
        effort: How much to measure.
        about: What the results are labelled with.
        own_memory: Peak bytes of a side in a process of its own; for a side that is not there, the peak of
            this process while it runs is taken, which holds the other sides too.

    Returns:
        A row of ``build/bench.json`` a side.
    """
    few, many = sample(rows, effort.slow_rows), sample(rows, effort.engine_rows)
    taken: dict[str, list[float]] = {name: [] for name in sides}
    shares: dict[str, list[float]] = {name: [] for name in sides}
    peaks = dict.fromkeys(sides, 0)
    work = {name: many if name == "engine" else few for name in sides}
    flop = {name: needed(loaded, work[name]).flop for name in sides}
    for _ in range(effort.repeats):
        peak = gemm_peak(about["precision"])
        for name, side in sides.items():
            reset_peak_memory()
            start = time.process_time()
            side(work[name])
            seconds = time.process_time() - start
            peaks[name] = max(peaks[name], peak_memory())
            taken[name].append(seconds)
            shares[name].append(flop[name] / seconds / peak)
    results = []
    for name in sides:
        seconds = statistics.median(taken[name])
        results.append(
            about | {
                "side": name,
                "items": len(work[name]),
                "seconds": seconds,
                "items_per_s": len(work[name]) / seconds,
                "peak_share": statistics.median(shares[name]),
                "rss_bytes": own_memory.get(name, peaks[name]),
            }
        )  # fmt: skip
    return results


def growth(loaded: LoadedModel, side: Side, rows: Sequence[Row], effort: Effort) -> list[dict[str, Any]]:
    """Seconds of the engine at 1, 4 and 16 times the rows, with the distinct tokens they hold.

    ``ratio`` is to the time at 1 times.
    """
    points: list[dict[str, Any]] = []
    for factor in (1, 4, 16):
        chosen = sample(rows, effort.growth_rows * factor)
        seconds = []
        for _ in range(effort.repeats):
            start = time.process_time()
            side(chosen)
            seconds.append(time.process_time() - start)
        middle = statistics.median(seconds)
        points.append({"factor": factor, "items": len(chosen), "tokens": needed(loaded, chosen).tokens,
                       "seconds": middle, "ratio": middle / points[0]["seconds"] if points else 1.0})
    return points
