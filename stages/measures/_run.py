"""``run.json``, which the score stage writes beside its records: what was scored, with what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stages.common.errors import DataError
from stages.common.params import Family


class Scored(BaseModel):
    """A dataset that was scored."""

    benchmark: str
    measure: str
    """Module of ``stages.measures`` for its records."""


class Checkpoint(BaseModel):
    """A point of training; other facts of it are kept as they are."""

    model_config = ConfigDict(extra="allow")

    fraction: float = Field(ge=0, le=1)
    """Share of training done."""


class Run(BaseModel):
    """A folder of records."""

    folder: Path
    family: Family
    model: dict[str, Any]
    """Facts of the model: ``parameters``, ``stored_bytes``, ``architecture``, ..."""
    checkpoints: dict[str, Checkpoint] = Field(min_length=1)
    datasets: dict[str, Scored] = Field(min_length=1)

    @property
    def in_order(self) -> list[str]:
        """Names of the checkpoints, from the least trained to the most."""
        return sorted(self.checkpoints, key=lambda name: (self.checkpoints[name].fraction, name))


def read_run(folder: Path) -> Run:
    """Read a folder's ``run.json``.

    Raises:
        DataError: It is missing or malformed; the message names the key.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise DataError("no such file", where=path, fix="a folder of records is what stages.score writes")
    try:
        return Run.model_validate({"folder": folder, **json.loads(path.read_text(encoding="utf-8"))})
    except (ValueError, TypeError) as error:
        reason = str(error)
        if isinstance(error, ValidationError):
            reason = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise DataError(f"not a description of records: {reason}", where=path, fix="score again") from error
