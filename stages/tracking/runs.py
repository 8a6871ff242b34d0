"""Cells as MLflow runs: flat, found by content key, logged whole once."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunStatus, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_RUN_NOTE

from stages.tracking.cells import Cell
from stages.tracking.names import LONGEST_TAG, cut, params_of

EXPERIMENT = "compression-bias"
# The most that MLflow takes in one request.
_METRICS, _PARAMS, _TAGS = 1000, 100, 100
T = TypeVar("T")


class Runs:
    """The project's runs in one tracking store.

    Args:
        uri: Address of the store.
        state: Tags that say which state of the repository the metrics belong to.
    """

    def __init__(self, uri: str, state: dict[str, str]) -> None:
        self._client = MlflowClient(tracking_uri=uri)
        self._state = state
        known = self._client.get_experiment_by_name(EXPERIMENT)
        self._experiment = known.experiment_id if known else self._client.create_experiment(EXPERIMENT)

    def project(self, cell: Cell, figures: Sequence[Path]) -> bool:
        """Log a cell unless a finished run has its key; in either case the tags and figures become today's.

        A run with the key that did not finish is the work of a killed process and is deleted.

        Returns:
            Whether a run was logged.
        """
        finished = None
        for run in self._with_key(cell.key):
            if run.info.status == RunStatus.to_string(RunStatus.FINISHED):
                finished = run
            else:
                self._client.delete_run(run.info.run_id)
        if finished is None:
            self._log(cell, figures)
            return True
        self._refresh(cell, finished, figures)
        return False

    def _with_key(self, key: str) -> list[Run]:
        return list(self._client.search_runs([self._experiment], f"tags.content_key = '{key}'"))

    def _log(self, cell: Cell, figures: Sequence[Path]) -> None:
        now = time.time_ns() // 1_000_000
        # The key goes in with the run's creation, so that a kill from here on leaves a run that can be found.
        tags = self._fixed_tags(cell) | self._moving_tags(cell, figures)
        run = self._client.create_run(self._experiment, start_time=now, tags=tags, run_name=cell.name).info.run_id
        for params in _batches([Param(*item) for item in params_of(cell.settings).items()], _PARAMS):
            self._client.log_batch(run, params=params)
        for labels in _batches([RunTag(name, cut(text, LONGEST_TAG)) for name, text in cell.labels.items()], _TAGS):
            self._client.log_batch(run, tags=labels)
        for points in _batches([Metric(p.name, p.value, now, p.step) for p in cell.points], _METRICS):
            self._client.log_batch(run, metrics=points)
        self._client.log_inputs(run, [_dataset(*given) for given in cell.inputs])
        self._client.log_text(run, json.dumps(cell.settings, indent=2, sort_keys=True), "params.json")
        self._upload(run, figures)
        self._client.set_terminated(run, RunStatus.to_string(RunStatus.FINISHED))

    def _refresh(self, cell: Cell, run: Run, figures: Sequence[Path]) -> None:
        tags = self._moving_tags(cell, figures)
        if tags["figures"] != run.data.tags.get("figures"):
            self._upload(run.info.run_id, figures)
        changed = [RunTag(name, value) for name, value in tags.items() if run.data.tags.get(name) != value]
        self._client.log_batch(run.info.run_id, tags=changed)

    def _upload(self, run: str, figures: Sequence[Path]) -> None:
        for path in figures:
            self._client.log_artifact(run, str(path), "figures")

    def _fixed_tags(self, cell: Cell) -> dict[str, str]:
        return {
            "suite": cell.suite,
            "model": cell.model,
            "variant": cell.variant,
            "family": cell.family,
            "method": cell.method,
            "content_key": cell.key,
        }

    def _moving_tags(self, cell: Cell, figures: Sequence[Path]) -> dict[str, str]:
        revision = f" --rev {self._state['git.commit']}" if "git.commit" in self._state else ""
        lines = [f"- `dvc get . {path}{revision}` (hash `{md5}`)" for path, md5 in cell.artefacts.items()]
        note = "\n".join(["What it produced, inside a clone:", "", *lines])
        digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in figures))
        return {**self._state, MLFLOW_RUN_NOTE: note, "figures": digest.hexdigest() if figures else "none"}


def _dataset(name: str, digest: str, source: str, context: str) -> DatasetInput:
    where = json.dumps({"uri": source})
    return DatasetInput(Dataset(name, digest, "local", where), [InputTag(MLFLOW_DATASET_CONTEXT, context)])


def _batches(entities: list[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(entities), size):
        yield entities[start : start + size]
