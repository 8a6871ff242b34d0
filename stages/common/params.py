"""Typed parameters of a suite: frozen, unknown keys forbidden, mistakes named before anything runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from stages.common.errors import ParamsError

T = TypeVar("T")
Config = TypeVar("Config", bound=BaseModel)

# No dots: DVC reads a dot in `models.${item.model}` as one level of nesting more.
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Family = Literal["masked", "causal", "sentence"]
FAMILIES: tuple[Family, ...] = ("masked", "causal", "sentence")


class Frozen(BaseModel):
    """Base of every typed config: immutable, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
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


class PackagedModel(Frozen):
    """A model carried by an installed Python package, as it is."""

    source: Literal["package"]
    family: Family
    package: Package


class LocalModel(Frozen):
    """A model folder on disk, relative to the project's root or absolute."""

    source: Literal["local"]
    family: Family
    path: str


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


Compared = Literal[
    "score", "ss", "lm", "log_odds", "mean_abs_effect", "effect_size", "perplexity", "word_perplexity"
]
"""Metrics that the compare stage puts intervals on (``stages.evidence``)."""


class Compare(Frozen):
    """How a variant is compared with its parent."""

    baseline: Slug = "fp32"
    resamples: int = Field(default=10_000, ge=100)
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Level of every interval; one minus it is the level of the tests."""
    power: float = Field(default=0.8, gt=0, lt=1)
    """Probability with which the minimum detectable change would be found."""
    equivalence: dict[Compared, Annotated[float, Field(gt=0)]] = {
        "score": 3.0, "ss": 3.0, "lm": 1.0, "log_odds": 0.1, "mean_abs_effect": 0.1
    }
    """By metric, the change that is taken for none; in the metric's own unit (points, nats, effect sizes)."""
    categories: tuple[str, ...] = ("gender", "race", "religion")
    """Compared besides all categories together, where a dataset has them."""


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
    variants: dict[Slug, dict[str, Any] | list[dict[str, Any]]]
    """A method and its settings, or a list of them applied in order; typed by the method."""
    scoring: Scoring = Scoring()
    measures: dict[Slug, dict[str, Any]] = Field(default_factory=dict)
    """Options of each measure; typed by the measure's own ``Options``."""
    compare: Compare = Compare()

    @model_validator(mode="after")
    def _names_exist(self) -> Params:
        if self.corpus not in self.datasets:
            raise ValueError(f"corpus: no dataset {self.corpus!r}; datasets are {', '.join(self.datasets)}")
        if self.compare.baseline not in self.variants:
            raise ValueError(
                f"compare.baseline: no variant {self.compare.baseline!r}; variants are {', '.join(self.variants)}"
            )
        return self


def load_params(path: Path | str) -> Params:
    """Read and check a params file, down to every method's, benchmark's and measure's own settings.

    Raises:
        ParamsError: The file is missing or not YAML, or a key or value is not known;
            the message names the key and what is allowed.
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
    return params


def parse(kind: type[Config], raw: Any, where: str) -> Config:
    """Validate raw data against a typed config; every mistake is named with its key.

    Raises:
        ParamsError: Unknown key, missing key or value out of range.
    """
    if not isinstance(raw, dict):
        raise ParamsError(f"expected a mapping, found {type(raw).__name__}", where=where)
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ParamsError("; ".join(_explain(kind, detail) for detail in error.errors()), where=where) from None


def choose(options: dict[str, T], name: str, what: str) -> T:
    """Look ``name`` up in ``options``.

    Raises:
        ParamsError: There is no such name; the message lists the ones there are.
    """
    if name not in options:
        raise ParamsError(f"unknown {what} {name!r}; there are: {', '.join(sorted(options)) or 'none'}")
    return options[name]


def _explain(kind: type[BaseModel], detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"]) or "(top level)"
    if detail["type"] == "extra_forbidden":
        allowed = _allowed_keys(kind, detail["loc"][:-1])
        return f"{key}: unknown key" + (f"; allowed: {', '.join(allowed)}" if allowed else "")
    message = detail["msg"].removeprefix("Value error, ")
    given = detail.get("input")
    shown = f" (given: {given!r})" if not isinstance(given, (dict, BaseModel)) else ""
    return f"{key}: {message}{shown}"


def _allowed_keys(kind: Any, path: tuple[Any, ...]) -> list[str]:
    """Field names of the model that ``path`` leads to, as far as it can be followed."""
    schema = kind.model_json_schema()
    node = schema
    for part in path:
        node = _resolve(schema, node)
        if part in node.get("properties", {}):
            node = node["properties"][part]
        elif part in node.get("discriminator", {}).get("mapping", {}):
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif "patternProperties" in node:  # a mapping of slugs
            node = next(iter(node["patternProperties"].values()))
        elif "items" in node:
            node = node["items"]
        else:
            return []
    return sorted(_resolve(schema, node).get("properties", {}))


def _resolve(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for branch in node.get("anyOf", []):  # an optional sub-model: Model | None
        if "$ref" in branch:
            node = branch
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node


def _check_settings(params: Params, where: str) -> None:
    """Check the settings that belong to plug-ins, by their own types.

    The plug-in packages are imported by name: this check cannot change a result, so no
    stage depends on them through it.
    """
    for package in ("compression", "benchmarks", "measures", "lab"):
        importlib.import_module(f"stages.{package}").check_params(params, where)
