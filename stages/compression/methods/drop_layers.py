"""Whole transformer layers left out (Sajjad et al. 2023, arXiv 2004.03844)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from stages.common.errors import MethodError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``drop_layers``."""

    method: Literal["drop_layers"]
    count: int | None = Field(default=None, ge=1)
    """How many layers to leave out."""
    which: Literal["top", "bottom", "middle", "alternate"] = "top"
    """With ``count``: those next to the output, next to the input, in the middle, or every other one from the top."""
    layers: tuple[int, ...] | None = None
    """The layers to leave out by number, 0 next to the input."""

    @model_validator(mode="after")
    def _one_choice(self) -> Config:
        if (self.count is None) == (self.layers is None):
            raise ValueError("give exactly one of 'count' and 'layers'")
        if self.layers is not None:
            if self.which != "top":
                raise ValueError("which belongs to count")
            if list(self.layers) != sorted(set(self.layers)) or not self.layers or self.layers[0] < 0:
                raise ValueError("layers must rise, from 0")
        return self


def dropped(depth: int, config: Config) -> set[int]:
    """Numbers of the layers that a config leaves out of ``depth``.

    Raises:
        MethodError: There are no such layers, none would be left, or every other one is not that many.
    """
    if config.layers is not None:
        if config.layers[-1] >= depth:
            raise MethodError(f"the model has no layer {config.layers[-1]}", fix=f"its layers are 0 to {depth - 1}")
        chosen = set(config.layers)
    else:
        assert config.count is not None
        count = config.count
        first = {"top": depth - count, "bottom": 0, "middle": (depth - count) // 2}
        step = 2 if config.which == "alternate" else 1
        start = depth - 1 - 2 * (count - 1) if config.which == "alternate" else first[config.which]
        chosen = {start + step * number for number in range(count)}
        if start < 0:
            raise MethodError(f"{config.which} {count} is more than {depth} layers allow", fix="choose a smaller count")
    if len(chosen) >= depth:
        raise MethodError(f"leaves none of the model's {depth} layers", fix="leave out fewer")
    return chosen


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Leave the layers out of the model.

    Raises:
        MethodError: See ``dropped``; or the architecture's layers are not all alike.
    """
    from torch import nn

    prefix, layers = subject.layers()
    _refuse_unlike(subject, layers)
    gone = dropped(len(layers), config)
    kept = [number for number in range(len(layers)) if number not in gone]
    for number, old in enumerate(kept):
        for module in layers[old].modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number
    subject.model.set_submodule(prefix, nn.ModuleList(layers[number] for number in kept))
    _rename(subject, prefix, {str(old): str(new) for new, old in enumerate(kept)})
    _configure(subject, kept)


def _refuse_unlike(subject: Subject, layers: Any) -> None:
    """Refuse layers that could not take each other's number: of unlike weights, or listed one by one in the config."""
    kinds = {tuple((name, value.shape) for name, value in layer.named_parameters()) for layer in layers}
    listed = [key for key, value in subject.model.config.to_dict().items()
              if isinstance(value, list) and len(value) == len(layers) and key != "layer_types"]
    if len(kinds) > 1 or listed:
        raise MethodError(f"the layers of architecture {subject.loaded.architecture!r} are not all alike",
                          where=subject.folder, fix="layers can be left out where any could stand in another's place")


def _rename(subject: Subject, prefix: str, numbers: dict[str, str]) -> None:
    """Carry what earlier steps said of weights over to the layers' new numbers."""

    def renamed(name: str) -> str | None:
        if not name.startswith(f"{prefix}."):
            return name
        old, _, rest = name.removeprefix(f"{prefix}.").partition(".")
        return f"{prefix}.{numbers[old]}.{rest}" if old in numbers else None

    subject.forms = {new: form for name, form in subject.forms.items() if (new := renamed(name)) is not None}
    subject.changed = {new for name in subject.changed if (new := renamed(name)) is not None}
    subject.reshaped = True


def _configure(subject: Subject, kept: list[int]) -> None:
    """Write the new depth, and the kinds of the layers left, into the config."""
    config = subject.model.config
    changes: dict[str, Any] = {"num_hidden_layers": len(kept)}
    if getattr(config, "layer_types", None) is not None:
        changes["layer_types"] = [config.layer_types[number] for number in kept]
    for key, value in changes.items():
        setattr(config, key, value)
        subject.config_changes[config.attribute_map.get(key, key)] = value
