"""Reproduce a suite from nothing in two clones of the last commit and compare every byte of the results.

Usage: ``python -m stages.verify [--suite lab]``. Exits 1 if ``dvc.lock`` or a metrics file differs between the
clones. A difference from what is committed is told but is no failure: another processor may give other sums.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from stages.common.errors import ProjectError, run
from stages.common.metrics_file import flatten
from stages.tracking.suites import Suite, choose_suites

SHOWN = 40
Difference = tuple[str, str, str, str]
"""File, key within it, and the value on each side."""


class VerifyError(ProjectError):
    """The commit cannot be cloned, or a clone of it does not reproduce."""


def main(argv: list[str] | None = None) -> int:
    """Reproduce twice, compare, print a table of what differs."""
    parser = argparse.ArgumentParser(prog="python -m stages.verify", description=__doc__.partition("\n")[0])
    parser.add_argument("--suite", default="lab")
    suite = choose_suites(Path(), [parser.parse_args(argv).suite])[0]
    commit = _git("rev-parse", "--short", "HEAD")
    if _git("status", "--porcelain"):
        print("note: the working tree holds changes that are not committed; they are not part of this")
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        results = []
        for name in ("first", "second"):
            clone = Path(folder) / name
            _git("clone", "--quiet", ".", str(clone))
            committed = read_results(clone, suite)
            print(f"== {name} clone of {commit}: {suite.command}", flush=True)
            _reproduce(clone, suite)
            results.append(read_results(clone, suite))
            # Some suites are gigabytes; only the results of the first are needed from here on.
            shutil.rmtree(clone)
    first, second = results
    print(f"\n{len(first)} files of suite {suite.name}, made twice from commit {commit}:")
    report(compare(first, second), "first", "second")
    print("\nagainst what is committed:")
    report(compare(committed, first), "committed", "first")
    return int(first != second)


def read_results(root: Path, suite: Suite) -> dict[str, bytes]:
    """The suite's ``dvc.lock`` files and every file under ``metrics/<suite>``, by path."""
    paths = [*(root / lock for lock in suite.locks(root)), *sorted((root / "metrics" / suite.name).rglob("*"))]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def compare(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> list[Difference]:
    """Every value that differs; of a file that has no values, or the same, the beginning of its SHA-256."""
    differences: list[Difference] = []
    for path in sorted(one.keys() | other.keys()):
        left, right = one.get(path), other.get(path)
        if left is None or right is None:
            differences.append((path, "", _presence(left), _presence(right)))
        elif left != right:
            differences += _inside(path, left, right) or [(path, "(bytes)", _hash(left), _hash(right))]
    return differences


def report(differences: Iterable[Difference], left: str, right: str) -> None:
    """Print the differences as a table, the first ``SHOWN`` of them."""
    rows = list(differences)
    if not rows:
        print("identical, byte for byte")
        return
    print(f"{len(rows)} differences")
    table = [("file", "key", left, right), *islice(rows, SHOWN)]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if len(rows) > SHOWN:
        print(f"... and {len(rows) - SHOWN} more")


def _reproduce(clone: Path, suite: Suite) -> None:
    # Without these, DVC would take a stage whose inputs came out the same as done, and its metrics as they are.
    for lock in suite.locks(clone):
        (clone / lock).unlink(missing_ok=True)
    shutil.rmtree(clone / "metrics" / suite.name, ignore_errors=True)
    empty = clone / ".dvc" / "tmp" / "no-config"
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": str(clone),
        "DVC_NO_ANALYTICS": "1",
        # DVC runs stages that do not wait for each other in the order of a set, and its lock keeps that order.
        "PYTHONHASHSEED": "0",
        # A cache that the user's own settings share between projects would make the second clone a copy of the first.
        "DVC_GLOBAL_CONFIG_DIR": str(empty),
        "DVC_SYSTEM_CONFIG_DIR": str(empty),
        "HF_DATASETS_CACHE": str(clone / ".cache" / "datasets"),
    }
    mirror = os.environ.get("BENCHMARK_MIRROR")
    if mirror:
        environment["BENCHMARK_MIRROR"] = str(Path(mirror).resolve())
    command = [sys.executable, "-m", "dvc", "repro", suite.pipeline.as_posix()]
    code = subprocess.run(command, cwd=clone, env=environment, check=False).returncode
    if code:
        raise VerifyError(f"{suite.command} failed with exit code {code} in a fresh clone",
                          fix="the lines above say why; was every file it needs committed?")


def _inside(path: str, left: bytes, right: bytes) -> list[Difference]:
    one, other = _values(path, left), _values(path, right)
    return [
        (path, key, _shown(one.get(key)), _shown(other.get(key)))
        for key in sorted(one.keys() | other.keys())
        if one.get(key) != other.get(key)
    ]


def _values(path: str, content: bytes) -> dict[str, Any]:
    """The leaves of a lock or JSON file by dotted key; nothing of other files."""
    if path.endswith(".lock"):
        stages = yaml.safe_load(content).get("stages", {})
        return {
            f"{name}: {item['path']}": item.get("md5", "")
            for name, stage in stages.items()
            for item in [*stage.get("deps", []), *stage.get("outs", [])]
        }
    if path.endswith(".json"):
        value = json.loads(content)
        return flatten({f"row {n}": row for n, row in enumerate(value)} if isinstance(value, list) else value)
    return {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _presence(content: bytes | None) -> str:
    return "absent" if content is None else "present"


def _shown(value: Any) -> str:
    return "absent" if value is None else str(value)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise VerifyError(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}",
                          fix="run this in a clone that has a commit")
    return done.stdout.strip()


if __name__ == "__main__":
    run(main)
