"""Settings that several methods share; without torch, so that reading a config stays cheap."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from stages.compression import MethodConfig


class CalibrationConfig(MethodConfig):
    """Settings of every method that looks at what a model makes of calibration texts."""

    sequences: int = Field(default=128, ge=1)
    """Calibration texts."""
    length: int = Field(default=128, ge=2)
    """Tokens in each."""
    mask_probability: float = Field(default=0.15, ge=0, lt=1)
    """Share of the words that a masked model finds replaced by its mask token, every one of them (training leaves or
    swaps a fifth of the words it asks for); others read plain text."""


class CalibratedGridConfig(CalibrationConfig):
    """Settings of the methods that round weights to few bits on calibration texts."""

    bits: int = Field(ge=2, le=8)
    granularity: Literal["channel", "group"] = "channel"
    """What shares a scale: an output channel, or ``group_size`` inputs of one."""
    group_size: int | None = Field(default=None, ge=2)
    symmetric: bool = True
    """Around zero, or from the smallest to the largest weight with a zero point."""

    @property
    def on_grid(self) -> bool:
        """Its weights are."""
        return True

    @model_validator(mode="after")
    def _group(self) -> CalibratedGridConfig:
        check_group(self.granularity, self.group_size)
        return self


def check_group(granularity: str, group_size: int | None) -> None:
    """Refuse a group size without groups, and groups without a size.

    Raises:
        ValueError: One of them is given without the other.
    """
    if (group_size is None) == (granularity == "group"):
        raise ValueError("group_size belongs to granularity 'group', and is needed there")
