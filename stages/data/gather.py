"""Fill a dataset's raw folder: each file from the mirror, its pinned address, or a substitute."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from stages.common.errors import DataError
from stages.common.files import atomic_folder, sha256_file
from stages.data.download import Unreachable, download
from stages.data.provenance import describe_file, write_provenance
from stages.data.source import File, Origin, Source, Substitute

MIRROR_VARIABLE = "BENCHMARK_MIRROR"
CACHE = Path(".cache/downloads")


def find_mirror(folder: str | None = None) -> Path | None:
    """The mirror folder: ``folder``, else the environment's ``BENCHMARK_MIRROR``, else none.

    Raises:
        DataError: It is set, but is no folder.
    """
    chosen = folder or os.environ.get(MIRROR_VARIABLE)
    if not chosen:
        return None
    mirror = Path(chosen)
    if not mirror.is_dir():
        raise DataError("the mirror is not a folder", where=mirror,
                        fix=f"set {MIRROR_VARIABLE} (or --mirror) to a folder of benchmark files, or unset it")
    return mirror


def gather(source: Source, folder: Path, mirror: Path | None, cache: Path = CACHE) -> None:
    """Put every file of a source into ``folder``, with a ``provenance.json`` that says what each one is.

    A file is taken from the mirror where it is there, else from its pinned address, else, if
    that host cannot be reached, from a substitute in the mirror. ``folder`` is replaced only
    when all files are there and good.

    Args:
        source: The source manifest.
        folder: Folder to fill, under the files' upstream names.
        mirror: Folder with one sub-folder a source, or none.
        cache: Folder that keeps downloads, whole and partial.

    Raises:
        DataError: A file is to be had nowhere, or is not the pinned one.
    """
    shelf = mirror / source.folder if mirror else None
    facts = dict(source.facts)
    entries: dict[str, Any] = {}
    with atomic_folder(folder) as fresh:
        for origin in source.origins:
            for file in origin.files:
                target = fresh / file.name
                substitute = _obtain(origin, file, target, shelf, cache)
                entries[file.name] = _entry(origin, file, target, substitute)
                if substitute:
                    facts.update(substitute.facts)
        write_provenance(fresh, title=source.title, citation=source.citation, files=entries, facts=facts)


def _obtain(origin: Origin, file: File, target: Path, shelf: Path | None, cache: Path) -> Substitute | None:
    """Write ``target``; the substitute it was taken from, if it is not the upstream file."""
    if shelf and _take_exact(file, shelf / file.name, target):
        print(f"{file.name}: from the mirror")
        return None
    try:
        shutil.copyfile(download(origin.url(file), file, cache), target)
    except Unreachable as unreachable:
        return _take_substitute(file, target, shelf, unreachable)
    print(f"{file.name}: from {origin.repository} at {origin.commit[:7]}")
    return None


def _take_exact(file: File, offered: Path, target: Path) -> bool:
    """Copy the mirror's file if it is the upstream one; ``False`` if it is absent or a known substitute.

    Raises:
        DataError: It is neither.
    """
    if not offered.is_file():
        return False
    shutil.copyfile(offered, target)
    found = file.hash_of(target)
    if found == file.pin:
        return True
    if sha256_file(target) in {known.sha256 for known in file.substitutes}:
        return False
    raise DataError(f"the mirror's file is not the pinned one: expected {file.pin}, found {found}", where=offered,
                    fix="replace it, or remove it to have it downloaded")


def _take_substitute(file: File, target: Path, shelf: Path | None, unreachable: Unreachable) -> Substitute:
    if shelf is None:
        raise DataError(f"{unreachable.what}, and no mirror is set", where=file.name,
                        fix=f"set {MIRROR_VARIABLE} to a folder of benchmark files")
    for substitute in file.substitutes:
        offered = shelf / substitute.mirror_name
        if not offered.is_file():
            continue
        shutil.copyfile(offered, target)
        found = sha256_file(target)
        if found != substitute.sha256:
            raise DataError(f"the mirror's substitute for {file.name} is not the pinned one: expected sha256 "
                            f"{substitute.sha256}, found sha256 {found}", where=offered, fix="replace it")
        print(f"{file.name}: {unreachable.what}; SUBSTITUTE {offered.name} from the mirror: {substitute.reason}")
        return substitute
    names = [file.name, *(substitute.mirror_name for substitute in file.substitutes)]
    raise DataError(f"{unreachable.what}, and the mirror has no {' or '.join(dict.fromkeys(names))}", where=shelf,
                    fix=f"set {MIRROR_VARIABLE} to a folder that has it")


def _entry(origin: Origin, file: File, target: Path, substitute: Substitute | None) -> dict[str, Any]:
    entry = {**describe_file(target), "repository": origin.repository, "commit": origin.commit,
             "licence": origin.licence, "provenance": "exact"}
    if substitute:
        entry |= {"provenance": "substitute", "mirror_name": substitute.mirror_name, "reason": substitute.reason,
                  "expected": file.pin}
    return entry
