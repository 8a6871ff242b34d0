"""The cells of a suite's grid as DVC reads them: which variants are applied to which model.

DVC can cross all models with all variants, but cannot leave any out (``variants.<slug>.only``). So the cells stand one
by one, in ``cells/<model>/cells.yaml`` beside the params file, written by ``python -m stages.cells`` and held to the
params whenever these are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.common.errors import ParamsError

FOLDER, NAME = "cells", "cells.yaml"
_TEXT = """\
# Which variants are applied to this model; DVC has a stage compress, score and measure for each.
# Written by `python -m stages.cells` from params.yaml (`only` of the variants): do not edit.
cell:
  model: {model}
  variants:
{variants}"""


def cells_texts(cells: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The text of each model's ``cells.yaml``, by model.

    Args:
        cells: Models and variants, in order.
    """
    variants: dict[str, list[str]] = {}
    for model, variant in cells:
        variants.setdefault(model, []).append(variant)
    return {model: _TEXT.format(model=model, variants="".join(f"    - {slug}\n" for slug in slugs))
            for model, slugs in variants.items()}


def refuse_stale_cells(path: Path, cells: Sequence[tuple[str, str]]) -> None:
    """Check that the ``cells`` beside a params file, where there are any, are those of the params.

    Raises:
        ParamsError: They are not.
    """
    beside = path.parent / FOLDER
    if beside.is_dir() and written_cells(beside) != cells_texts(cells):
        raise ParamsError(f"not the models and variants of {path}", where=beside, fix=f"python -m stages.cells {path}")


def written_cells(folder: Path) -> dict[str, str]:
    """The text of each ``cells.yaml`` in a suite's ``cells``, by model."""
    return {file.parent.name: file.read_text(encoding="utf-8") for file in folder.glob(f"*/{NAME}")}


def repro(params_file: Path | str, stage: str, model: str, variant: str) -> str:
    """The command that reproduces one stage of a cell."""
    return f"dvc repro {(Path(params_file).parent / FOLDER / model / 'dvc.yaml').as_posix()}:{stage}@{variant}"
