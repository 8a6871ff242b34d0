"""One module a compression method, under ``methods/``: a typed frozen config and a function.

A module in ``stages.compression.methods`` is a method by being there. It offers:

``Config``   a ``MethodConfig`` with ``method: Literal["<module name>"]`` and the method's settings;
             its validators refuse what makes no sense, ``check_after`` what makes none after other steps.
``VERSION``  integer, raised when the method's output changes; stored in ``method.json``.
``compress(subject, config, context)``   changes the weights of a ``stages.compression.subject.Subject``.
             Reading the checkpoint and writing the artefact is done around it (``stages.compression.pipeline``).

A method that trains says so (``MethodConfig.trains``). Its variant is made from a model's last checkpoint,
and what it holds under ``pNNN`` is the state after NNN percent of that training, put through the steps after it.

Several methods in a row compose on float32 values: each step starts from the weights the step before
left, as they will come back from storage; what a weight is stored as is the last step's word.

Torch is imported inside functions, so that reading a config stays cheap.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from stages.common.errors import ParamsError
from stages.common.params import Frozen, Params, choose, parse


class MethodConfig(Frozen):
    """Base of every method's settings."""

    method: str

    @property
    def last(self) -> bool:
        """Whether no further step may follow: the weights are no longer what the model computes with."""
        return False

    @property
    def trains(self) -> bool:
        """Whether it trains a language model: its variant holds an artefact for each checkpoint of that training."""
        return False

    @property
    def from_last(self) -> bool:
        """Whether its variant is made from a model's last checkpoint alone."""
        return self.trains

    @property
    def records(self) -> bool:
        """Whether it leaves a ``checkpoint.json`` of its own, which tells the held-out loss of what it made."""
        return self.trains

    @property
    def on_grid(self) -> bool:
        """Whether it leaves weights on a grid, where a zero may be no more than the nearest point."""
        return False

    def check_after(self, earlier: Sequence[MethodConfig], where: str) -> None:
        """Refuse to follow steps after which this one cannot be applied to any model.

        Args:
            earlier: The steps before it, in order.
            where: The step's place, for the error message.

        Raises:
            ParamsError: It cannot follow them.
        """
        if earlier and earlier[-1].last:
            raise ParamsError(f"no step can follow {earlier[-1].method}: the model no longer computes with float32 "
                              "weights", where=where, fix="make it the last step")


@dataclass(frozen=True)
class Context:
    """What a method may need beside the model."""

    seed: int = 0
    """Seed of the suite; a method with its own ``seed`` setting adds to it."""
    corpus: Path | None = None
    """Validated corpus table (columns ``split`` and ``text``) to calibrate or train on."""
    work: Path | None = None
    """Where a training keeps its state, to be taken up again after a kill; nowhere if not given."""
    snapshot: Callable[[Path], None] | None = None
    """Writes the subject as it stands in the midst of a training, as an artefact in a folder of that name."""


class Method(Protocol):
    """The shape of a method module."""

    VERSION: int
    Config: type[MethodConfig]

    def compress(self, subject: Any, config: Any, context: Context) -> None:
        """Change the weights of a subject in place."""


def names() -> list[str]:
    """Names of all compression methods, sorted."""
    package = importlib.import_module(f"{__name__}.methods")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def get(name: str) -> Method:
    """The method module of that name.

    Raises:
        ParamsError: There is none; the message lists those there are.
    """
    choose(dict.fromkeys(names()), name, "compression method")
    return cast(Method, importlib.import_module(f"{__name__}.methods.{name}"))


def parse_variant(raw: Any, where: str) -> list[MethodConfig]:
    """The typed steps of a variant: one method config, or a list of them applied in order.

    Raises:
        ParamsError: Unknown method, settings it does not know, or a step that cannot follow those before it.
    """
    steps = raw if isinstance(raw, list) else [raw]
    configs: list[MethodConfig] = []
    for index, step in enumerate(steps):
        place = f"{where}[{index}]" if isinstance(raw, list) else where
        if not isinstance(step, dict) or not isinstance(step.get("method"), str):
            raise ParamsError("a variant needs 'method'", where=place, fix=f"methods are: {', '.join(names())}")
        try:
            module = get(step["method"])
        except ParamsError as error:
            raise ParamsError(error.what, where=f"{place}.method") from None
        config = parse(module.Config, step, place)
        config.check_after(configs, place)
        configs.append(config)
    if not configs:
        raise ParamsError("a variant needs at least one method", where=where)
    return configs


def trains(steps: Sequence[MethodConfig]) -> bool:
    """Whether a variant has a step that trains."""
    return any(step.trains for step in steps)


def check_params(params: Params, where: str) -> None:
    """Check every variant's methods and settings (called by ``load_params``).

    Raises:
        ParamsError: See ``parse_variant``; or a variant that is made from the last checkpoint is asked for all,
            or one that trains for a sentence encoder.
    """
    for slug, variant in params.variants.items():
        place = f"{where}: variants.{slug}"
        steps = parse_variant(variant.recipe, place)
        alone = next((step.method for step in steps if step.from_last), None)
        if alone is not None and "checkpoints" in variant.model_fields_set and variant.checkpoints == "all":
            raise ParamsError(f"{alone} is applied to a model's last checkpoint alone", where=f"{place}.checkpoints",
                              fix="leave it out, or say last")
        encoders = [name for name, model in params.models.items()
                    if model.family == "sentence" and params.applies(name, slug)]
        if trains(steps) and encoders:
            others = [name for name, model in params.models.items() if model.family != "sentence"]
            raise ParamsError(f"{encoders[0]} is a sentence encoder, which has no language-model head to train",
                              where=place, fix=f"name the models it is for, e.g. only: [{', '.join(others)}]")
