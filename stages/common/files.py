"""Atomic writes and content hashes: nothing half-written is ever read."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 20


def _temporary_beside(target: Path) -> Path:
    # Beside the target, so that the final rename stays on one file system.
    return target.parent / f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"


@contextmanager
def atomic_path(target: Path | str) -> Iterator[Path]:
    """Yield a temporary path to write a file to; rename it to ``target`` on success.

    On any exception, the temporary file is removed and ``target`` is left as it was.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(target)
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path | str) -> Iterator[Path]:
    """Yield a temporary folder to fill; put it in the place of ``target`` on success.

    An existing ``target`` is replaced whole, so no file of an earlier run survives in it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(target)
    temporary.mkdir()
    try:
        yield temporary
        if target.exists():
            retired = _temporary_beside(target)
            os.replace(target, retired)
            os.replace(temporary, target)
            shutil.rmtree(retired)
        else:
            os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: Path | str, text: str) -> None:
    """Write UTF-8 text to ``target`` atomically."""
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256_file(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def git_blob_id(path: Path | str) -> str:
    """Hex id that git gives a file's content (SHA-1 over a header and the bytes)."""
    path = Path(path)
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as handle:
        while chunk := handle.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_folder(folder: Path | str, suffixes: tuple[str, ...] = ()) -> str:
    """Hex SHA-256 over the names and contents of a folder's files, in sorted order.

    Args:
        folder: Folder to walk, subfolders included.
        suffixes: Only files with one of these suffixes count; empty counts all.
    """
    folder = Path(folder)
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if suffixes and path.suffix not in suffixes:
            continue
        digest.update(f"{path.relative_to(folder).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """First 16 hex digits of the SHA-256 of UTF-8 text: the text key used in records."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
