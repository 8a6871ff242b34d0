"""Downloads that resume: streamed to a partial file, taken for whole only when the hash says so."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from urllib.parse import urlsplit

import filelock
import requests

from stages.common.errors import DataError
from stages.data.network import why_unreachable
from stages.data.progress import Progress, say
from stages.data.source import File

RETRIES = 4
FIRST_PAUSE_SECONDS = 0.5
_TIMEOUT_SECONDS = (5, 30)  # to connect; between two pieces
_PIECE_BYTES = 8192  # what a break loses at most
_PASSING = {429, 500, 502, 503, 504}


class Unreachable(DataError):
    """No connection to the host could be opened: there is no network, or it is shut off."""


class _Broken(Exception):
    """A transfer that may go better when tried again."""


def download(url: str, file: File, cache: Path) -> Path:
    """Fetch a file, resuming what an earlier call left, and check it against its pin.

    Args:
        url: Address of the file.
        file: What is expected of it.
        cache: Folder of partial and whole downloads, named after their pins.

    Returns:
        Path of the whole, checked file in ``cache``.

    Raises:
        Unreachable: No connection to the host can be opened; known within seconds.
        DataError: The host refuses, keeps breaking off, or sends another content than the pinned one.
    """
    cache.mkdir(parents=True, exist_ok=True)
    whole = cache / file.pin.replace(" ", "-")
    partial = whole.with_name(f"{whole.name}.partial")
    # Two suites may acquire the same dataset at once; two writers of one partial file would spoil it.
    with filelock.FileLock(whole.with_name(f"{whole.name}.lock")):
        if whole.is_file() and file.hash_of(whole) == file.pin:
            return whole
        if not (partial.is_file() and file.hash_of(partial) == file.pin):
            reason = why_unreachable(url)
            if reason is not None:
                raise Unreachable(f"cannot reach {urlsplit(url).hostname}: {reason}", where=file.name)
            _fetch(url, file, partial)
        os.replace(partial, whole)
    return whole


def _fetch(url: str, file: File, partial: Path) -> None:
    resumed = _stream_with_retries(url, file, partial)
    found = file.hash_of(partial)
    if resumed and found != file.pin:
        say(f"{file.name}: the pieces do not make the pinned file; fetching it anew")
        partial.unlink()
        _stream_with_retries(url, file, partial)
        found = file.hash_of(partial)
    if found != file.pin:
        what = _describe(partial, file)
        partial.unlink()
        raise DataError(f"{url} sent {what}: expected {file.pin}, found {found}", where=file.name)


def _stream_with_retries(url: str, file: File, partial: Path) -> bool:
    """Stream until the server ends the file; whether the last piece was added to earlier ones."""
    failures = 0
    while True:
        try:
            return _stream(url, file, partial)
        except _Broken as error:
            failures += 1
            if failures > RETRIES:
                raise DataError(f"{url}: {error} ({failures} times)", where=file.name,
                                fix="try again later; what has arrived is kept") from error
            pause = FIRST_PAUSE_SECONDS * 2 ** (failures - 1)
            say(f"{file.name}: {error}; trying again in {pause:g} s")
            time.sleep(pause)


def _stream(url: str, file: File, partial: Path) -> bool:
    """One request for what is missing of the partial file; whether the answer was added to it."""
    start = partial.stat().st_size if partial.is_file() else 0
    headers = {"Accept-Encoding": "identity"}  # a compressed answer has other offsets than the file
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
            adds = _adds(response, partial, start)
            begin = start if adds else 0
            with partial.open("ab" if adds else "wb") as handle, Progress(file.name, begin, file.bytes) as progress:
                for piece in response.iter_content(_PIECE_BYTES):
                    handle.write(piece)
                    progress.advance(len(piece))
            return adds
    except (requests.exceptions.ProxyError, requests.Timeout) as error:  # Timeout: not even a first byte
        raise Unreachable(f"no answer from {urlsplit(url).hostname}: {error}", where=file.name) from error
    except requests.exceptions.SSLError as error:
        raise DataError(f"{url}: no trusted connection: {error}", where=file.name) from error
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise _Broken("the transfer broke off") from error
    except requests.RequestException as error:
        raise DataError(f"{url}: {error}", where=file.name) from error


def _adds(response: requests.Response, partial: Path, start: int) -> bool:
    """Whether the answer continues the partial file (or is the file from its first byte)."""
    status = f"{response.status_code} {response.reason}"
    if response.status_code == 200:
        return False
    if response.status_code == 206:
        given = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if given and int(given[1]) == start:
            return True
    if response.status_code in (206, 416):  # not the range asked for: begin again
        partial.unlink(missing_ok=True)
        raise _Broken(f"the server cannot continue the file ({status})")
    if response.status_code in _PASSING:
        raise _Broken(f"the server answered {status}")
    raise DataError(f"the server answered {status}", where=response.url)


def _describe(path: Path, file: File) -> str:
    with path.open("rb") as handle:
        beginning = handle.read(1024).lstrip().lower()
    size = path.stat().st_size
    if beginning.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if file.bytes is not None and size < file.bytes:
        return f"only {size} of {file.bytes} bytes"
    return f"another file of {size} bytes"
