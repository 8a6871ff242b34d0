"""What the bench found, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stages.bench.data import BENCHMARKS

HEAD = (f"{'model':13}{'':6}{'benchmark':13}{'side':10}{'items':>7}{'CPU seconds':>13}{'items/s':>9}{'of peak':>9}"
        f"{'peak RSS':>10}")
"""Of the lines that ``row_line`` gives. Seconds of CPU time, so that what else runs on the machine does not count."""
_SIDES = ("batch1", "padded32", "engine")


def row_line(r: dict[str, Any]) -> str:
    """One of the ``rows``: a model, precision, benchmark and side."""
    return (f"{r['model']:13}{r['precision']:6}{r['benchmark']:13}{r['side']:10}{r['items']:7}{r['seconds']:13.2f}"
            f"{r['items_per_s']:9.1f}{r['peak_share']:9.0%}{r['rss_bytes'] / 2**20:7.0f} MB")


def render(result: dict[str, Any]) -> str:
    """The result as text tables."""
    lines = [_machine(result["machine"]), "", *_table(result["rows"])]
    lines.append("peak RSS: of this process, which holds more than the one side" if result["quick"] else
                 "peak RSS: of a process of its own, one for a model, precision and side")
    lines += ["", f"{'items/s of the engine over':32}{'crows_pairs':>12}{'stereoset':>12}{'seat':>12}{'all':>12}"]
    for r in result["ratios"]:
        label = f"{r['model']} {r['precision']}, {r['against']}"
        lines.append(f"{label:32}" + "".join(f"{r[name]:11.1f}x" for name in (*BENCHMARKS, "all")))
    lines += ["", "growth of CPU seconds with items (engine, crows_pairs)"]
    for g in result["growth"]:
        lines.append(f"{g['model']} {g['precision']} {g['factor']:2}x: {g['items']:5} items, {g['tokens']:7} tokens, "
                     f"{g['seconds']:8.2f} s, {g['ratio']:5.1f}x the time")
    lines += ["", "agreement with one sequence at a time"]
    for a in result["agreement"]:
        exact = f", to float64 {a['float64']:.1e}" if a["float64"] is not None else ""
        lines.append(f"{a['model']} {a['precision']} {a['benchmark']}: {a['items']} of {a['of_items']} items, "
                     f"largest difference {a['largest']:.1e}{exact}; {a['off']} off, "
                     f"{a['ties']} of them rounding ties; {_metrics(a)}")
    lines += ["", "peak memory, each in a process of its own"]
    for m in result["memory"]:
        limit = f" (limit {m['limit_bytes'] / 1e6:.0f} MB)" if m["limit_bytes"] is not None else ""
        lines.append(f"{m['model']} {m['precision']} {m['side']}: {m['rss_bytes'] / 1e6:.0f} MB, of which the weights "
                     f"{m['model_bytes'] / 1e6:.0f} MB{limit}")
    lines += ["", "compression"]
    for c in result["compression"]:
        lines.append(f"{c['model']} {c['method']}: " + ", ".join(
            f"{key} {_shown(c[key])}" for key in ("seconds", "against", "against_seconds", "ratio", "goal", "holds")))
    lines += ["", "goals" + " (on samples too small to judge speed by)" * result["quick"]]
    for g in result["goals"]:
        bound = f"at least {_shown(g['at_least'])}" if "at_least" in g else f"at most {_shown(g['at_most'])}"
        lines.append(f"{'PASS' if g['holds'] else 'FAIL'}  {g['goal']}: {_shown(g['measured'])} ({bound})")
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line a model, precision and benchmark: items a second of CPU time, share of the peak and peak RSS by side."""
    found = {(r["model"], r["precision"], r["benchmark"], r["side"]): r for r in rows}
    sides = "".join(f"{side:>9}" for side in _SIDES)
    yield f"{'':32}{'items per CPU second':>27}{'share of its matrix peak':>27}{'peak RSS, MB':>27}{'items timed':>17}"
    yield f"{'model':13}{'':6}{'benchmark':13}{sides * 3}{'batch1':>9}{'engine':>8}"
    for model, precision, benchmark in dict.fromkeys((r["model"], r["precision"], r["benchmark"]) for r in rows):
        cells = [found[model, precision, benchmark, side] for side in _SIDES]
        yield (f"{model:13}{precision:6}{benchmark:13}" + "".join(f"{c['items_per_s']:9.1f}" for c in cells)
               + "".join(f"{c['peak_share']:9.0%}" for c in cells)
               + "".join(f"{c['rss_bytes'] / 2**20:9.0f}" for c in cells)
               + f"{cells[0]['items']:9}{cells[-1]['items']:8}")


def _machine(machine: dict[str, Any]) -> str:
    known = machine["instructions"]
    instructions = "unknown" if known is None else ", ".join(known) or "none of those that matter"
    return (f"machine: {machine['cpu']} ({machine['architecture']}), {machine['cores']} cores, instructions: "
            f"{instructions}; torch {machine['torch']} with {machine['kernels']} kernels, "
            f"threads: {machine['threads']}")


def _metrics(a: dict[str, Any]) -> str:
    if not a["metrics"]:
        return "no metric, as they hold no whole test"
    return f"{len(a['unequal'])} of their {a['metrics']} metrics printed otherwise"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
