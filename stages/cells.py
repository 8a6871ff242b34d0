"""Write which variants are applied to which model to where DVC reads it: ``cells.yaml`` beside the params file.

Usage: ``python -m stages.cells [PARAMS ...]``, after a model, a variant or its ``only`` has changed; without an
argument, for every suite.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from stages.common.cells import NAME, cells_text
from stages.common.errors import run
from stages.common.files import write_text
from stages.common.params import load_params


def write_cells(params_file: Path) -> Path:
    """Write the ``cells.yaml`` of one suite, unless it is that already.

    Returns:
        The file.

    Raises:
        ParamsError: The params file has a mistake.
    """
    text = cells_text(load_params(params_file, stale_cells=True).cells, str(params_file))
    target = params_file.parent / NAME
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        write_text(target, text)
        print(f"wrote {target}")
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m stages.cells", description="Write the cells of suites for DVC.")
    parser.add_argument("params", nargs="*", type=Path, metavar="PARAMS", help="params files; all suites' if left out")
    given = parser.parse_args(arguments).params
    for path in given or [Path("params.yaml"), *sorted(Path("suites").glob("*/params.yaml"))]:
        write_cells(path)
    return 0


if __name__ == "__main__":
    run(main)
