"""``python -m stages.track`` against real stores: sqlite, two at once, killed, over http, unreachable."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from stages import track
from stages.common.errors import DataError
from stages.tracking import server
from stages.tracking.runs import EXPERIMENT
from stages.tracking.server import TrackingError

REPOSITORY = Path(track.__file__).parents[1]
NAMES = {"lab/tiny/fp32", "lab/tiny/twice", "lab/carried/fp32", "lab/carried/twice"}
# Dies, as by kill -9, while the second run is half logged.
DIES_IN_THE_MIDDLE = """
import os, signal, mlflow
from stages import track
whole, calls = mlflow.MlflowClient.log_inputs, []
def log_inputs(self, *given):
    calls.append(given)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(self, *given)
mlflow.MlflowClient.log_inputs = log_inputs
track.main([])
"""


def start(project: Any, *command: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], cwd=project.root, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )


def runs_of(project: Any, view: int = ViewType.ACTIVE_ONLY, uri: str = "") -> list[Run]:
    client = MlflowClient(uri or f"sqlite:///{project.root}/mlflow.db")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id], run_view_type=view))


def git(project: Any, *arguments: str) -> str:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", *who, *arguments], cwd=project.root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_every_cell_becomes_one_whole_run(tracked: Any) -> None:
    track.main([])
    runs = {run.info.run_name: run for run in runs_of(tracked)}
    assert set(runs) == NAMES
    run = runs["lab/tiny/twice"]
    assert run.info.status == "FINISHED"
    wanted = {"suite": "lab", "model": "tiny", "variant": "twice", "family": "masked", "method": "none+none"}
    assert wanted.items() <= run.data.tags.items()
    assert run.data.tags["compare/crows_pairs.gender.verdict"] == "undecided"
    wanted = {"seed": "7", "model.training.learning_rate": "0.001", "model.config.layers": "[1, 2]",
              "variant.2.method": "none", "datasets.text.benchmark": "corpus"}
    assert wanted.items() <= run.data.params.items()
    assert run.data.metrics["crows_pairs/gender.score"] == 57.25
    assert run.data.metrics["compare/crows_pairs.gender.change"] == -1.25
    inputs = {given.dataset.name: (given.dataset.digest, given.tags[0].value) for given in run.inputs.dataset_inputs}
    assert inputs == {"crows_pairs": (f"{0:032x}", "evaluation"), "text": (f"{1:032x}", "training")}
    client = MlflowClient(f"sqlite:///{tracked.root}/mlflow.db")
    history = client.get_metric_history(run.info.run_id, "crows_pairs/gender.score")
    assert [(point.step, point.value) for point in history] == [(5, 50.0), (100, 57.25)]
    settings = json.loads(Path(client.download_artifacts(run.info.run_id, "params.json")).read_text())
    assert settings["model"]["config"] == {"hidden_size": 8, "layers": [1, 2]}


def test_a_second_time_logs_nothing(tracked: Any, capsys: pytest.CaptureFixture[str]) -> None:
    track.main([])
    assert capsys.readouterr().out.count("logged") == 4
    before = {run.info.run_id for run in runs_of(tracked)}
    track.main(["--suite", "lab"])
    assert capsys.readouterr().out.count("already there") == 4
    assert {run.info.run_id for run in runs_of(tracked, ViewType.ALL)} == before


def test_changed_metrics_make_one_new_run_and_keep_the_old(tracked: Any) -> None:
    track.main([])
    tracked.write_cell("carried", "fp32", score=40.0)
    track.main([])
    scores = {run.data.metrics["crows_pairs/gender.score"] for run in runs_of(tracked)
              if run.info.run_name == "lab/carried/fp32"}
    assert len(runs_of(tracked)) == 5
    assert scores == {57.25, 40.0}


def test_tags_follow_the_commit_without_a_new_run(tracked: Any) -> None:
    track.main([])
    assert all("git.commit" not in run.data.tags for run in runs_of(tracked))
    git(tracked, "init", "-q", "-b", "trial")
    (tracked.root / ".gitignore").write_text("mlflow.db*\nmlruns\n")
    git(tracked, "add", ".")
    git(tracked, "commit", "-q", "-m", "first")
    track.main([])
    commit = git(tracked, "rev-parse", "HEAD")
    wanted = {"git.commit": commit, "git.branch": "trial", "git.dirty": "false"}
    runs = runs_of(tracked)
    assert len(runs) == 4
    for run in runs:
        assert wanted.items() <= run.data.tags.items()
        path = f"models/{run.info.run_name.replace('/', '/compressed/', 1)}"
        assert f"`dvc get . {path} --rev {commit}`" in run.data.tags["mlflow.note.content"]
    (tracked.root / "dvc.yaml").write_text("stages: {}\n")
    track.main([])
    assert {run.data.tags["git.dirty"] for run in runs_of(tracked)} == {"true"}


def test_figures_follow_without_a_new_run(tracked: Any) -> None:
    track.main([])
    figure = tracked.root / "metrics/lab/figures/change.svg"
    figure.parent.mkdir()
    for text in ("<svg/>", "<svg></svg>"):
        figure.write_text(text)
        track.main([])
    client = MlflowClient(f"sqlite:///{tracked.root}/mlflow.db")
    runs = runs_of(tracked)
    assert len(runs) == 4
    for run in runs:
        assert Path(client.download_artifacts(run.info.run_id, "figures/change.svg")).read_text() == "<svg></svg>"


def test_killed_in_the_middle_and_run_again_is_complete_without_duplicates(tracked: Any) -> None:
    killed = start(tracked, "-c", DIES_IN_THE_MIDDLE)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert sorted(run.info.status for run in runs_of(tracked)) == ["FINISHED", "RUNNING"]
    track.main([])
    runs = runs_of(tracked)
    assert sorted(run.info.run_name for run in runs) == sorted(NAMES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(run.inputs.dataset_inputs for run in runs)


def test_two_processes_on_a_new_database_log_each_cell_once(project: Any) -> None:
    both = [start(project, "-m", "stages.track") for _ in range(2)]
    output = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], output
    assert sum(out.count("logged  ") for out, _ in output) == 4
    assert sorted(run.info.run_name for run in runs_of(project)) == sorted(NAMES)
    assert list(project.root.glob(".mlflow.db*")) == []


def test_a_server_is_used_over_http(project: Any, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    database = project.root / "team.db"
    database.write_bytes(empty_database.read_bytes())
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{database}",
         "--artifacts-destination", str(project.root / "store"), "--host", "127.0.0.1", "--port", str(port),
         "--workers", "1"],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(f"{uri}/health")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        track.main([])
        track.main([])
        runs = runs_of(project, ViewType.ALL, uri)
        assert sorted(run.info.run_name for run in runs) == sorted(NAMES)
        assert runs[0].data.metrics["text/test.perplexity"] == 12.5
        assert [item.path for item in MlflowClient(uri).list_artifacts(runs[0].info.run_id)] == ["params.json"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (project.root / "mlflow.db").exists()


def test_an_absent_server_is_one_clear_line_at_once(project: Any) -> None:
    port = free_port()
    began = time.monotonic()
    process = start(project, "-m", "stages.track", MLFLOW_TRACKING_URI=f"http://me:secret@127.0.0.1:{port}")
    _, errors = process.communicate()
    assert process.returncode == 1
    assert errors == (
        f"error: http://127.0.0.1:{port}: no MLflow server answers "
        "(start it, or unset MLFLOW_TRACKING_URI to log into mlflow.db)\n"
    )
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "mysql+pymysql"])
def test_an_absent_database_is_named_without_its_password(scheme: str) -> None:
    port = free_port()
    with pytest.raises(TrackingError, match=rf"^{scheme.replace('+', '.')}://127.0.0.1:{port}/db: no database answers"):
        server.prepare(f"{scheme}://me:secret@127.0.0.1:{port}/db")


def test_a_store_that_mlflow_refuses_is_one_clear_line(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:./mlruns")
    with pytest.raises(TrackingError, match="MLflow refuses"):
        track.main([])


def test_a_suite_without_metrics_is_skipped_unless_asked_for(
    tracked: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    params = {**tracked.params, "suite": "mini", "params_file": "suites/mini/params.yaml", "wdir": "../.."}
    tracked.write_params(params, "suites/mini/params.yaml")
    track.main([])
    assert "skipped        mini: no metrics yet (run dvc repro suites/mini/dvc.yaml)" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"suite mini has no metrics \(run dvc repro suites/mini/dvc\.yaml\)"):
        track.main(["--suite", "mini"])


def test_nothing_is_logged_when_a_metrics_file_is_missing(tracked: Any) -> None:
    (tracked.root / "metrics/lab/models/carried/twice.json").unlink()
    with pytest.raises(DataError, match="lacks 1 metrics file"):
        track.main([])
    assert runs_of(tracked) == []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(address: str) -> None:
    for _ in range(600):
        try:
            if requests.get(address, timeout=1).ok:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{address} did not come up")
