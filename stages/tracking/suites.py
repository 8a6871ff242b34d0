"""The suites of a project, and what DVC recorded of a suite's last reproduction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from stages.common.cells import FOLDER
from stages.common.errors import DataError, ParamsError
from stages.common.params import choose


@dataclass(frozen=True)
class Suite:
    """One params file and the pipeline beside it; paths are relative to the project's root."""

    name: str
    params_file: Path

    @property
    def pipeline(self) -> Path:
        """Its ``dvc.yaml``."""
        return self.params_file.with_name("dvc.yaml")

    def locks(self, root: Path) -> list[Path]:
        """Its ``dvc.lock``, and those of its models' cells where there are any; relative to ``root`` as all is."""
        own = self.params_file.with_name("dvc.lock")
        cells = sorted((root / self.params_file.parent / FOLDER).glob("*/dvc.lock"))
        return [own, *(path.relative_to(root) for path in cells)]

    @property
    def command(self) -> str:
        """What a user types to run it."""
        return f"dvc repro {self.pipeline.as_posix()}"


def find_suites(root: Path) -> dict[str, Suite]:
    """Every suite of the project by name: the root's own first, then ``suites/*``.

    Raises:
        ParamsError: A params file names no suite, or two name the same.
    """
    found: dict[str, Suite] = {}
    for path in [root / "params.yaml", *sorted(root.glob("suites/*/params.yaml"))]:
        if not path.is_file():
            continue
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ParamsError(f"not valid YAML: {error}", where=path) from error
        name = raw.get("suite") if isinstance(raw, dict) else None
        if not isinstance(name, str):
            raise ParamsError("names no suite", where=path, fix="add a line 'suite: NAME'")
        if name in found:
            raise ParamsError(f"suite {name!r} is also that of {found[name].params_file}", where=path)
        found[name] = Suite(name, path.relative_to(root))
    if not found:
        raise ParamsError("no params.yaml here", where=root, fix="run this at the project's root")
    return found


def choose_suites(root: Path, names: list[str]) -> list[Suite]:
    """The named suites in the given order, or all when none is named.

    Raises:
        ParamsError: There is no such suite; the message lists those there are.
    """
    found = find_suites(root)
    return [choose(found, name, "suite") for name in names] if names else list(found.values())


@dataclass(frozen=True)
class Lock:
    """What a suite's ``dvc.lock`` files say: hashes by which every output can be had again."""

    path: Path
    """The first of them."""
    md5: str
    """MD5 of their bytes, one after the other."""
    outs: dict[str, str]
    """MD5 (as DVC writes it, ``.dir`` suffix included) of every output by its path."""

    def digest(self, out: str) -> str:
        """The hash of one output.

        Raises:
            DataError: No stage in the lock has that output.
        """
        if out not in self.outs:
            raise DataError(f"no stage has written {out}", where=self.path, fix="run dvc repro")
        return self.outs[out]


def read_locks(paths: Sequence[Path]) -> Lock:
    """Read the ``dvc.lock`` files of a suite.

    Raises:
        DataError: One is missing or is none.
    """
    content, outs = b"", dict[str, str]()
    for path in paths:
        if not path.is_file():
            raise DataError("no such file", where=path, fix=f"run dvc repro {path.with_name('dvc.yaml')}")
        own = path.read_bytes()
        try:
            stages = yaml.safe_load(own)["stages"].values()
            outs |= {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}
        except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            raise DataError("not a dvc.lock that can be read", where=path, fix="restore it with git") from error
        content += own
    return Lock(paths[0], hashlib.md5(content, usedforsecurity=False).hexdigest(), outs)
