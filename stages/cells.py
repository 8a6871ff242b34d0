"""Write what DVC does to each model: ``cells/<model>/`` beside the params file, with its variants and stages.

Usage: ``python -m stages.cells [PARAMS ...]``, after a model, a variant or its ``only`` has changed; without an
argument, for every suite.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from stages.common.cells import FOLDER, NAME, cells_texts
from stages.common.errors import run
from stages.common.files import write_text
from stages.common.params import load_params

PIPELINE = Path(__file__).with_suffix(".pipeline.yaml")
"""The stages of one model."""


def write_cells(params_file: Path) -> None:
    """Write the ``cells`` of one suite, and remove those of models that it no longer has.

    Raises:
        ParamsError: The params file has a mistake.
    """
    texts = cells_texts(load_params(params_file, stale_cells=True).cells)
    folder = params_file.parent / FOLDER
    pipeline = PIPELINE.read_text(encoding="utf-8")
    for model, text in texts.items():
        _write(folder / model / NAME, text)
        _write(folder / model / "dvc.yaml", pipeline)
    for gone in sorted(path for path in folder.iterdir() if path.name not in texts):
        shutil.rmtree(gone)
        print(f"removed {gone}")


def _write(target: Path, text: str) -> None:
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        write_text(target, text)
        print(f"wrote {target}")


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
