"""Two trained models, and the first of them with noise on its weights as large as what sets the two apart."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from stages.calibrating.cell import Cell, score_model, tables_of, train_model
from stages.lab.result import COLUMNS, LAST, CellResult

NOISED = "noise"
"""Name of the noise control."""
VARIANT = "fp32"
"""Models are measured as they were trained."""


def with_noise_control(one: Cell, other: Cell) -> dict[str, CellResult]:
    """Train two cells and score them, and the first with Gaussian noise on every weight.

    The noise on a parameter has the Frobenius norm of the difference between the two models' own.

    Args:
        one: The first cell.
        other: A cell of the same architecture, whose world has the same items.

    Returns:
        By name of the cell; the noise control, on the items of the first, as ``NOISED``.
    """
    import torch

    from stages.common.quiet import quiet
    from stages.compression.methods.noise import noise_of
    from stages.models.load import load_model

    quiet()
    torch.set_num_threads(1)
    found, asked, models = {}, [], []
    with TemporaryDirectory(prefix="validity-") as folder:
        for cell in (one, other):
            place = Path(folder, cell.name)
            place.mkdir()
            asked.append(tables_of(cell.world, place))
            train_model(cell, asked[-1]["corpus"], place / "training")
            models.append(load_model(place / "training" / LAST, cell.model.family))
            found[cell.name] = _result(*score_model(cell, asked[-1], models[-1], True))
    noised, target = models[0], models[1].model
    with torch.no_grad():
        for name, weight in noised.model.named_parameters():
            distance = float((target.get_parameter(name).double() - weight.double()).norm())
            weight += noise_of(weight, distance, one.seed, name)
    found[NOISED] = _result(*score_model(one, asked[0], noised, True))
    return found


def _result(records: pd.DataFrame, vectors: dict[str, np.ndarray]) -> CellResult:
    return CellResult(records.assign(variant=VARIANT, checkpoint=LAST)[COLUMNS], pd.DataFrame(
        {"variant": VARIANT, "text_sha": sorted(vectors), "vector": [vectors[text] for text in sorted(vectors)]}))
