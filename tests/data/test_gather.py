"""Where each file of a source is taken from, and what is left behind when one cannot be had."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.common.errors import DataError
from stages.data.gather import find_mirror, gather
from stages.data.source import File, Substitute, load_source
from tests.data.conftest import CLOSED, COMMIT, CONTENT, HTML, Upstream, pinned

pytestmark = pytest.mark.usefixtures("no_pause")
OTHER = b"the same items in another order\n"
Manifest = Callable[..., Path]


class Workplace:
    """A mirror, a cache and a folder to fill."""

    def __init__(self, root: Path) -> None:
        self.mirror, self.cache, self.out = root / "mirror", root / "cache", root / "raw" / "toy"
        (self.mirror / "toy").mkdir(parents=True)

    def offer(self, name: str, content: bytes) -> Path:
        path = self.mirror / "toy" / name
        path.write_bytes(content)
        return path

    def gather(self, manifest: Path, mirror: bool = True) -> dict:
        gather(load_source(manifest), self.out, self.mirror if mirror else None, self.cache)
        return json.loads((self.out / "provenance.json").read_text(encoding="utf-8"))

    def names(self) -> list[str]:
        return sorted(path.name for path in self.out.parent.rglob("*"))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def substitutable(content: bytes = CONTENT, stand_in: bytes = OTHER, name: str = "shuffled.csv") -> File:
    substitute = Substitute(mirror_name=name, sha256=hashlib.sha256(stand_in).hexdigest(), reason="in another order",
                            facts={"rows": 9})
    return pinned(content, substitutes=(substitute,))


def test_the_mirror_comes_first(place: Workplace, manifest: Manifest, upstream: Upstream) -> None:
    place.offer("items.csv", CONTENT)
    upstream.files["items.csv"] = CONTENT
    provenance = place.gather(manifest(upstream.url, pinned(CONTENT), facts={"rows": 10}))
    assert upstream.ranges == []
    assert (place.out / "items.csv").read_bytes() == CONTENT
    assert provenance == {
        "title": "Toy",
        "citation": "Nobody (2024)",
        "facts": {"rows": 10},
        "files": {
            "items.csv": {
                "bytes": 307456,
                "commit": COMMIT,
                "licence": "CC0",
                "provenance": "exact",
                "repository": "someone/something",
                "sha256": hashlib.sha256(CONTENT).hexdigest(),
            }
        },
    }


def test_the_address_comes_second(place: Workplace, manifest: Manifest, upstream: Upstream) -> None:
    upstream.files["items.csv"] = CONTENT
    place.offer("shuffled.csv", OTHER)  # not taken while the exact file is to be had
    provenance = place.gather(manifest(upstream.url, substitutable(), facts={"rows": 10}))
    assert (place.out / "items.csv").read_bytes() == CONTENT
    assert provenance["files"]["items.csv"]["provenance"] == "exact"
    assert provenance["facts"] == {"rows": 10}


def test_the_record_does_not_tell_mirror_from_download(
    place: Workplace, manifest: Manifest, upstream: Upstream
) -> None:
    upstream.files["items.csv"] = CONTENT
    path = manifest(upstream.url, pinned(CONTENT))
    place.gather(path, mirror=False)
    downloaded = (place.out / "provenance.json").read_bytes()
    place.offer("items.csv", CONTENT)
    place.gather(path)
    assert (place.out / "provenance.json").read_bytes() == downloaded


def test_a_substitute_comes_last(
    place: Workplace, manifest: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    place.offer("shuffled.csv", OTHER)
    provenance = place.gather(manifest(CLOSED, substitutable(), facts={"rows": 10, "columns": 2}))
    assert (place.out / "items.csv").read_bytes() == OTHER
    entry = provenance["files"]["items.csv"]
    assert entry["provenance"] == "substitute"
    assert entry["mirror_name"] == "shuffled.csv"
    assert entry["reason"] == "in another order"
    assert entry["sha256"] == hashlib.sha256(OTHER).hexdigest()
    assert entry["expected"] == pinned(CONTENT).pin
    assert provenance["facts"] == {"rows": 9, "columns": 2}
    lines = [line for line in capsys.readouterr().out.splitlines() if "SUBSTITUTE" in line]
    assert len(lines) == 1
    assert "cannot reach 127.0.0.1" in lines[0]
    assert lines[0].endswith("shuffled.csv from the mirror: in another order")


def test_a_substitute_of_the_upstream_name_is_not_the_upstream_file(
    place: Workplace, manifest: Manifest, upstream: Upstream
) -> None:
    file = substitutable(name="items.csv")
    place.offer("items.csv", OTHER)
    upstream.files["items.csv"] = CONTENT
    assert place.gather(manifest(upstream.url, file))["files"]["items.csv"]["provenance"] == "exact"
    place.cache.rename(place.cache.with_name("gone"))
    assert place.gather(manifest(CLOSED, file))["files"]["items.csv"]["provenance"] == "substitute"


def test_a_wrong_download_is_never_replaced_by_a_substitute(
    place: Workplace, manifest: Manifest, upstream: Upstream
) -> None:
    place.offer("shuffled.csv", OTHER)
    upstream.files["items.csv"] = CONTENT
    for fault, message in (("html", "sent an HTML page"), ("404", "answered 404")):
        upstream.faults = [fault]
        with pytest.raises(DataError, match=message):
            place.gather(manifest(upstream.url, substitutable()))


def test_a_tampered_mirror_file_is_refused(place: Workplace, manifest: Manifest, upstream: Upstream) -> None:
    upstream.files["items.csv"] = CONTENT
    offered = place.offer("items.csv", CONTENT + b"\n")
    with pytest.raises(DataError) as caught:
        place.gather(manifest(upstream.url, pinned(CONTENT)))
    found = hashlib.sha256(CONTENT + b"\n").hexdigest()
    assert str(caught.value).startswith(f"{offered}: ")
    assert f"expected {pinned(CONTENT).pin}, found sha256 {found}" in str(caught.value)
    assert upstream.ranges == []


def test_a_tampered_substitute_is_refused(place: Workplace, manifest: Manifest) -> None:
    offered = place.offer("shuffled.csv", OTHER[:-2])
    with pytest.raises(DataError, match=rf"^{offered}: the mirror's substitute for items\.csv"):
        place.gather(manifest(CLOSED, substitutable()))


def test_an_earlier_good_copy_survives_a_refused_file(
    place: Workplace, manifest: Manifest, upstream: Upstream
) -> None:
    second = pinned(b"two\n", name="second.csv")
    upstream.files |= {"items.csv": CONTENT, "second.csv": b"two\n"}
    place.gather(manifest(upstream.url, pinned(CONTENT), second), mirror=False)
    before = {path: path.read_bytes() for path in place.out.iterdir()}
    changed = pinned(b"three\n", name="second.csv")  # the manifest moves on; upstream answers with a page
    upstream.faults = ["html"]
    with pytest.raises(DataError, match=r"second\.csv: .*HTML"):
        place.gather(manifest(upstream.url, pinned(CONTENT), changed), mirror=False)
    assert {path: path.read_bytes() for path in place.out.iterdir()} == before
    assert place.names() == ["items.csv", "provenance.json", "second.csv", "toy"]


def test_no_folder_appears_when_a_file_is_refused(place: Workplace, manifest: Manifest) -> None:
    place.offer("items.csv", CONTENT)
    place.offer("second.csv", HTML)
    with pytest.raises(DataError, match=r"second\.csv"):
        place.gather(manifest(CLOSED, pinned(CONTENT), pinned(b"two\n", name="second.csv")))
    assert place.names() == []


def test_files_that_the_manifest_dropped_are_gone(place: Workplace, manifest: Manifest) -> None:
    place.offer("items.csv", CONTENT)
    place.offer("second.csv", b"two\n")
    place.gather(manifest(CLOSED, pinned(CONTENT), pinned(b"two\n", name="second.csv")))
    place.gather(manifest(CLOSED, pinned(CONTENT)))
    assert place.names() == ["items.csv", "provenance.json", "toy"]


def test_without_mirror_and_network_the_variable_is_named(place: Workplace, manifest: Manifest) -> None:
    with pytest.raises(DataError, match=r"^items\.csv: cannot reach .* no mirror is set \(set BENCHMARK_MIRROR to"):
        place.gather(manifest(CLOSED, pinned(CONTENT)), mirror=False)


def test_a_mirror_without_the_file_is_named(place: Workplace, manifest: Manifest) -> None:
    with pytest.raises(DataError, match=r"mirror/toy: .*has no items\.csv or shuffled\.csv .*BENCHMARK_MIRROR"):
        place.gather(manifest(CLOSED, substitutable()))


def test_find_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCHMARK_MIRROR", raising=False)
    assert find_mirror() is None
    monkeypatch.setenv("BENCHMARK_MIRROR", "")
    assert find_mirror() is None
    monkeypatch.setenv("BENCHMARK_MIRROR", str(tmp_path))
    assert find_mirror() == tmp_path
    (tmp_path / "nearer").mkdir()
    assert find_mirror(str(tmp_path / "nearer")) == tmp_path / "nearer"
    monkeypatch.setenv("BENCHMARK_MIRROR", str(tmp_path / "absent"))
    with pytest.raises(DataError, match=r"absent: the mirror is not a folder \(set BENCHMARK_MIRROR"):
        find_mirror()
