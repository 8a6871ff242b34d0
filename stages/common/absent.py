"""Cells of the grid that are not there: a variant that is not applied to a model.

The pipeline has a stage for every model and variant. Where ``variants.<slug>.only`` leaves a model out,
its folders hold the one file ``absent.json``, and its metrics are empty.
"""

from __future__ import annotations

import json
from pathlib import Path

from stages.common.files import atomic_folder

NAME = "absent.json"


def write_absent(folder: Path, model: str, variant: str) -> None:
    """Put a folder in place that says that the variant is not applied to the model."""
    facts = {"model": model, "variant": variant, "reason": f"variants.{variant}.only leaves the model out"}
    with atomic_folder(folder) as temporary:
        (temporary / NAME).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def is_absent(folder: Path) -> bool:
    """Whether a folder is that of a cell that is not there."""
    return (folder / NAME).is_file()
