"""The whole comparison: every model, precision, benchmark and side, and what else the engine must hold to."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stages.bench import compressing, measure, subjects
from stages.bench.agreement import agree, in_float64
from stages.bench.data import plan_rows, read_tables, texts_of
from stages.bench.goals import goals
from stages.bench.machine import describe_machine
from stages.bench.memory import measure_memory
from stages.bench.ratios import ratios
from stages.bench.samples import affordable, sample, whole_items
from stages.bench.sides import sides
from stages.bench.stages_alone import time_stages
from stages.bench.text import HEAD, row_line
from stages.common.typed import choose
from stages.scoring.engine import Scorer
from stages.scoring.rows import score_rows

Asked = dict[str, list[Any]]
"""Rows to score, by benchmark."""

_MEMORY_ROWS = 8
"""Rows of each benchmark that are scored for the peak of memory: more tokens than the engine takes at a time."""


def bench(data: Path, *, quick: bool, threads: int, models: Sequence[str] = ()) -> dict[str, Any]:
    """Time every side of every model, precision and benchmark, and hold the engine to what it must reach.

    Each row is shown on stderr as soon as it is measured.

    Args:
        data: Folder of benchmark data; see ``stages.bench.data``.
        quick: Take small samples, once each, and measure memory in a process of its own only once: the
            ``rss_bytes`` of the rows are then of this process, which holds more than the one side.
        threads: Of torch.
        models: Only these.

    Returns:
        What is written to ``build/bench.json``: ``machine``, ``rows``, ``ratios`` of items a second against
        the other sides, ``growth`` with the number of items, ``agreement`` with batch 1, ``memory`` of
        processes of their own, ``stages`` without torch, ``compression``, and ``goals``.

    Raises:
        ParamsError: There is no such model.
        DataError: A benchmark is missing or malformed.
    """
    known = {subject.name: subject for subject in subjects.SUBJECTS}
    chosen = [choose(known, name, "model") for name in models or known]
    torch.set_num_threads(threads)
    effort = measure.QUICK if quick else measure.FULL
    tables = read_tables(data)
    result: dict[str, Any] = {key: [] for key in ("rows", "ratios", "growth", "agreement", "memory", "stages")}
    result |= {"machine": describe_machine(), "threads": threads, "quick": quick}
    _tell(HEAD)
    for subject in chosen:
        loaded = subjects.build(subject, texts_of(tables))
        asked = {name: plan_rows(name, table, loaded) for name, table in tables.items()}
        if not (quick and result["memory"]):
            result["memory"] += _memory(loaded, subject.name, asked, quick)
        _of_model(loaded, subject.name, asked, effort, result)
    scorer = Scorer(loaded)
    scored = {name: score_rows(name, whole_items(rows, effort.stage_rows), scorer) for name, rows in asked.items()}
    result["stages"] = time_stages(scored, subject.family, effort.repeats)
    result["ratios"] = ratios(result["rows"])
    result["compression"] = compressing.compare_methods(quick, threads)
    return result | {"goals": goals(result)}


def _of_model(loaded: Any, model: str, asked: Asked, effort: measure.Effort, result: dict[str, Any]) -> None:
    """Time and check one model in both precisions."""
    for precision in ("fp32", "int8"):
        loaded = subjects.quantize(loaded) if precision == "int8" else loaded
        scorer = Scorer(loaded)
        ways = sides(loaded, scorer)
        own = {m["side"]: m["rss_bytes"] for m in result["memory"]
               if (m["model"], m["precision"]) == (model, precision) and not result["quick"]}
        for name, rows in asked.items():
            about = {"model": model, "precision": precision, "benchmark": name}
            for row in measure.compare(loaded, ways, rows, effort, about, own):
                result["rows"].append(row)
                _tell(row_line(row))
        points = measure.growth(loaded, ways["engine"], asked["crows_pairs"], effort)
        result["growth"] += [{"model": model, "precision": precision, **point} for point in points]
        result["agreement"] += _agreement(loaded, scorer, asked, effort, {"model": model, "precision": precision})


def _agreement(
    loaded: Any, scorer: Scorer, asked: Asked, effort: measure.Effort, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Agreement with batch 1 on a sample of each benchmark."""
    precision = about["precision"]
    double = in_float64(loaded) if precision == "fp32" else None
    found = []
    for name, rows in asked.items():
        count = affordable(rows, effort.agreement_rows[precision], effort.agreement_passes)
        label = about | {"benchmark": name, "of_items": len(rows)}
        found.append(agree(loaded, scorer, double, name, whole_items(rows, count), effort.exact_rows, label))
    return found


def _memory(loaded: Any, model: str, asked: Asked, quick: bool) -> list[dict[str, Any]]:
    """Peak memory of every side and precision, or of the engine in float32 alone if it must be quick."""
    rows = [row for name in asked for row in sample(asked[name], _MEMORY_ROWS)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        loaded.model.save_pretrained(folder, max_shard_size="100MB")
        loaded.tokenizer.save_pretrained(folder)
        return [
            found
            for precision in ("fp32", "int8")[: 1 if quick else 2]
            for found in measure_memory(folder, loaded.family, precision,
                                        ("engine",) if quick else ("batch1", "padded32", "engine"), rows,
                                        {"model": model})
        ]


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
