"""Atomic writes and content hashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.common import files


def test_atomic_path_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "good")
    with pytest.raises(RuntimeError), files.atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "good"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_atomic_folder_replaces_whole_and_keeps_nothing_of_before(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for name in ("first", "second"):
        with files.atomic_folder(target) as temporary:
            (temporary / name).write_text(name)
    assert [p.name for p in target.iterdir()] == ["second"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_atomic_folder_keeps_the_old_folder_when_filling_fails(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.atomic_folder(target) as temporary:
        (temporary / "good").write_text("1")
    with pytest.raises(RuntimeError), files.atomic_folder(target) as temporary:
        (temporary / "half").write_text("2")
        raise RuntimeError
    assert [p.name for p in target.iterdir()] == ["good"]


def test_a_killed_writer_leaves_no_target(tmp_path: Path) -> None:
    target = tmp_path / "out"
    code = (
        "import sys, time\nfrom stages.common.files import atomic_folder\n"
        f"with atomic_folder({str(target)!r}) as t:\n"
        "    (t / 'part').write_text('x'); print('ready', flush=True); time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"ready"
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.05)
    assert not target.exists()


def test_hashes_against_known_values(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    # `printf 'hello\n' | sha256sum` and `printf 'hello\n' | git hash-object --stdin`
    assert files.sha256_file(path) == "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
    assert files.git_blob_id(path) == "ce013625030ba8dba906f756967f9e9ca394464a"
    assert files.sha256_text("hello\n") == "5891b5b522d5df08"


def test_folder_hash_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = files.sha256_folder(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    second = files.sha256_folder(tmp_path)
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, second, files.sha256_folder(tmp_path)}) == 3
    (tmp_path / "note.txt").write_text("ignored")
    assert files.sha256_folder(tmp_path, (".bin",)) != files.sha256_folder(tmp_path)
