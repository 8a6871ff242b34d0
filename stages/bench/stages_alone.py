"""How long the stages that need no torch take from start to finish, for one model."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import benchmarks
from stages.common.files import write_text
from stages.common.records import write_records, write_vectors

_GOAL = 2.0


def time_stages(scored: dict[str, Any], family: str, repeats: int) -> list[dict[str, Any]]:
    """Run ``stages.measure`` and ``stages.compare`` on the records of one model, as a user would.

    Args:
        scored: Records and embeddings (``stages.scoring.rows``) by benchmark.
        family: Of the model.
        repeats: Of which the median is given.

    Returns:
        A row a stage: ``stage``, ``seconds`` of CPU time from start to finish, ``goal``, and whether ``torch``
        was imported.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folders = [str(Path(scratch) / name) for name in ("parent", "variant")]
        for folder in folders:
            _write(Path(folder), scored, family)
        commands = {"measure": [folders[0], "--json"], "compare": folders}
        return [{"stage": stage, "seconds": statistics.median(_seconds(stage, words) for _ in range(repeats)),
                 "goal": _GOAL, "torch": _imports_torch(stage, words)} for stage, words in commands.items()]


def _write(folder: Path, scored: dict[str, Any], family: str) -> None:
    for name, (records, vectors) in scored.items():
        write_records(folder / "p100" / f"{name}.parquet", records)
        if vectors:
            write_vectors(folder / "p100" / f"{name}.vectors.parquet", vectors)
    datasets = {name: {"benchmark": name, "measure": benchmarks.get(name).MEASURE} for name in scored}
    write_text(folder / "run.json", json.dumps({
        "family": family, "model": {"architecture": "random", "parameters": 1},
        "checkpoints": {"p100": {"fraction": 1.0}}, "datasets": datasets,
    }))


def _seconds(stage: str, words: Sequence[str]) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-m", f"stages.{stage}", *words], stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def _imports_torch(stage: str, words: Sequence[str]) -> bool:
    code = (f"import runpy, sys; sys.argv = ['{stage}', *sys.argv[1:]]\n"
            f"try: runpy.run_module('stages.{stage}', run_name='__main__')\n"
            "except SystemExit: pass\n"
            "print('torch' in sys.modules, file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1] == "True"
