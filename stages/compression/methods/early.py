"""An earlier checkpoint in the place of the last one: what less training does by itself (a control)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1
_NAME = re.compile(r"p(\d{3})")
_WHAT, _FIX = "takes the place of what the steps before it did", "make it the first step"


class Config(MethodConfig):
    """Settings of ``early``."""

    method: Literal["early"]
    percent: int = Field(ge=1, le=99)
    """The latest checkpoint at or before this percentage of training is taken; ``method.json`` names it."""

    @property
    def from_last(self) -> bool:
        """It stands in for the last checkpoint."""
        return True

    @property
    def records(self) -> bool:
        """That of the checkpoint it takes."""
        return True

    def check_after(self, earlier: Sequence[MethodConfig], where: str) -> None:
        """After none."""
        if earlier:
            raise ParamsError(_WHAT, where=f"{where}: {self.method}", fix=_FIX)


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Give the model the weights of an earlier checkpoint beside it.

    Raises:
        MethodError: There is none, or an earlier step has changed the model.
        ModelError: It is damaged.
    """
    from stages.compression.artefact import open_model

    if subject.changed or subject.reshaped:
        raise MethodError(_WHAT, where=config.method, fix=_FIX)
    own = _NAME.fullmatch(subject.folder.name)
    last = min(config.percent, int(own[1]) - 1) if own else 0
    earlier = [path for path in sorted(subject.folder.parent.iterdir())
               if (found := _NAME.fullmatch(path.name)) and int(found[1]) <= last]
    if own is None or not earlier:
        raise MethodError(f"has no checkpoint at or before {config.percent}% of its training", where=subject.folder,
                          fix="name the models that have one: only: [...]")
    source = earlier[-1]
    for name, parameter in open_model(source, subject.loaded.family).model.named_parameters():
        subject.assign(name, parameter.detach())
    known = source / "checkpoint.json"
    facts = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    subject.facts = facts | {"fraction": int(own[1]) / 100}
    subject.resolved = {"checkpoint": source.name}
