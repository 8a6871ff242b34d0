"""What scoring must reach, held against what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stages.bench.agreement import FLOAT64, FP32, INT8_SHARE

_GROWTH = 17.0


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a goal: ``goal``, ``measured``, ``at_least`` or ``at_most``, and whether it ``holds``."""
    return [*_speed(result), *_agreement(result), *_growth(result), *_fixed(result), *_memory(result),
            *_compression(result)]


def _least(goal: str, measured: float, bound: float) -> dict[str, Any]:
    return {"goal": goal, "measured": measured, "at_least": bound, "holds": measured >= bound}


def _most(goal: str, measured: float, bound: float) -> dict[str, Any]:
    return {"goal": goal, "measured": measured, "at_most": bound, "holds": measured <= bound}


def _speed(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    least = {
        ("bert-base", "fp32", "batch1"): 10.0, ("roberta-base", "fp32", "batch1"): 10.0,
        ("pythia-70m", "fp32", "batch1"): 6.0, ("bert-base", "int8", "batch1"): 4.0,
        ("bert-base", "int8", "fp32 engine"): 2.5,
    }  # fmt: skip
    for row in result["ratios"]:
        key = (row["model"], row["precision"], row["against"])
        if key in least:
            yield _least(f"{key[0]} {key[1]} engine against {key[2]}, three benchmarks", row["all"], least[key])
    shares = {"bert-base": 0.8, "pythia-70m": 0.6}
    for row in result["rows"]:
        wanted = row["model"] in shares and row["precision"] == "fp32" and row["side"] == "engine"
        if wanted and row["benchmark"] in ("crows_pairs", "stereoset"):
            yield _least(f"{row['model']} share of fp32 peak, {row['benchmark']}", row["peak_share"],
                         shares[row["model"]])


def _agreement(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in result["agreement"]:
        label = f"{row['model']} {row['precision']} {row['benchmark']}"
        if row["precision"] == "fp32":
            yield _most(f"{label}: difference to batch 1", row["largest"], FP32)
            yield _most(f"{label}: difference to float64", row["float64"], FLOAT64)
        if row["metrics"]:
            checked = f"of {row['metrics']}, on {row['items']} of {row['of_items']} items"
            yield _most(f"{label}: metrics printed otherwise ({checked})", len(row["unequal"]), 0)
    for model in dict.fromkeys(row["model"] for row in result["agreement"]):
        rows = [row for row in result["agreement"] if row["model"] == model and row["precision"] == "int8"]
        off, items = sum(row["off"] for row in rows), sum(row["items"] for row in rows)
        if rows:
            yield _least(f"{model} int8: share of {items} items within 1e-4 of quantize_dynamic", 1 - off / items,
                         INT8_SHARE)
            yield _most(f"{model} int8: items off that are no rounding ties", off - sum(row["ties"] for row in rows), 0)


def _growth(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in result["growth"]:
        if row["factor"] == 16:
            yield _most(f"{row['model']} {row['precision']}: time(16x) / time(1x)", row["ratio"], _GROWTH)


def _fixed(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in result["stages"]:
        yield _most(f"stages.{row['stage']} of one model, seconds", row["seconds"], row["goal"])
        yield _most(f"stages.{row['stage']} imports torch", int(row["torch"]), 0)


def _memory(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in result["memory"]:
        if row["limit_bytes"] is not None:
            label = f"{row['model']} {row['precision']}: peak memory, MB"
            yield _most(label, row["rss_bytes"] / 1e6, row["limit_bytes"] / 1e6)


def _compression(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for row in result["compression"]:
        yield _most(f"{row['model']} {row['method']}: time over {row['against']}", row["ratio"], row["goal"])
