"""Two trained models, and the first of them with noise on its weights, measured by what sets the two apart."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from stages.calibrating.cell import Cell, score_model, tables_of, train_model
from stages.lab.result import COLUMNS, LAST, CellResult

WHOLE, FAINT = "noise", "faint-noise"
NOISES = {WHOLE: 1.0, FAINT: 0.4}
"""Noise controls: the norm of their noise, relative to the distance of the two models. The one costs quality (half as
much perplexity again and more), the other leaves a model as good as the first."""
VARIANT = "fp32"
"""Models are measured as they were trained."""


def with_noise_controls(one: Cell, other: Cell) -> dict[str, CellResult]:
    """Train two cells and score them, and the first with Gaussian noise on every weight.

    The noise on a parameter has the Frobenius norm of the difference between the two models' own, or a share of it.

    Args:
        one: The first cell.
        other: A cell of the same architecture, whose world has the same items.

    Returns:
        By name of the cell; the noise controls, on the items of the first, by their names in ``NOISES``.
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
    before = {name: weight.detach().clone() for name, weight in noised.model.named_parameters()}
    for control, share in NOISES.items():
        with torch.no_grad():
            for name, weight in noised.model.named_parameters():
                distance = float((target.get_parameter(name).double() - before[name].double()).norm())
                weight.copy_(before[name] + noise_of(weight, share * distance, one.seed, name))
        found[control] = _result(*score_model(one, asked[0], noised, True))
    return found


def _result(records: pd.DataFrame, vectors: dict[str, np.ndarray]) -> CellResult:
    return CellResult(records.assign(variant=VARIANT, checkpoint=LAST)[COLUMNS], pd.DataFrame(
        {"variant": VARIANT, "text_sha": sorted(vectors), "vector": [vectors[text] for text in sorted(vectors)]}))
