"""Gaussian noise of a given relative norm on the weights: what a change of that size does by itself (a control)."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from stages import compression
from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``noise``."""

    method: Literal["noise"]
    like: dict[str, Any] | list[dict[str, Any]] | None = None
    """A variant; every weight that it changes gets noise of the norm of that change. (It is written out
    here, in YAML by an anchor, so that the noise is drawn again when those settings change.)"""
    relative_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Norm of the noise on each matrix in the scope, as a share of the matrix's own norm (Frobenius)."""
    scope: Literal["layers", "linear", "all"] = "layers"
    """With ``relative_norm``: matrices of the transformer's layers, every linear map, or the embeddings too."""
    seed: int = Field(default=0, ge=0)
    """Of the noise, beside the suite's own seed."""

    @field_validator("like", mode="before")
    @classmethod
    def _written_out(cls, like: Any) -> Any:
        if like is None or all(isinstance(step, dict) for step in (like if isinstance(like, list) else [like])):
            return like
        raise ValueError("write its method here, {method: ..., ...}; a YAML anchor (&name, *name) repeats it")

    @model_validator(mode="after")
    def _one_size(self) -> Config:
        if (self.like is None) == (self.relative_norm is None):
            raise ValueError("give exactly one of 'like' and 'relative_norm'")
        if self.like is not None:
            if self.scope != "layers":
                raise ValueError("scope belongs to relative_norm; 'like' has its own")
            try:
                compression.parse_variant(self.like, "like")
            except ParamsError as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def from_last(self) -> bool:
        """As the variant that it is like."""
        return any(step.from_last for step in self._like())

    def check_after(self, earlier: Sequence[MethodConfig], where: str) -> None:
        """Only after what the variant that it is like could follow."""
        super().check_after(earlier, where)
        for step in self._like()[:1]:
            step.check_after(earlier, f"{where}: like")

    def _like(self) -> list[MethodConfig]:
        return [] if self.like is None else compression.parse_variant(self.like, "like")

    @field_serializer("like", when_used="json")
    def _spelled_out(self, like: Any) -> Any:
        """As ``method.json`` records the steps of the variant itself: a list, every setting said."""
        if like is None:
            return None
        return [step.model_dump(mode="json") for step in self._like()]


def noise_of(weight: Tensor, norm: float, seed: int, name: str) -> Tensor:
    """Gaussian noise of a given Frobenius norm and of the shape of ``weight``."""
    import torch

    from stages.compression.drawing import generator

    noise = torch.randn(weight.shape, generator=generator(seed, name))
    return noise * float(norm / noise.double().norm())


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Add noise to the weights.

    Raises:
        MethodError: ``like`` changes the model's shape, no weight at all, or one beyond any number.
    """
    seed = context.seed + config.seed
    if config.relative_norm is not None:
        for matrix in subject.matrices(config.scope):
            _perturb(subject, matrix.name, config.relative_norm * float(matrix.get().double().norm()), seed)
        return
    shadow = copy.deepcopy(subject)
    for step in compression.parse_variant(config.like, "like"):
        compression.get(step.method).compress(shadow, step, context)
    norms = _norms_of(subject, shadow)
    shared, still_shared = _shared(subject), _shared(shadow)
    for name, norm in norms.items():
        if name in shared - still_shared:
            subject.untie(subject.model.get_submodule(name.rpartition(".")[0]))
        _perturb(subject, name, norm, seed)


def _perturb(subject: Subject, name: str, norm: float, seed: int) -> None:
    weight = subject.model.get_parameter(name).detach()
    subject.assign(name, weight + noise_of(weight, norm, seed, name))


def _norms_of(subject: Subject, shadow: Subject) -> dict[str, float]:
    """Norm of the change of each weight that was changed in a subject's copy, by parameter name.

    Raises:
        MethodError: The copy has parameters of other shapes, the same values, or NaN or infinity.
    """
    before = dict(subject.model.named_parameters(remove_duplicate=False))
    after = dict(shadow.model.named_parameters(remove_duplicate=False))
    if {name: value.shape for name, value in before.items()} != {name: value.shape for name, value in after.items()}:
        raise MethodError("'like' changes the model's shape, so its change has no norm", where=subject.folder)
    norms = {}
    for name in sorted(shadow.changed):
        norm = float((shadow.values(name).double() - before[name].detach().double()).norm())
        if not math.isfinite(norm):
            raise MethodError(f"'like' makes the weight {name} NaN or infinite", where=subject.folder)
        if norm > 0:
            norms[name] = norm
    if not norms:
        raise MethodError("'like' changes no weight of this model", where=subject.folder)
    return norms


def _shared(subject: Subject) -> set[str]:
    """Names of the parameters that go by more than one name."""
    named = list(subject.model.named_parameters(remove_duplicate=False))
    owners = Counter(id(parameter) for _, parameter in named)
    return {name for name, parameter in named if owners[id(parameter)] > 1}
