"""Seconds and peak memory of compressing: no property of an artefact, so they are kept beside the pipeline.

A suite's are in ``.cache/compression/<suite>/<model>/<variant>.json``, which neither git nor DVC tracks.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.common.files import write_text
from stages.common.memory import peak_memory, reset_peak_memory


@dataclass(frozen=True)
class Cost:
    """What one checkpoint took."""

    seconds: float
    """Wall time: of reading, compressing and writing, or of the training since the checkpoint before."""
    peak_memory_bytes: int
    """Most that was resident in that time, libraries included; of the whole process where the platform
    cannot start counting again (``stages.common.memory``)."""


class Meter:
    """Takes the cost of one checkpoint after the other; the first begins when the meter is made.

    Args:
        kept: Where costs are written as they are taken, and found again after a kill; nowhere if not given.
    """

    def __init__(self, kept: Path | None = None) -> None:
        self._kept = kept
        self.costs: dict[str, Cost] = {}
        if kept is not None and kept.is_file():
            found = json.loads(kept.read_text(encoding="utf-8"))
            self.costs = {name: Cost(**cost) for name, cost in found.items()}
        self._begin()

    def lap(self, name: str) -> Cost:
        """The cost of a checkpoint, from the end of the one before to now."""
        cost = Cost(round(time.perf_counter() - self._start, 3), peak_memory())
        self.costs[name] = cost
        if self._kept is not None:
            write_costs(self._kept, self.costs)
        self._begin()
        return cost

    def _begin(self) -> None:
        self._start = time.perf_counter()
        reset_peak_memory()


def write_costs(path: Path, costs: dict[str, Cost]) -> None:
    """Write the costs of checkpoints as JSON: ``{"p100": {"seconds": ..., "peak_memory_bytes": ...}}``."""
    table = {name: asdict(cost) for name, cost in costs.items()}
    write_text(path, json.dumps(table, indent=2, sort_keys=True) + "\n")
