"""What there is to track of one model x variant: its settings, numbers, data sets and artefacts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from stages.common.errors import DataError
from stages.common.params import Params, load_params
from stages.compression import parse_variant
from stages.tracking.names import flatten, metric_name
from stages.tracking.suites import Lock, Suite, read_locks

FINAL_STEP = 100
NO_STEP = 0  # MLflow draws a metric of this step as bars, any other as a line over steps
_KINDS = ("models", "trajectories")


class Point(NamedTuple):
    """One value of a metric after ``step`` percent of training."""

    name: str
    step: int
    value: float


class Input(NamedTuple):
    """A data set that a model met, by the hash of its clean table."""

    name: str
    digest: str
    source: str
    context: str


@dataclass(frozen=True)
class Cell:
    """One model x variant of a suite."""

    suite: str
    model: str
    variant: str
    family: str
    method: str
    settings: dict[str, Any]
    """Everything in params that its numbers depend on."""
    points: tuple[Point, ...]
    labels: dict[str, str]
    """Metrics that are words, such as a verdict."""
    inputs: tuple[Input, ...]
    artefacts: dict[str, str]
    """Path -> DVC hash of what it produced."""
    key: str
    """SHA-256 over name, settings and metrics: the same key, the same run."""

    @property
    def name(self) -> str:
        """Its run's name."""
        return f"{self.suite}/{self.model}/{self.variant}"


def read_cells(root: Path, suite: Suite) -> list[Cell] | None:
    """All cells of a suite, or ``None`` if it was never run.

    Raises:
        ParamsError: The params file does not hold.
        DataError: Some metrics are missing or malformed, or the suite's ``dvc.lock`` lacks an output.
    """
    params = load_params(root / suite.params_file)
    folder = root / "metrics" / suite.name
    wanted = params.cells
    files = [folder / kind / model / f"{variant}.json" for kind in _KINDS for model, variant in wanted]
    missing = [path for path in [*files, folder / "summary.json"] if not path.is_file()]
    if not any(path.is_file() for path in files):
        return None
    if missing:
        raise DataError(
            f"suite {suite.name} lacks {len(missing)} metrics file(s), the first is {missing[0].relative_to(root)}",
            where=suite.params_file, fix=f"run {suite.command}",
        )
    lock = read_locks([root / path for path in suite.locks(root)])
    summary = read_json(folder / "summary.json", dict)
    return [_cell(params, lock, folder, model, variant, summary) for model, variant in wanted]


def read_json(path: Path, kind: type) -> Any:
    """Read a metrics file.

    Raises:
        DataError: It is not JSON, is not of that kind, or holds NaN or infinity.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except (ValueError, OSError) as error:
        raise DataError(f"not a metrics file: {error}", where=path, fix="run dvc repro") from error
    if not isinstance(value, kind):
        raise DataError(f"holds a {type(value).__name__}, not a {kind.__name__}", where=path, fix="run dvc repro")
    return value


def _cell(params: Params, lock: Lock, folder: Path, model: str, variant: str, summary: dict) -> Cell:
    final, rows = (folder / kind / model / f"{variant}.json" for kind in _KINDS)
    settings = _settings(params, model, variant)
    metrics, trajectory = read_json(final, dict), read_json(rows, list)
    comparison = summary.get(model, {}).get(variant, {})
    content = json.dumps([params.suite, model, variant, settings, metrics, trajectory, comparison], sort_keys=True)
    leaves = {**flatten(metrics, final), **flatten({"compare": comparison}, folder / "summary.json")}
    values = _steps(trajectory, rows)
    stepped = {name for name, _ in values}
    for name, value in leaves.items():
        if not isinstance(value, str):
            # The last checkpoint is in both files; the metrics file has the word.
            values[name, FINAL_STEP if name in stepped else NO_STEP] = float(value)
    artefacts = [
        f"models/{params.suite}/compressed/{model}/{variant}",
        f"data/records/{params.suite}/{model}/{variant}",
    ]
    return Cell(
        suite=params.suite,
        model=model,
        variant=variant,
        family=params.models[model].family,
        method="+".join(step["method"] for step in settings["variant"].values()),
        settings=settings,
        points=tuple(Point(name, step, value) for (name, step), value in sorted(values.items())),
        labels={name: value for name, value in leaves.items() if isinstance(value, str)},
        inputs=tuple(_inputs(params, lock, model, metrics)),
        artefacts={path: lock.digest(path) for path in artefacts},
        key=hashlib.sha256(content.encode()).hexdigest(),
    )


def _settings(params: Params, model: str, variant: str) -> dict[str, Any]:
    whole = params.model_dump(mode="json")
    steps = parse_variant(params.variants[variant].recipe, f"variants.{variant}")
    worlds = {dataset.source.removeprefix("lab:") for dataset in params.datasets.values()}
    shared = {name: whole[name] for name in ("seed", "threads", "corpus", "datasets", "scoring", "measures", "compare")}
    return {
        **shared,
        "model": whole["models"][model],
        "variant": {str(index): step.model_dump(mode="json") for index, step in enumerate(steps, start=1)},
        "worlds": {name: world for name, world in whole["worlds"].items() if name in worlds},
    }


def _steps(trajectory: list, path: Path) -> dict[tuple[str, int], float]:
    points: dict[tuple[str, int], float] = {}
    for number, row in enumerate(trajectory):
        try:
            name = metric_name([row["dataset"], row["category"], row["metric"]])
            points[name, round(100 * row["fraction"])] = float(row["value"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"row {number} is no trajectory row: {error!r}", where=path, fix="run dvc repro") from error
    return points


def _inputs(params: Params, lock: Lock, model: str, metrics: dict) -> list[Input]:
    trained = params.models[model].source == "train"
    inputs = []
    for name in params.datasets:
        source = f"data/clean/{params.suite}/{name}.parquet"
        if trained and name == params.corpus:
            inputs.append(Input(name, lock.digest(source), source, "training"))
        elif name in metrics:
            inputs.append(Input(name, lock.digest(source), source, "evaluation"))
    return inputs
