"""No compression: the baseline that every variant is compared with."""

from __future__ import annotations

from typing import Any, Literal

from stages.compression import MethodConfig

VERSION = 1


class Config(MethodConfig):
    """Settings of ``none``."""

    method: Literal["none"]


def compress(subject: Any, config: Config, context: Any) -> None:
    """Leave the model as it is."""
