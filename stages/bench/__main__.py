"""Compare the speed of the engine with the reference's loop and a padded batch, and write build/bench.json.

python -m stages.bench [--quick] [--data DIR] [--out FILE] [--threads N]

DIR holds ``crows_pairs``, ``stereoset`` and ``seat`` as for ``stages.score --data``; by default the
mirror of benchmark data that BENCHMARK_MIRROR names. Times are CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import benchmarks
from stages.common.errors import DataError, run
from stages.common.files import write_text

BENCHMARKS = ("crows_pairs", "stereoset", "seat")


def bench(data: Path, *, quick: bool, threads: int, models: Sequence[str] = ()) -> dict[str, Any]:
    """Time every side of every model, precision and benchmark.

    Returns:
        ``rows``, ``ratios`` of items a second against the other sides, and ``growth`` with the
        number of items, as written to ``build/bench.json``.
    """
    import torch

    from stages.bench.measure import FULL, QUICK, compare, growth
    from stages.bench.sides import sides
    from stages.bench.subjects import SUBJECTS, build, quantize

    torch.set_num_threads(threads)
    effort = QUICK if quick else FULL
    tables = {name: _table(data, name) for name in BENCHMARKS}
    texts = [text for table in tables.values() for column in ("sent_more", "sent_less", "sentence", "text")
             if column in table for text in table[column]]
    rows: list[dict[str, Any]] = []
    grown: list[dict[str, Any]] = []
    for subject in SUBJECTS:
        if models and subject.name not in models:
            continue
        loaded = build(subject, texts)
        asked = {name: _plan(name, tables[name], loaded) for name in BENCHMARKS}
        for precision in ("fp32", "int8"):
            if precision == "int8":
                loaded = quantize(loaded)
            ways = sides(loaded)
            for name in BENCHMARKS:
                label = f"{subject.name} {precision} {name}"
                print(f"timing {label} ({len(asked[name])} items)", file=sys.stderr, flush=True)
                about = {"model": subject.name, "precision": precision, "benchmark": name}
                rows += compare(loaded, ways, asked[name], effort, about)
                if name == "crows_pairs":
                    points = growth(loaded, ways["engine"], asked[name], effort)
                    grown += [{"model": subject.name, "precision": precision, **point} for point in points]
    return {"rows": rows, "ratios": _ratios(rows), "growth": grown, "threads": threads, "quick": quick}


def _table(data: Path, name: str) -> Any:
    from stages.score import Source

    benchmark = benchmarks.get(name)
    for path in (data / f"{name}.parquet", data / name):
        if path.exists():
            return Source(name, name, benchmark.Options(), path).table()
    raise DataError(f"holds neither {name}.parquet nor {name}/", where=data, fix="give --data, or set BENCHMARK_MIRROR")


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


def render(result: dict[str, Any]) -> str:
    """The result as text tables."""
    lines = [f"{'model':13}{'':6}{'benchmark':13}{'side':10}{'items':>7}{'seconds':>9}{'items/s':>9}{'of peak':>9}"
             f"{'peak RSS':>10}"]
    for r in result["rows"]:
        lines.append(
            f"{r['model']:13}{r['precision']:6}{r['benchmark']:13}{r['side']:10}{r['items']:7}{r['seconds']:9.2f}"
            f"{r['items_per_s']:9.1f}{r['peak_share']:9.0%}{r['rss_bytes'] / 2**20:7.0f} MB"
        )
    lines += ["", f"{'engine against':32}{'crows_pairs':>12}{'stereoset':>12}{'seat':>12}{'all':>12}"]
    for r in result["ratios"]:
        label = f"{r['model']} {r['precision']}, {r['against']}"
        lines.append(f"{label:32}" + "".join(f"{r[name]:11.1f}x" for name in (*BENCHMARKS, "all")))
    lines += ["", "growth with items (engine, crows_pairs): seconds per thousand distinct tokens"]
    for g in result["growth"]:
        lines.append(f"{g['model']} {g['precision']} {g['factor']:2}x: {g['items']:5} items, {g['tokens']:7} tokens, "
                     f"{g['seconds']:8.2f} s, {1000 * g['seconds'] / g['tokens']:.3f}")
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m stages.bench", description="Time the scoring engine.")
    parser.add_argument("--quick", action="store_true", help="small samples, once each: under a minute")
    parser.add_argument("--data", type=Path, help="folder of benchmark data (default: BENCHMARK_MIRROR)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", default="", help="only these, separated by commas")
    given = parser.parse_args()
    mirror = given.data or os.environ.get("BENCHMARK_MIRROR")
    if not mirror:
        raise DataError("no benchmark data given", fix="give --data, or set BENCHMARK_MIRROR")
    only = [name for name in given.models.split(",") if name]
    result = bench(Path(mirror), quick=given.quick, threads=given.threads, models=only)
    write_text(given.out, json.dumps(result, indent=2, sort_keys=True) + "\n")
    print(render(result))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    run(main)
