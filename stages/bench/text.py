"""What the bench found, as text."""

from __future__ import annotations

from typing import Any

BENCHMARKS = ("crows_pairs", "stereoset", "seat")
"""Those that are timed, in the order of the tables."""


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
    lines += ["", "growth with items (engine, crows_pairs)"]
    for g in result["growth"]:
        lines.append(f"{g['model']} {g['precision']} {g['factor']:2}x: {g['items']:5} items, {g['tokens']:7} tokens, "
                     f"{g['seconds']:8.2f} s, {g['ratio']:5.1f}x the time")
    lines += ["", "agreement with one sequence at a time"]
    for a in result["agreement"]:
        exact = f", to float64 {a['float64']:.1e}" if a["float64"] is not None else ""
        lines.append(f"{a['model']} {a['precision']} {a['benchmark']}: {a['items']} items, largest difference "
                     f"{a['largest']:.1e}{exact}; {a['off']} off, {a['ties']} of them rounding ties; "
                     f"{len(a['unequal'])} of {a['metrics']} metrics printed otherwise")
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


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
