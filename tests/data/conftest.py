"""A real HTTP server whose answers a test chooses, and source manifests that point at it."""

from __future__ import annotations

import gzip
import hashlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.data.source import File

COMMIT = "c0ffee" * 6 + "c0de"
CONTENT = bytes(range(256)) * 1201  # 307,456 bytes: 37 pieces of 8,192 and a rest
HTML = b"\n<!DOCTYPE html>\n<html><body>Rate limit exceeded</body></html>"


class Upstream:
    """What the server offers, how it misbehaves next, and what it was asked for.

    ``faults`` holds one word a request, used up in order: a status code, ``break:N`` (close the
    connection after N bytes), ``hang:N`` (send N bytes, then nothing until ``release``), ``whole``
    (ignore Range), ``elsewhere`` (another range than asked for), ``html``.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.ranges: list[str | None] = []
        self.release = threading.Event()
        self.sent = threading.Event()
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.upstream.ranges.append(asked)
        fault = self.upstream.faults.pop(0) if self.upstream.faults else ""
        name = self.path.rsplit("/", 1)[-1]
        if fault.isdigit() or name not in self.upstream.files or f"/{COMMIT}/" not in self.path:
            return self._send(int(fault or 404), b"no")
        if fault == "html":
            return self._send(200, HTML)
        body = self.upstream.files[name]
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and fault != "whole" else 0
        if start >= len(body):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        headers = {}
        if "gzip" in self.headers.get("Accept-Encoding", ""):  # as real hosts do; then offsets mean other bytes
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        if start:
            shift = 7 if fault == "elsewhere" else 0
            headers["Content-Range"] = f"bytes {start - shift}-{len(body) - 1}/{len(body)}"
        how, _, size = fault.partition(":")
        stop = start + int(size) if how in ("break", "hang") else len(body)
        self._send(206 if start else 200, body[start:stop], headers, length=len(body) - start)
        if how == "hang":
            self.wfile.flush()
            self.upstream.sent.set()
            self.upstream.release.wait(30)
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Keep the test output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # a client that went away is part of the tests


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    state = Upstream()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"upstream": state}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/{COMMIT}"
    yield state
    state.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.data.download.FIRST_PAUSE_SECONDS", 0.001)


def pinned(content: bytes, name: str = "items.csv", **more: Any) -> File:
    return File(name=name, sha256=hashlib.sha256(content).hexdigest(), bytes=len(content), **more)


# A port that nothing listens on stands for a host without network.
CLOSED = f"http://127.0.0.1:1/{COMMIT}"


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Write a manifest of files at an address; ``files`` are ``File`` models."""

    def write(address: str, *files: File, facts: dict[str, Any] | None = None) -> Path:
        path = tmp_path / "source.yaml"
        origin = {
            "repository": "someone/something",
            "commit": COMMIT,
            "licence": "CC0",
            "address": address,
            "files": [file.model_dump(exclude_none=True) for file in files],
        }
        raw = {"title": "Toy", "citation": "Nobody (2024)", "folder": "toy", "origins": [origin], "facts": facts or {}}
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return path

    return write
