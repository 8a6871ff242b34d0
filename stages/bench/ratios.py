"""How many times faster the engine is than the other sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stages.bench.data import BENCHMARKS


def ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items a second of the engine over those of another side.

    Args:
        rows: Of ``build/bench.json``: every side of every benchmark.

    Returns:
        A row a model, precision and what the engine is held ``against``: the other sides in the same precision,
        and for int8 the engine in float32 too. It gives the ratio for each benchmark, and for ``all``: the
        seconds of the other for all items of the three benchmarks over those of the engine.
    """
    rate = {(r["model"], r["precision"], r["side"], r["benchmark"]): r["items_per_s"] for r in rows}
    items = {(r["model"], r["benchmark"]): r["items"] for r in rows if r["side"] == "engine"}

    def compare(model: str, precision: str, other_precision: str, other: str, against: str) -> dict[str, Any]:
        ours = {name: rate[model, precision, "engine", name] for name in BENCHMARKS}
        theirs = {name: rate[model, other_precision, other, name] for name in BENCHMARKS}
        return {
            "model": model, "precision": precision, "against": against,
            **{name: ours[name] / theirs[name] for name in BENCHMARKS},
            "all": sum(items[model, name] / theirs[name] for name in BENCHMARKS)
            / sum(items[model, name] / ours[name] for name in BENCHMARKS),
        }  # fmt: skip

    found = []
    for model, precision in dict.fromkeys((r["model"], r["precision"]) for r in rows):
        found += [compare(model, precision, precision, other, other) for other in ("batch1", "padded32")]
        if precision == "int8":
            found.append(compare(model, "int8", "fp32", "engine", "fp32 engine"))
    return found
