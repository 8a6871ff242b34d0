"""Source manifests: the shipped ones are sound, and mistakes are named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from stages.common.errors import ParamsError
from stages.data.source import File, load_source

FOLDER = Path(__file__).parents[2] / "data" / "sources"
NAMES = ["crows_pairs", "seat", "stereoset_dev", "stereoset_test", "wikitext2"]


def test_the_shipped_manifests_are_all_here() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_shipped_manifest_is_pinned(name: str) -> None:
    source = load_source(FOLDER / f"{name}.yaml")
    assert source.title
    assert re.search(r"\(20\d\d\).*arXiv:\d{4}\.\d{5}", source.citation)
    for origin in source.origins:
        for file in origin.files:
            assert re.fullmatch(
                rf"https://raw\.githubusercontent\.com/{origin.repository}/{origin.commit}/[\w./-]*{re.escape(file.name)}",
                origin.url(file),
            )
            assert re.fullmatch(r"sha256 [0-9a-f]{64}|git blob [0-9a-f]{40}", file.pin)


def test_crows_pairs_facts_add_up() -> None:
    facts = load_source(FOLDER / "crows_pairs.yaml").facts
    # Directions sum to the published totals of the types: race 516, gender 262, religion 105, in all 1,508.
    totals = {category: sum(counts.values()) for category, counts in facts["pairs"].items()}
    assert (totals["race"], totals["gender"], totals["religion"]) == (516, 262, 105)
    assert sum(totals.values()) == facts["rows"] == sum(facts["changed_words"].values()) == 1508


def test_stereoset_facts_add_up() -> None:
    dev = load_source(FOLDER / "stereoset_dev.yaml").facts
    test = load_source(FOLDER / "stereoset_test.yaml")
    assert {kind: sum(counts.values()) for kind, counts in dev["items"].items()} == {
        "intrasentence": 2106, "intersentence": 2123}
    assert sum(test.facts["items"]["intrasentence"].values()) == 6392
    substitute = test.origins[0].files[0].substitutes[0]
    assert sum(substitute.facts["items"]["intrasentence"].values()) == 6391
    # StereoSet has 321 target terms, of which the development set has 79.
    assert sum(dev["targets"]["intrasentence"].values()) == 79
    assert sum(test.facts["targets"]["intrasentence"].values()) == 321 - 79


def test_seat_facts_name_every_file() -> None:
    source = load_source(FOLDER / "seat.yaml")
    files = [file.name for origin in source.origins for file in origin.files]
    assert [f"{test}.jsonl" for test in source.facts["tests"]] == files
    categories = [test["category"] for test in source.facts["tests"].values()]
    assert {name: categories.count(name) for name in set(categories)} == {"gender": 6, "race": 7, "religion": 4}
    assert all(test["X"] == test["Y"] for test in source.facts["tests"].values())


def _raw() -> dict:
    return yaml.safe_load((FOLDER / "crows_pairs.yaml").read_text(encoding="utf-8"))


def _refused(tmp_path: Path, raw: object) -> str:
    path = tmp_path / "broken.yaml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_source(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_an_address_over_plain_http_is_refused(tmp_path: Path) -> None:
    raw = _raw()
    raw["origins"][0]["address"] = raw["origins"][0]["address"].replace("https", "http")
    assert "address must be https" in _refused(tmp_path, raw)


def test_an_address_that_can_change_its_meaning_is_refused(tmp_path: Path) -> None:
    raw = _raw()
    raw["origins"][0]["address"] = "https://raw.githubusercontent.com/nyu-mll/crows-pairs/master/data"
    assert "does not name the commit 8aaac11c" in _refused(tmp_path, raw)


@pytest.mark.parametrize("pins", [{}, {"sha256": "a" * 64, "git_blob": "b" * 40}])
def test_a_file_has_exactly_one_pin(tmp_path: Path, pins: dict[str, str]) -> None:
    raw = _raw()
    raw["origins"][0]["files"] = [{"name": "items.csv", **pins}]
    assert "exactly one of 'sha256' and 'git_blob'" in _refused(tmp_path, raw)


@pytest.mark.parametrize("pin", ["a" * 63, "A" * 64, "g" * 64])
def test_a_malformed_hash_is_refused(tmp_path: Path, pin: str) -> None:
    raw = _raw()
    raw["origins"][0]["files"][0]["sha256"] = pin
    assert "origins.0.files.0.sha256" in _refused(tmp_path, raw)


@pytest.mark.parametrize("name", ["../items.csv", "/items.csv", ".hidden", "a/b.csv", ""])
def test_a_file_cannot_be_named_out_of_its_folder(tmp_path: Path, name: str) -> None:
    raw = _raw()
    raw["origins"][0]["files"][0]["name"] = name
    assert "origins.0.files.0.name" in _refused(tmp_path, raw)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    raw = _raw()
    raw["origins"][0]["files"] *= 2
    assert "two files have the same name" in _refused(tmp_path, raw)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    assert "license: unknown key; allowed: citation, facts" in _refused(tmp_path, {**_raw(), "license": "MIT"})


def test_what_is_no_yaml_is_refused(tmp_path: Path) -> None:
    assert "not valid YAML" in _refused(tmp_path, "title: [")


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"nowhere\.yaml: no such source manifest"):
        load_source(tmp_path / "nowhere.yaml")


def test_git_blob_pin(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello\n")
    # What `git hash-object` prints for the file.
    file = File(name="hello", git_blob="ce013625030ba8dba906f756967f9e9ca394464a")
    assert file.hash_of(path) == file.pin
    path.write_bytes(b"hello")
    assert file.hash_of(path) != file.pin
