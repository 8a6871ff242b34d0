"""Finding suites and reading their dvc.lock."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import DataError, ParamsError
from stages.tracking.suites import choose_suites, find_suites, read_locks


def test_the_root_comes_first_and_the_rest_by_name(project: Any) -> None:
    for name in ("paper", "mini"):
        project.write_params({"suite": name}, f"suites/{name}/params.yaml")
    found = find_suites(project.root)
    assert list(found) == ["lab", "mini", "paper"]
    assert found["mini"].command == "dvc repro suites/mini/dvc.yaml"
    assert found["lab"].locks(project.root) == [Path("dvc.lock")]


def test_the_locks_of_a_suite_are_its_own_and_those_of_its_cells(project: Any) -> None:
    project.write_params({"suite": "mini"}, "suites/mini/params.yaml")
    for model, path in (("b", "data/b"), ("a", "data/a")):
        folder = project.root / "suites/mini/cells" / model
        folder.mkdir(parents=True)
        (folder / "dvc.lock").write_text(f"stages: {{s: {{outs: [{{path: {path}, md5: of-{model}}}]}}}}\n")
    (project.root / "suites/mini/dvc.lock").write_text("stages: {s: {outs: [{path: data/own, md5: of-own}]}}\n")
    paths = find_suites(project.root)["mini"].locks(project.root)
    assert [path.as_posix() for path in paths] == [
        "suites/mini/dvc.lock", "suites/mini/cells/a/dvc.lock", "suites/mini/cells/b/dvc.lock"]
    lock = read_locks([project.root / path for path in paths])
    assert lock.outs == {"data/own": "of-own", "data/a": "of-a", "data/b": "of-b"}
    together = b"".join((project.root / path).read_bytes() for path in paths)
    assert lock.md5 == hashlib.md5(together).hexdigest()


def test_an_unknown_suite_is_answered_with_those_there_are(project: Any) -> None:
    with pytest.raises(ParamsError, match="unknown suite 'min'; there are: lab"):
        choose_suites(project.root, ["min"])


def test_two_suites_of_one_name_are_refused(project: Any) -> None:
    project.write_params({"suite": "lab"}, "suites/mini/params.yaml")
    with pytest.raises(ParamsError, match=r"suite 'lab' is also that of params\.yaml"):
        find_suites(project.root)


@pytest.mark.parametrize("text", ["seed: 1\n", "- lab\n", "suite: [\n"])
def test_a_params_file_without_a_suite_is_refused(project: Any, text: str) -> None:
    (project.root / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml"):
        find_suites(project.root)


def test_the_lock_gives_the_hash_of_every_output(project: Any) -> None:
    lock = read_locks([project.root / "dvc.lock"])
    assert lock.digest("data/clean/lab/text.parquet") == f"{1:032x}"
    assert lock.md5 == hashlib.md5((project.root / "dvc.lock").read_bytes()).hexdigest()
    with pytest.raises(DataError, match="no stage has written data/clean/lab/other"):
        lock.digest("data/clean/lab/other.parquet")


@pytest.mark.parametrize(
    "text", ["", "schema: '2.0'\n", "stages: [a]\n", "<<<<<<< HEAD\nstages:\n", "stages: {a: {outs: [{}]}}\n"]
)
def test_a_broken_lock_is_named(project: Any, text: str) -> None:
    (project.root / "dvc.lock").write_text(text)
    with pytest.raises(DataError, match=r"dvc\.lock: not a dvc\.lock"):
        read_locks([project.root / "dvc.lock"])
