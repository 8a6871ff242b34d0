"""The cells of a suite's grid as DVC reads them: which variants are applied to which model.

DVC can cross all models with all variants, but cannot leave any out (``variants.<slug>.only``). So the cells stand one
by one in ``cells.yaml`` beside the params file, written by ``python -m stages.cells`` and held to the params
whenever these are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.common.errors import ParamsError

NAME = "cells.yaml"
_HEAD = """\
# Which variants are applied to which model; DVC has a stage compress, score and measure for each.
# Written by `python -m stages.cells` from params.yaml (`only` of the variants): do not edit.
cells:
"""


def cells_text(cells: Sequence[tuple[str, str]], where: str) -> str:
    """The text of ``cells.yaml``.

    Args:
        cells: Models and variants, in order.
        where: The params file, for error messages.

    Raises:
        ParamsError: Two cells would have the same stage name.
    """
    named: dict[str, tuple[str, str]] = {}
    for model, variant in cells:
        slug = f"{model}-{variant}"
        if slug in named:
            raise ParamsError(f"model {model!r} with variant {variant!r} and model {named[slug][0]!r} with variant "
                              f"{named[slug][1]!r} would both be called {slug!r}", where=where, fix="rename one")
        named[slug] = model, variant
    return _HEAD + "".join(f"  {slug}: {{model: {model}, variant: {variant}}}\n"
                           for slug, (model, variant) in named.items())


def refuse_stale_cells(path: Path, cells: Sequence[tuple[str, str]]) -> None:
    """Check that the ``cells.yaml`` beside a params file, where there is one, is that of the params.

    Raises:
        ParamsError: It is not.
    """
    beside = path.parent / NAME
    if beside.is_file() and beside.read_text(encoding="utf-8") != cells_text(cells, str(path)):
        raise ParamsError(f"not the models and variants of {path}", where=beside, fix=f"python -m stages.cells {path}")
