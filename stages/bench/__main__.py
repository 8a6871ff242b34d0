"""Compare the speed of the engine with the reference's loop and a padded batch, and write build/bench.json.

python -m stages.bench [--quick] [--data DIR] [--out FILE] [--threads N] [--models NAMES]

DIR holds ``crows_pairs/``, ``stereoset_dev/`` or ``stereoset/dev.json``, and ``seat/``, or clean tables of these
names; by default it is the mirror of benchmark data that BENCHMARK_MIRROR names, or else what suite ``mini``
fetched. Times are CPU seconds. Rows are shown on stderr as they are measured; the tables follow on stdout.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stages.bench.data import find_data
from stages.bench.text import render
from stages.common.errors import run
from stages.common.files import write_text


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m stages.bench", description="Time the scoring engine.")
    parser.add_argument("--quick", action="store_true", help="small samples, once each: under a minute")
    parser.add_argument("--data", type=Path, help="folder of benchmark data (default: BENCHMARK_MIRROR, or mini's)")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", default="", help="only these, separated by commas")
    given = parser.parse_args()
    data = find_data(given.data)
    # Torch takes seconds to import; a mistake in the command line is reported before that.
    from stages.bench.comparison import bench

    only = [name for name in given.models.split(",") if name]
    result = bench(data, quick=given.quick, threads=given.threads, models=only)
    write_text(given.out, json.dumps(result, indent=2, sort_keys=True) + "\n")
    print(render(result))
    print(f"wrote {given.out}")


if __name__ == "__main__":
    run(main)
