"""The command: as the pipeline and as a person call it, killed in the middle, and without a network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.acquire import acquire
from stages.common.errors import ParamsError
from stages.common.params import Params, parse
from tests.data.conftest import CLOSED, CONTENT, Upstream, pinned

ROOT = Path(__file__).parents[2]
Manifest = Callable[..., Path]


def start(folder: Path, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    kept = {key: value for key, value in os.environ.items() if key != "BENCHMARK_MIRROR"}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.acquire", *map(str, arguments)],
        cwd=folder, env={**kept, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, error = process.communicate(timeout=30)
    return process.returncode, out, error


def test_killed_in_the_middle_it_resumes(tmp_path: Path, manifest: Manifest, upstream: Upstream) -> None:
    upstream.files["items.csv"] = CONTENT
    upstream.faults = ["hang:200000"]
    path = manifest(upstream.url, pinned(CONTENT))
    process = start(tmp_path, "--source", path, "--out", "raw")
    assert upstream.sent.wait(20)
    partial = tmp_path / ".cache" / "downloads" / f"sha256-{pinned(CONTENT).sha256}.partial"
    deadline = time.monotonic() + 10
    # Of 200,000 bytes, 24 pieces of 8,192 reach the process; up to one may wait in its buffer.
    while not (partial.is_file() and partial.stat().st_size >= 23 * 8192):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    upstream.release.set()
    assert not (tmp_path / "raw").exists()
    kept = partial.stat().st_size
    assert 23 * 8192 <= kept <= 24 * 8192

    code, out, error = finish(start(tmp_path, "--source", path, "--out", "raw"))
    assert (code, out.splitlines()[-1]) == (0, "wrote raw"), error
    assert upstream.ranges == [None, f"bytes={kept}-"]
    assert (tmp_path / "raw" / "items.csv").read_bytes() == CONTENT


def test_two_at_once_share_one_download(tmp_path: Path, manifest: Manifest, upstream: Upstream) -> None:
    upstream.files["items.csv"] = CONTENT
    upstream.faults = ["hang:100000"]
    path = manifest(upstream.url, pinned(CONTENT))
    first = start(tmp_path, "--source", path, "--out", "first")
    assert upstream.sent.wait(20)
    second = start(tmp_path, "--source", path, "--out", "second")
    time.sleep(1.5)  # time enough for the second to come to the file the first is writing
    upstream.release.set()
    assert [finish(first)[0], finish(second)[0]] == [0, 0]
    assert (tmp_path / "first" / "items.csv").read_bytes() == CONTENT
    assert (tmp_path / "second" / "items.csv").read_bytes() == CONTENT
    assert upstream.ranges == [None, "bytes=98304-"]


@pytest.mark.parametrize("address", [CLOSED, CLOSED.replace("http://127.0.0.1:1", "https://benchmarks.invalid")])
def test_without_mirror_and_network_it_says_so_at_once(tmp_path: Path, manifest: Manifest, address: str) -> None:
    begin = time.monotonic()
    code, out, error = finish(start(tmp_path, "--source", manifest(address, pinned(CONTENT)), "--out", "raw"))
    assert time.monotonic() - begin < 3
    assert (code, out) == (1, "")
    assert len(error.splitlines()) == 1
    assert error.startswith("error: items.csv: cannot reach ")
    assert "set BENCHMARK_MIRROR to a folder" in error


def test_a_mirror_that_is_no_folder(tmp_path: Path, manifest: Manifest) -> None:
    path = manifest(CLOSED, pinned(CONTENT))
    code, _, error = finish(start(tmp_path, "--source", path, "--out", "raw", BENCHMARK_MIRROR="nowhere"))
    assert code == 1
    assert error.startswith("error: nowhere: the mirror is not a folder")


@pytest.mark.parametrize(
    "arguments", [[], ["--source", "a.yaml"], ["--params", "p", "--dataset", "d", "--out", "o"], ["--params", "p"]]
)
def test_half_a_command_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    code, _, error = finish(start(tmp_path, *arguments))
    assert code == 2
    assert "give either --params and --dataset, or --source and --out" in error


@pytest.fixture
def project(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> Params:
    (tmp_path / "mirror" / "toy").mkdir(parents=True)
    (tmp_path / "mirror" / "toy" / "items.csv").write_bytes(CONTENT)
    manifest(CLOSED, pinned(CONTENT), facts={"rows": 10})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHMARK_MIRROR", "mirror")
    raw: dict[str, Any] = {
        "suite": "toy", "params_file": "params.yaml", "wdir": ".", "seed": 0, "threads": 1, "corpus": "text",
        "worlds": {"village": {"seed": 3, "items": {"crows_pairs": 4}}},
        "datasets": {
            "text": {"benchmark": "corpus", "source": "source.yaml"},
            "pairs": {"benchmark": "crows_pairs", "source": "lab:village"},
            "lost": {"benchmark": "crows_pairs", "source": "lab:town"},
        },
        "models": {}, "variants": {"fp32": {"method": "none"}},
    }
    return parse(Params, raw, "params.yaml")


def provenance(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))


def test_a_dataset_of_the_params_goes_to_its_suite(project: Params) -> None:
    assert acquire(project, "text") == Path("data/raw/toy/text")
    assert Path("data/raw/toy/text/items.csv").read_bytes() == CONTENT
    assert provenance(Path("data/raw/toy/text"))["facts"] == {"rows": 10}


def test_a_planted_world_writes_its_dataset(project: Params) -> None:
    folder = acquire(project, "pairs")
    written = provenance(folder)
    assert list(written["files"]) == ["crows_pairs_anonymized.csv"]
    assert written["files"]["crows_pairs_anonymized.csv"]["provenance"] == "generated"
    # Four pairs for each of gender, race and religion; a header and a line each.
    assert written["facts"]["rows"] == 12
    assert len((folder / "crows_pairs_anonymized.csv").read_text(encoding="utf-8").splitlines()) == 13
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    acquire(project, "pairs")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_unknown_dataset_or_world_is_named(project: Params) -> None:
    with pytest.raises(ParamsError, match="unknown dataset 'paris'; there are: lost, pairs, text"):
        acquire(project, "paris")
    with pytest.raises(ParamsError, match="unknown world 'town'; there are: village"):
        acquire(project, "lost")
