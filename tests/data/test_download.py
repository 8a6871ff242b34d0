"""Downloads against a real server that breaks, lies and refuses."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

import pytest

from stages.common.errors import DataError
from stages.common.files import git_blob_id
from stages.data.download import RETRIES, Unreachable, download
from stages.data.network import _why_closed, why_unreachable
from stages.data.source import File
from tests.data.conftest import CLOSED, CONTENT, HTML, Upstream, pinned

pytestmark = pytest.mark.usefixtures("no_pause")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def file(upstream: Upstream) -> File:
    upstream.files["items.csv"] = CONTENT
    return pinned(CONTENT)


def fetch(upstream: Upstream, file: File, cache: Path) -> bytes:
    return download(f"{upstream.url}/{file.name}", file, cache).read_bytes()


def leave_partial(cache: Path, file: File, content: bytes) -> None:
    cache.mkdir()
    (cache / f"sha256-{file.sha256}.partial").write_bytes(content)


def partials(cache: Path) -> list[Path]:
    return list(cache.glob("*.partial"))


def test_a_file_arrives_whole(upstream: Upstream, file: File, cache: Path) -> None:
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == [None]
    assert partials(cache) == []


def test_a_whole_download_is_not_fetched_again(upstream: Upstream, file: File, cache: Path) -> None:
    fetch(upstream, file, cache)
    assert fetch(upstream, file, cache) == CONTENT
    assert len(upstream.ranges) == 1


def test_a_spoilt_download_in_the_cache_is_fetched_again(upstream: Upstream, file: File, cache: Path) -> None:
    path = download(f"{upstream.url}/items.csv", file, cache)
    path.write_bytes(CONTENT[:-1])
    assert fetch(upstream, file, cache) == CONTENT


def test_a_break_is_resumed_where_it_was(upstream: Upstream, file: File, cache: Path) -> None:
    # Written in pieces of 8,192: of 100,000 bytes 98,304 are kept, then of 8,192 all, of 100 none.
    upstream.faults = ["break:100000", "break:8192", "break:100"]
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == [None, "bytes=98304-", "bytes=106496-", "bytes=106496-"]


def test_what_an_earlier_run_left_is_resumed(upstream: Upstream, file: File, cache: Path) -> None:
    leave_partial(cache, file, CONTENT[:1234])
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == ["bytes=1234-"]


def test_a_whole_partial_file_needs_no_request(upstream: Upstream, file: File, cache: Path) -> None:
    leave_partial(cache, file, CONTENT)
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == []


def test_a_server_without_ranges_sends_it_all_again(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.faults = ["break:100000", "whole"]
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == [None, "bytes=98304-"]


def test_another_range_than_asked_for_is_not_appended(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.faults = ["break:100000", "elsewhere"]
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == [None, "bytes=98304-", None]


def test_a_partial_file_longer_than_the_file_is_dropped(upstream: Upstream, file: File, cache: Path) -> None:
    leave_partial(cache, file, CONTENT + b"more")
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_wrong_earlier_bytes_are_fetched_anew(upstream: Upstream, file: File, cache: Path) -> None:
    leave_partial(cache, file, b"\0" * 1000)  # a crash may leave zeros where data never reached the disk
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges == ["bytes=1000-", None]


@pytest.mark.parametrize("status", ["429", "500", "502", "503", "504"])
def test_a_passing_fault_is_tried_again(upstream: Upstream, file: File, cache: Path, status: str) -> None:
    upstream.faults = [status, status]
    assert fetch(upstream, file, cache) == CONTENT
    assert len(upstream.ranges) == 3


def test_a_lasting_fault_is_given_up(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.faults = ["503"] * 20
    with pytest.raises(DataError, match=r"items\.csv: .*503.*\(5 times\)"):
        fetch(upstream, file, cache)
    assert len(upstream.ranges) == RETRIES + 1 == 5


def test_what_arrived_before_giving_up_is_kept(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.faults = ["break:8192"] * 5
    with pytest.raises(DataError, match="broke off"):
        fetch(upstream, file, cache)
    assert partials(cache)[0].read_bytes() == CONTENT[:40960]
    assert fetch(upstream, file, cache) == CONTENT
    assert upstream.ranges[-1] == "bytes=40960-"


@pytest.mark.parametrize("status", ["403", "404", "410"])
def test_a_refusal_is_final(upstream: Upstream, file: File, cache: Path, status: str) -> None:
    upstream.faults = [status]
    with pytest.raises(DataError, match=rf"/items\.csv: the server answered {status}"):
        fetch(upstream, file, cache)
    assert len(upstream.ranges) == 1


def refusal(upstream: Upstream, file: File, cache: Path) -> str:
    with pytest.raises(DataError) as caught:
        fetch(upstream, file, cache)
    assert list(cache.glob("sha256-*[0-9a-f]")) == []
    assert partials(cache) == []  # it must not be the start of the next attempt
    message = str(caught.value)
    assert message.startswith("items.csv: ")
    assert file.pin in message
    return message


def test_an_error_page_is_refused(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.faults = ["html"]
    message = refusal(upstream, file, cache)
    assert "sent an HTML page" in message
    assert f"found sha256 {hashlib.sha256(HTML).hexdigest()}" in message
    assert len(upstream.ranges) == 1


def test_a_truncated_file_is_refused(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.files["items.csv"] = CONTENT[:-100]
    assert f"only {len(CONTENT) - 100} of {len(CONTENT)} bytes" in refusal(upstream, file, cache)


def test_a_tampered_file_is_refused(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.files["items.csv"] = CONTENT[:-1] + b"!"
    assert f"sent another file of {len(CONTENT)} bytes" in refusal(upstream, file, cache)


def test_a_tampered_file_is_refused_after_a_break_too(upstream: Upstream, file: File, cache: Path) -> None:
    upstream.files["items.csv"] = CONTENT[:-1] + b"!"
    upstream.faults = ["break:100000"]
    refusal(upstream, file, cache)
    assert upstream.ranges == [None, "bytes=98304-", None]


def test_a_git_blob_pins_a_download(upstream: Upstream, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "copy").write_bytes(CONTENT)
    file = File(name="items.csv", git_blob=git_blob_id(tmp_path / "copy"))
    upstream.files["items.csv"] = CONTENT
    assert fetch(upstream, file, cache) == CONTENT
    other = File(name="items.csv", git_blob="0" * 40)
    with pytest.raises(DataError, match=f"expected git blob {other.git_blob}, found {file.pin}"):
        fetch(upstream, other, cache)


def test_a_closed_port_is_no_network(cache: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"cannot reach 127\.0\.0\.1"):
        download(f"{CLOSED}/items.csv", pinned(CONTENT), cache)
    assert time.monotonic() - begin < 1


def test_a_name_that_does_not_resolve_is_known_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # A resolver behind a dead network keeps silent for half a minute.
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: time.sleep(4))
    _why_closed.cache_clear()
    begin = time.monotonic()
    assert why_unreachable("https://benchmarks.invalid/items.csv") == "no answer within 2.5 s"
    assert why_unreachable("https://benchmarks.invalid/other.csv") == "no answer within 2.5 s"
    assert time.monotonic() - begin < 3


def test_a_server_that_never_answers_is_no_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.data.download._TIMEOUT_SECONDS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(Unreachable, match="no answer from 127"):
        download(f"http://127.0.0.1:{silent.getsockname()[1]}/items.csv", pinned(CONTENT), cache)


def test_a_proxy_is_what_must_be_reached(upstream: Upstream, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert why_unreachable(f"{upstream.url}/items.csv") is not None
    monkeypatch.setenv("http_proxy", upstream.url.removeprefix("http://").split("/")[0])
    assert why_unreachable("http://benchmarks.invalid/items.csv") is None
