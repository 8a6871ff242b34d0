"""What cells gave, kept by everything it depends on: a cell is computed once, and a kill loses those in progress."""

from __future__ import annotations

import json
from pathlib import Path

from stages.calibrating.cell import Cell
from stages.common.files import sha256_folder, sha256_text

CACHE = Path(".cache/calibration")
_CODE = ("benchmarks", "calibrating", "common", "compression", "lab", "models", "scoring", "training")


def key_of(cell: Cell) -> str:
    """Name of a cell's place in the cache: a hash of its settings, of the code, and of the libraries' versions."""
    import torch
    import transformers

    root = Path(__file__).parents[1]
    depends_on = {
        "world": cell.world.model_dump(mode="json"),
        "model": cell.model.model_dump(mode="json"),
        "seed": cell.seed,
        "variants": list(cell.variants.items()),
        "token_budget": cell.token_budget,
        "code": [sha256_folder(root / name, suffixes=(".py",)) for name in _CODE],
        "versions": [torch.__version__, transformers.__version__],
    }
    return sha256_text(json.dumps(depends_on, sort_keys=True))
