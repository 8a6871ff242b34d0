"""A small project with one suite, as DVC leaves it: params, metrics, trajectories, summary and dvc.lock."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.tracking.server import prepare

MODELS = ("tiny", "carried")
VARIANTS = ("fp32", "twice")
TRAINING = {"steps": 10, "batch_size": 2, "sequence_length": 8, "learning_rate": 0.001, "warmup_steps": 1}


class Project:
    """Writes and rewrites the files of a fake project in ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.params: dict[str, Any] = {
            "suite": "lab", "params_file": "params.yaml", "wdir": ".", "seed": 7, "threads": 1, "corpus": "text",
            "datasets": {
                "crows_pairs": {"benchmark": "crows_pairs", "source": "data/sources/crows_pairs.yaml"},
                "text": {"benchmark": "corpus", "source": "data/sources/text.yaml"},
            },
            "models": {
                "tiny": {"source": "train", "family": "masked", "architecture": "bert",
                         "config": {"hidden_size": 8, "layers": [1, 2]},
                         "tokenizer": {"kind": "word", "vocab_size": 64}, "training": TRAINING},
                "carried": {"source": "local", "family": "masked", "path": "somewhere"},
            },
            "variants": {"fp32": {"method": "none"}, "twice": [{"method": "none"}, {"method": "none"}]},
        }
        self.write()

    def write(self) -> None:
        """Write every file anew."""
        self.write_params(self.params)
        for model in MODELS:
            for variant in VARIANTS:
                self.write_cell(model, variant)
        row = {"crows_pairs": {"gender": {"change": -1.25, "verdict": "undecided"}}}
        self.write_json("metrics/lab/summary.json", {model: {"fp32": {}, "twice": row} for model in MODELS})
        outs = [f"data/clean/lab/{name}.parquet" for name in self.params["datasets"]]
        for model in MODELS:
            for variant in VARIANTS:
                outs += [f"models/lab/compressed/{model}/{variant}", f"data/records/lab/{model}/{variant}"]
        stages = {path: {"cmd": "x", "outs": [{"path": path, "md5": f"{n:032x}"}]} for n, path in enumerate(outs)}
        (self.root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))

    def write_params(self, params: dict[str, Any], path: str = "params.yaml") -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(yaml.safe_dump(params, sort_keys=False))

    def write_cell(self, model: str, variant: str, score: float = 57.25) -> None:
        """Metrics of a cell whose score rose from 50 at 5% of training to ``score`` at its end."""
        pairs = {"gender": {"score": score, "pairs": 262}, "race/colour": {"score": 60.5, "pairs": 515}}
        self.write_json(f"metrics/lab/models/{model}/{variant}.json", {
            "crows_pairs": pairs, "text": {"test": {"perplexity": 12.5}}, "model": {"parameters": 1000},
        })
        same = {"model": model, "variant": variant, "dataset": "crows_pairs", "category": "gender", "metric": "score"}
        self.write_json(f"metrics/lab/trajectories/{model}/{variant}.json", [
            {**same, "checkpoint": "p005", "fraction": 0.05, "value": 50.0},
            {**same, "checkpoint": "p100", "fraction": 1.0, "value": score},
        ])

    def write_json(self, path: str, value: Any) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(value, sort_keys=True))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in the working folder, without a tracking database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Project(tmp_path)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, made once: creating one takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    prepare(f"sqlite:///{path}")
    return path


@pytest.fixture
def tracked(project: Project, empty_database: Path) -> Project:
    """A project with an empty tracking database."""
    shutil.copy(empty_database, project.root / "mlflow.db")
    return project
