"""Typed parameters of a suite: frozen, unknown keys forbidden, mistakes named before anything runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, StringConstraints, model_validator

from stages.common.cells import refuse_stale_cells
from stages.common.errors import ParamsError
from stages.common.typed import FAMILIES, Family, Frozen, Slug, choose, parse

__all__ = ["FAMILIES", "Family", "Frozen", "Slug", "choose", "parse"]  # typed here for those who read params


class Dataset(Frozen):
    """One dataset of a suite, under ``datasets.<slug>``."""

    benchmark: Slug
    """Module of ``stages.benchmarks`` that reads, checks and plans it."""
    source: str
    """Path of a source manifest (``data/sources/*.yaml``), or ``lab:<world>`` for generated data."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What to score of it; typed by the benchmark's own ``Options``."""


class Tokenizer(Frozen):
    """A tokenizer trained on the suite's corpus."""

    kind: Literal["wordpiece", "bpe", "word"]
    vocab_size: int = Field(ge=16)
    lowercase: bool = True


class Training(Frozen):
    """How a model is trained on the suite's corpus (AdamW, linear warm-up and decay)."""

    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    sequence_length: int = Field(ge=8)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(default=0.01, ge=0, allow_inf_nan=False)
    mask_probability: float = Field(default=0.15, gt=0, lt=1)
    """Share of tokens masked (masked models only)."""
    packing: Literal["blocks", "lines"] = "blocks"
    """``blocks`` cuts the concatenated corpus; ``lines`` keeps one line a sequence, padded."""
    autocast: Literal["float32", "bfloat16"] = "float32"
    checkpoints: tuple[Annotated[int, Field(ge=1, le=100)], ...] = (100,)
    """Percentages of training at which a checkpoint is written; the last is 100."""

    @model_validator(mode="after")
    def _ordered(self) -> Training:
        points = self.checkpoints
        if list(points) != sorted(set(points)) or not points or points[-1] != 100:
            raise ValueError("checkpoints must rise and end at 100")
        if self.warmup_steps >= self.steps:
            raise ValueError("warmup_steps must be smaller than steps")
        return self


class Package(Frozen):
    """A model folder inside an installed Python package."""

    name: str
    folder: str


class HubModel(Frozen):
    """A Hugging Face hub model at pinned revisions."""

    source: Literal["hub"]
    family: Family
    repo: str
    revision: str
    checkpoints: dict[Annotated[str, StringConstraints(pattern=r"^p\d{3}$")], str] = Field(default_factory=dict)
    """Revision of each checkpoint, keyed ``p001`` .. ``p100``; empty means ``revision`` alone as ``p100``."""
    teacher: Slug | None = None
    """The model it was distilled from, which it is compared with."""


class PackagedModel(Frozen):
    """A model carried by an installed Python package, as it is."""

    source: Literal["package"]
    family: Family
    package: Package
    teacher: Slug | None = None
    """The model it was distilled from, which it is compared with."""


class LocalModel(Frozen):
    """A model folder on disk, relative to the project's root or absolute."""

    source: Literal["local"]
    family: Family
    path: str
    teacher: Slug | None = None
    """The model it was distilled from, which it is compared with."""


class TrainedModel(Frozen):
    """A model that the pipeline trains on the suite's corpus."""

    source: Literal["train"]
    family: Literal["masked", "causal"]
    architecture: str
    """A transformers ``model_type``, e.g. ``bert`` or ``gpt_neox``."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Fields of the architecture's transformers config (empty when ``initial`` gives them)."""
    tokenizer: Tokenizer | None = None
    initial: Package | None = None
    """Encoder weights and tokenizer to start from, in place of random ones."""
    training: Training
    replicates: int = Field(default=0, ge=0)
    """Further models trained alike but from other seeds, which show what the seed alone changes (``stages.floor``)."""

    @model_validator(mode="after")
    def _one_origin(self) -> TrainedModel:
        if (self.initial is None) == (self.tokenizer is None):
            raise ValueError("give exactly one of 'tokenizer' (train from scratch) and 'initial' (continue)")
        return self


Model = Annotated[HubModel | PackagedModel | LocalModel | TrainedModel, Field(discriminator="source")]


class Scoring(Frozen):
    """How texts are scored; none of it changes a score beyond float noise."""

    token_budget: int = Field(default=1024, ge=1)
    """Tokens packed into one forward pass."""


class Variant(Frozen):
    """A compressed form of the models, under ``variants.<slug>``.

    The short forms ``{method: ...}`` and ``[{method: ...}, ...]`` stand for its steps.
    """

    steps: tuple[dict[str, Any], ...] = Field(min_length=1)
    """Methods with their settings, applied in order; typed by each method."""
    only: tuple[Slug, ...] | None = None
    """The models it is applied to; all of them if left out."""
    checkpoints: Literal["all", "last"] = "all"
    """Which checkpoints over a model's training it is applied to."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, raw: Any) -> Any:
        if isinstance(raw, list):
            if not raw:
                raise ValueError("a variant needs at least one method")
            return {"steps": raw}
        if isinstance(raw, dict) and "steps" not in raw:
            if "method" not in raw:
                raise ValueError("a variant needs 'method', or 'steps' that have one each")
            about = {key: raw[key] for key in ("only", "checkpoints") if key in raw}
            return {"steps": [{key: value for key, value in raw.items() if key not in about}], **about}
        return raw

    @property
    def recipe(self) -> dict[str, Any] | list[dict[str, Any]]:
        """Its one step, or the list of its steps."""
        return self.steps[0] if len(self.steps) == 1 else list(self.steps)


class Params(Frozen):
    """A whole params file."""

    suite: Slug
    params_file: str
    wdir: str
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    """Threads of torch: part of the recipe, since training sums differ with it."""
    corpus: Slug
    """Dataset that models are trained and calibrated on, and whose held-out split gives perplexity."""
    worlds: dict[Slug, dict[str, Any]] = Field(default_factory=dict)
    """Planted worlds for ``lab:<world>`` sources; typed by ``stages.lab.world.World``."""
    datasets: dict[Slug, Dataset]
    models: dict[Slug, Model]
    variants: dict[Slug, Variant]
    scoring: Scoring = Scoring()
    measures: dict[Slug, dict[str, Any]] = Field(default_factory=dict)
    """Options of each measure; typed by the measure's own ``Options``."""
    compare: dict[str, Any] = Field(default_factory=dict)
    """How variants are compared with their parents; typed by ``stages.evidence.settings.Compare``."""
    contrast: dict[str, Any] = Field(default_factory=dict)
    """How variants are set against models of the same quality; typed by ``stages.evidence.contrast.Contrast``."""
    calibration: dict[str, Any] = Field(default_factory=dict)
    """Grids of planted worlds that the measures are calibrated on; typed by ``stages.lab.calibration.Calibration``."""

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        if self.corpus not in self.datasets:
            raise ValueError(f"corpus: no dataset {self.corpus!r}; datasets are {', '.join(self.datasets)}")
        named = [(f"variants.{slug}.only", name) for slug, variant in self.variants.items()
                 for name in variant.only or ()]
        named += [(f"models.{slug}.teacher", teacher) for slug, model in self.models.items()
                  if (teacher := getattr(model, "teacher", None)) is not None]
        for key, name in named:
            if name not in self.models:
                raise ValueError(f"{key}: no model {name!r}; models are {', '.join(self.models)}")
        return self

    def applies(self, model: str, variant: str) -> bool:
        """Whether a variant is applied to a model."""
        only = self.variants[variant].only
        return only is None or model in only

    def cell(self, model: str, variant: str) -> tuple[Model, Variant]:
        """What the file says of a model and of a variant that is applied to it.

        Raises:
            ParamsError: One is not known, or ``only`` of the variant leaves the model out.
        """
        chosen = choose(self.models, model, "model"), choose(self.variants, variant, "variant")
        if not self.applies(model, variant):
            raise ParamsError(f"does not name model {model!r}", where=f"{self.params_file}: variants.{variant}.only")
        return chosen

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Every model with every variant that is applied to it, in the order of the file."""
        return [(model, variant) for model in self.models for variant in self.variants if self.applies(model, variant)]


def load_params(path: Path | str, *, stale_cells: bool = False) -> Params:
    """Read and check a params file, down to every method's, benchmark's and measure's own settings.

    Args:
        path: The file.
        stale_cells: Do not hold the ``cells`` beside it to it.

    Raises:
        ParamsError: The file is missing or not YAML, or a key or value is not known; the message names the key and
            what is allowed. Or the ``cells`` beside it are of other models and variants.
    """
    path = Path(path)
    if not path.is_file():
        raise ParamsError("no such params file", where=path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ParamsError(f"not valid YAML: {error}", where=path) from error
    params = parse(Params, raw, where=str(path))
    _check_settings(params, str(path))
    if not stale_cells:
        refuse_stale_cells(path, params.cells)
    return params


def _check_settings(params: Params, where: str) -> None:
    """Check the settings that belong to plug-ins, by their own types.

    The plug-in packages are imported by name: this check cannot change a result, so no
    stage depends on them through it.
    """
    for package in ("compression", "benchmarks", "measures", "lab", "evidence"):
        importlib.import_module(f"stages.{package}").check_params(params, where)
