"""``python -m stages.verify`` on a small repository whose pipeline does, or does not, repeat itself."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stages import verify
from stages.common.errors import ParamsError
from stages.verify import VerifyError, compare

PIPELINE = """
stages:
  data:
    cmd: python write.py data.txt fixed
    deps: [write.py]
    outs: [data.txt]
  measure:
    cmd: python write.py metrics/lab/models/m.json VALUE
    deps: [data.txt, write.py]
    metrics:
      - metrics/lab/models/m.json: {cache: false}
"""
WRITE = """
import json, os, pathlib, sys
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(parents=True, exist_ok=True)
noise = {"noise": int.from_bytes(os.urandom(6), "big")} if sys.argv[2] == "random" else {}
path.write_text(json.dumps({"gender": {"score": 57.25, **noise}}))
"""
FIXED, RANDOM = "fixed", "random"


class Repository:
    def __init__(self, root: Path, value: str) -> None:
        self.root = root
        (root / "params.yaml").write_text("suite: lab\n")
        (root / "dvc.yaml").write_text(PIPELINE.replace("VALUE", value))
        (root / "write.py").write_text(WRITE)
        (root / ".gitignore").write_text("/data.txt\n")
        self.git("init", "-q")
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
        self.commit()

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=self.root, check=True, capture_output=True)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "state")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the clones are made, so that what is left of them can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> Repository:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return Repository(root, value)


def test_a_pipeline_that_repeats_itself_passes(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = repository(tmp_path, monkeypatch, FIXED)
    # A committed metrics file that the pipeline does not write must not pass for reproduced.
    wrong = made.root / "metrics/lab/models/m.json"
    wrong.parent.mkdir(parents=True)
    wrong.write_text('{"gender": {"score": 1}}')
    made.commit()
    (made.root / "notes.txt").write_text("not committed")
    assert verify.main([]) == 0
    out = capsys.readouterr().out
    assert "changes that are not committed" in out
    assert "2 files of suite lab, made twice" in out
    same, committed = out.split("against what is committed:")
    assert "identical, byte for byte" in same
    assert "gender.score  1          57.25" in committed
    assert "absent     present" in committed  # dvc.lock, which was not committed
    assert list(temporary.iterdir()) == []


def test_a_pipeline_with_chance_in_it_fails_and_names_the_value(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository(tmp_path, monkeypatch, RANDOM)
    assert verify.main(["--suite", "lab"]) == 1
    same = capsys.readouterr().out.split("against what is committed:")[0]
    assert "2 differences" in same
    assert re.search(r"^dvc\.lock +measure: metrics/lab/models/m\.json +[0-9a-f]{32} +[0-9a-f]{32}$", same, re.M)
    assert re.search(r"^metrics/lab/models/m\.json +gender\.noise +\d+ +\d+$", same, re.M)
    assert "gender.score" not in same
    assert list(temporary.iterdir()) == []


def test_a_stage_that_fails_in_a_clone_is_told(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = repository(tmp_path, monkeypatch, FIXED)
    made.git("rm", "-q", "write.py")
    made.commit()
    with pytest.raises(VerifyError, match=r"dvc repro dvc\.yaml failed with exit code 255 in a fresh clone"):
        verify.main([])
    assert list(temporary.iterdir()) == []


def test_outside_a_repository_and_for_an_unknown_suite_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "params.yaml").write_text("suite: lab\n")
    with pytest.raises(VerifyError, match="git rev-parse --short"):
        verify.main([])
    with pytest.raises(ParamsError, match="unknown suite 'mini'; there are: lab"):
        verify.main(["--suite", "mini"])


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def test_every_kind_of_difference_has_a_line() -> None:
    lock = b"stages:\n  s:\n    outs:\n    - path: a\n      md5: %s\n"
    one = {"dvc.lock": lock % b"a1", "m.json": b'[{"v": 1}, {"v": 2}]', "k.json": b'{"a": 1}', "gone": b"x", "t": b"1"}
    other = {"dvc.lock": lock % b"a2", "m.json": b'[{"v": 1}, {"v": 3}]', "k.json": b'{"a":  1}', "t": b"2"}
    assert compare(one, other) == [
        ("dvc.lock", "s: a", "a1", "a2"),
        ("gone", "", "present", "absent"),
        ("k.json", "(bytes)", digest(b'{"a": 1}'), digest(b'{"a":  1}')),
        ("m.json", "row 1.v", "2", "3"),
        ("t", "(bytes)", digest(b"1"), digest(b"2")),
    ]
    assert compare(one, one) == []
