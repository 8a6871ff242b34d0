"""Compare the speed of the engine with the reference's loop and a padded batch, and write build/bench.json.

python -m stages.bench [--quick] [--data DIR] [--out FILE] [--threads N] [--models NAMES]

DIR holds ``crows_pairs``, ``stereoset`` and ``seat`` as for ``stages.score --data``; by default it is the
mirror of benchmark data that BENCHMARK_MIRROR names, or else what suite ``mini`` fetched. Times are CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import benchmarks
from stages.bench.text import BENCHMARKS, render
from stages.common.errors import DataError, run
from stages.common.files import write_text

_FETCHED = Path("data/raw/mini")


def bench(data: Path, *, quick: bool, threads: int, models: Sequence[str] = ()) -> dict[str, Any]:
    """Time every side of every model, precision and benchmark, and hold the engine to what it must reach.

    Returns:
        What is written to ``build/bench.json``: ``rows``, ``ratios`` of items a second against the other
        sides, ``growth`` with the number of items, ``agreement`` with batch 1, ``memory`` of processes
        of their own, ``stages`` without torch, ``compression``, and ``goals``.
    """
    import torch

    from stages.bench import measure
    from stages.bench.agreement import whole_items
    from stages.bench.compressing import compare_methods
    from stages.bench.goals import goals
    from stages.bench.stages_alone import time_stages
    from stages.bench.subjects import SUBJECTS, build
    from stages.scoring.engine import Scorer
    from stages.scoring.rows import score_rows

    torch.set_num_threads(threads)
    effort = measure.QUICK if quick else measure.FULL
    tables = {name: _table(data, name) for name in BENCHMARKS}
    texts = [text for table in tables.values() for column in ("sent_more", "sent_less", "sentence", "text")
             if column in table for text in table[column]]
    result: dict[str, Any] = {key: [] for key in ("rows", "ratios", "growth", "agreement", "memory", "stages")}
    chosen = [subject for subject in SUBJECTS if not models or subject.name in models]
    for subject in chosen:
        loaded = build(subject, texts)
        asked = {name: _plan(name, tables[name], loaded) for name in BENCHMARKS}
        _of_model(loaded, subject.name, asked, effort, result)
        if subject is chosen[-1]:
            scorer = Scorer(loaded)
            scored = {name: score_rows(name, whole_items(rows, effort.stage_rows), scorer)
                      for name, rows in asked.items()}
            result["stages"] = time_stages(scored, subject.family, effort.repeats)
        if not (quick and result["memory"]):
            result["memory"] += _memory(loaded, subject.name, asked, quick)
    result["ratios"] = _ratios(result["rows"])
    result["compression"] = compare_methods(quick, threads)
    return result | {"goals": goals(result), "threads": threads, "quick": quick}


def _of_model(
    loaded: Any, model: str, asked: dict[str, list[Any]], effort: Any, result: dict[str, Any]
) -> None:
    """Time and check one model in both precisions."""
    from stages.bench.agreement import agree, whole_items
    from stages.bench.measure import compare, growth
    from stages.bench.sides import sides
    from stages.bench.subjects import quantize
    from stages.scoring.engine import Scorer

    for precision in ("fp32", "int8"):
        loaded = quantize(loaded) if precision == "int8" else loaded
        scorer = Scorer(loaded)
        ways = sides(loaded, scorer)
        for name, rows in asked.items():
            print(f"timing {model} {precision} {name} ({len(rows)} items)", file=sys.stderr, flush=True)
            about = {"model": model, "precision": precision, "benchmark": name}
            result["rows"] += compare(loaded, ways, rows, effort, about)
            some = whole_items(rows, effort.agreement_rows[precision])
            result["agreement"].append(agree(loaded, scorer, name, some, effort.exact_rows, about))
            if name == "crows_pairs":
                points = growth(loaded, ways["engine"], rows, effort)
                result["growth"] += [{"model": model, "precision": precision, **point} for point in points]


def _memory(loaded: Any, model: str, asked: dict[str, list[Any]], quick: bool) -> list[dict[str, Any]]:
    """Peak memory of every side and precision, or of the engine in float32 alone if it must be quick."""
    from stages.bench.measure import sample
    from stages.bench.memory import measure

    rows = [row for name in asked for row in sample(asked[name], 4)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        loaded.model.save_pretrained(folder, max_shard_size="100MB")
        loaded.tokenizer.save_pretrained(folder)
        return [
            found
            for precision in ("fp32", "int8")[: 1 if quick else 2]
            for found in measure(folder, loaded.family, precision,
                                 ("engine",) if quick else ("batch1", "padded32", "engine"), rows, {"model": model})
        ]


def _table(data: Path, name: str) -> Any:
    from stages.score import Source

    benchmark = benchmarks.get(name)
    for path in (data / f"{name}.parquet", data / name, data / f"{name}_dev"):
        if path.exists():
            return Source(name, name, benchmark.Options(), path).table()
    raise DataError(f"holds neither {name}.parquet nor {name}/", where=data, fix="give --data, or set BENCHMARK_MIRROR")


def _find_data(given: Path | None) -> Path:
    """The folder of benchmark data.

    Raises:
        DataError: None is given, and suite mini's is not here.
    """
    mirror = given or os.environ.get("BENCHMARK_MIRROR")
    if mirror:
        return Path(mirror)
    if _FETCHED.is_dir():
        return _FETCHED
    raise DataError("no benchmark data here", where=_FETCHED,
                    fix="fetch it with `make repro SUITE=mini`, give --data, or set BENCHMARK_MIRROR")


def _plan(name: str, table: Any, loaded: Any) -> list[Any]:
    benchmark = benchmarks.get(name)
    plan = benchmark.plan(table, loaded.encoder, benchmark.Options())
    return [row for row in plan if row.queries or row.sequence]


def _ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items a second of the engine over the other sides': by benchmark, and for the whole work of all benchmarks."""
    rate = {(r["model"], r["precision"], r["benchmark"], r["side"]): r["items_per_s"] for r in rows}
    items = {(r["model"], r["precision"], r["benchmark"]): r["items"] for r in rows if r["side"] == "engine"}
    found = []
    for model, precision in dict.fromkeys((r["model"], r["precision"]) for r in rows):
        for other in ("batch1", "padded32"):
            entry = {"model": model, "precision": precision, "against": other}
            for name in BENCHMARKS:
                entry[name] = rate[model, precision, name, "engine"] / rate[model, precision, name, other]
            seconds = {
                side: sum(items[model, precision, name] / rate[model, precision, name, side] for name in BENCHMARKS)
                for side in (other, "engine")
            }
            found.append(entry | {"all": seconds[other] / seconds["engine"]})
        if precision == "int8":
            speedup = [rate[model, "int8", name, "engine"] / rate[model, "fp32", name, "engine"] for name in BENCHMARKS]
            found.append({"model": model, "precision": "int8", "against": "fp32 engine",
                          **dict(zip(BENCHMARKS, speedup, strict=True)), "all": statistics.harmonic_mean(speedup)})
    return found


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m stages.bench", description="Time the scoring engine.")
    parser.add_argument("--quick", action="store_true", help="small samples, once each: under a minute")
    parser.add_argument("--data", type=Path, help="folder of benchmark data (default: BENCHMARK_MIRROR, or mini's)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", default="", help="only these, separated by commas")
    given = parser.parse_args()
    only = [name for name in given.models.split(",") if name]
    result = bench(_find_data(given.data), quick=given.quick, threads=given.threads, models=only)
    write_text(given.out, json.dumps(result, indent=2, sort_keys=True) + "\n")
    print(render(result))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    run(main)
