"""Work folders: where a training keeps its checkpoints until it is done, and takes them up again after a kill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.common.files import atomic_folder, sha256_folder, sha256_text


def work_folder(root: Path, name: str, recipe: dict[str, Any], code: Sequence[Path]) -> Path:
    """The work folder of exactly one training; left-overs of other recipes under its name are removed.

    Args:
        root: Folder of all work folders.
        name: What is trained.
        recipe: All that decides the result but for code and libraries, as JSON.
        code: Folders of source code that decides it too.
    """
    import torch
    import transformers

    whole = recipe | {
        "code": [sha256_folder(folder, suffixes=(".py",)) for folder in code],
        "threads": torch.get_num_threads(),
        "versions": [torch.__version__, transformers.__version__],
    }
    work = root / f"{name}.{sha256_text(json.dumps(whole, sort_keys=True))}"
    for other in root.glob(f"{name}.*"):
        if other != work:
            shutil.rmtree(other)
    return work


def deliver(work: Path, target: Path) -> list[str]:
    """Put a finished training's checkpoints in place as one whole, and remove its work folder.

    Returns:
        Names of the checkpoints, in order.
    """
    checkpoints = sorted(work.glob("p[0-9][0-9][0-9]"))
    with atomic_folder(target) as temporary:
        for folder in checkpoints:
            shutil.copytree(folder, temporary / folder.name)
    shutil.rmtree(work)
    return [folder.name for folder in checkpoints]
