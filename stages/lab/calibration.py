"""Typed settings of a calibration grid, ``calibration.<grid>`` in params: which worlds, models and variants."""

from __future__ import annotations

import importlib
from itertools import combinations
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from stages.common.errors import ParamsError
from stages.common.params import Frozen, Params, Slug, TrainedModel, choose, parse
from stages.lab.vocabularies import KINDS
from stages.lab.world import Associations, World


class Learner(Frozen):
    """A kind of tiny model that is trained on planted worlds."""

    model: TrainedModel
    """Architecture, tokenizer and training; with several checkpoints, the uncompressed ones are all measured."""
    seeds: tuple[int, ...] = Field(default=(1,), min_length=1)
    """One model is trained for each: initial weights, order of the texts, masks."""
    worlds: tuple[Slug, ...] | None = None
    """The worlds it is trained on; all of them if left out."""
    variants: tuple[Slug, ...] | None = None
    """The variants applied to it, beside the baseline; all of them if left out."""


class Spec(NamedTuple):
    """Names of one cell of the grid: one trained model."""

    world: str
    learner: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the cell's folder."""
        return f"{self.world}.{self.learner}.{self.seed}"


class Calibration(Frozen):
    """A grid of planted worlds, models trained on them, and compressed variants of those."""

    workers: int = Field(default=1, ge=1)
    """Processes, of one thread each; makes no difference to any number."""
    resamples: int = Field(default=1_000, ge=100)
    """Of the items of each model, and of worlds and seeds."""
    worlds: dict[Slug, World] = Field(min_length=1)
    """In params, settings under ``common`` are those of every world that has none of its own."""
    learners: dict[Slug, Learner] = Field(min_length=1)
    baseline: Slug = "fp32"
    """The variant that others are compared with."""
    variants: dict[Slug, Any]
    """Recipes as under a suite's ``variants``, by slug; applied to the last checkpoint."""

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "common" not in raw:
            return raw
        rest = {key: value for key, value in raw.items() if key != "common"}
        if not isinstance(raw["common"], dict) or not isinstance(raw.get("worlds"), dict):
            raise ValueError("'common' is a mapping of settings for the worlds under 'worlds'")
        worlds = {slug: {**raw["common"], **own} if isinstance(own, dict) else own
                  for slug, own in raw["worlds"].items()}
        return {**rest, "worlds": worlds}

    @model_validator(mode="after")
    def _names_exist(self) -> Calibration:
        if self.baseline not in self.variants:
            raise ValueError(f"baseline: no variant {self.baseline!r}; variants are {', '.join(self.variants)}")
        for slug, learner in self.learners.items():
            for key, named, there in (("worlds", learner.worlds, self.worlds),
                                      ("variants", learner.variants, self.variants)):
                for name in named or ():
                    if name not in there:
                        raise ValueError(f"learners.{slug}.{key}: no {name!r}; there are: {', '.join(there)}")
        return self

    def recipes(self, learner: str) -> dict[str, Any]:
        """Recipes of the variants that are applied to a learner, the baseline first."""
        chosen = self.learners[learner].variants
        return {self.baseline: self.variants[self.baseline],
                **{slug: recipe for slug, recipe in self.variants.items() if chosen is None or slug in chosen}}

    @property
    def cells(self) -> list[Spec]:
        """Every model that is trained, in the order of the file."""
        return [
            Spec(world, slug, seed)
            for slug, learner in self.learners.items()
            for world in self.worlds if learner.worlds is None or world in learner.worlds
            for seed in learner.seeds
        ]


    @property
    def twins(self) -> list[tuple[str, str, str]]:
        """Worlds that differ in what is planted for one kind of group alone: (one, other, the kind)."""
        found: list[tuple[str, str, str]] = []
        for one, other in combinations(self.worlds, 2):
            differs = [kind for kind in KINDS
                       if self.worlds[one].association(kind) != self.worlds[other].association(kind)]
            alike = [self.worlds[name].model_copy(update={"associations": Associations()}) for name in (one, other)]
            if len(differs) == 1 and alike[0] == alike[1]:
                found.append((one, other, differs[0]))
        return found


def grid_of(params: Params, grid: str, where: str | None = None) -> Calibration:
    """The settings of one grid of a suite.

    Args:
        params: The suite's params.
        grid: Slug of the grid.
        where: The params' file, for error messages.

    Raises:
        ParamsError: No such grid, or settings that are not known.
    """
    where = where or params.params_file
    try:
        raw = choose(params.calibration, grid, "calibration grid")
    except ParamsError as error:
        raise ParamsError(error.what, where=where) from None
    return parse(Calibration, raw, f"{where}: calibration.{grid}")


def check_grids(params: Params, where: str) -> None:
    """Check every grid, down to its variants' methods."""
    # By name, as the params do it: a check changes no result, so what only reads worlds does not depend on it.
    compression = importlib.import_module("stages.compression")
    for grid in params.calibration:
        for slug, recipe in grid_of(params, grid, where).variants.items():
            compression.parse_variant(recipe, f"{where}: calibration.{grid}.variants.{slug}")
