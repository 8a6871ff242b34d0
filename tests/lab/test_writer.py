"""Planted data goes through the readers and expectations of the real benchmarks."""

import json

import pytest

from stages import benchmarks
from stages.common.errors import ParamsError
from stages.common.files import sha256_folder
from stages.lab.writer import write_dataset
from stages.validation.runner import run_checks

SIZES = {"train": 400, "valid": 50, "test": 60}
SETTINGS = {"seed": 1, "associations": {"gender": {"strength": 0.9}}, "sentences": SIZES}
CONTROLLED = {**SETTINGS, "vocabulary": "mountain", "items": {"controls": 30}}


@pytest.mark.parametrize("settings", [SETTINGS, CONTROLLED], ids=["plain", "controls"])
@pytest.mark.parametrize("name", ["crows_pairs", "stereoset", "seat", "corpus"])
def test_the_real_reader_and_its_expectations_accept_it(tmp_path, name, settings):
    facts = write_dataset(settings, name, tmp_path)
    benchmark = benchmarks.get(name)
    table = benchmark.read(tmp_path, facts)
    findings = run_checks(table, benchmark.checks(table, facts))
    assert [finding for finding in findings if not finding.passed] == []


def test_crows_pairs_read_back_with_categories_and_directions(tmp_path):
    facts = write_dataset(SETTINGS, "crows_pairs", tmp_path)
    table = benchmarks.get("crows_pairs").read(tmp_path, facts)
    counts = table.groupby(["category", "direction"]).size().to_dict()
    assert counts == {(kind, way): 80 for kind in ("gender", "race", "religion") for way in ("stereo", "antistereo")}


@pytest.mark.parametrize("name", ["crows_pairs", "stereoset"])
def test_control_items_have_categories_of_their_own(tmp_path, name):
    facts = write_dataset(CONTROLLED, name, tmp_path)
    items = benchmarks.get(name).read(tmp_path, facts).drop_duplicates("item")
    found = items["category"].value_counts().to_dict()
    assert {category: count for category, count in found.items() if category.endswith("-control")} == {
        "gender-control": 30, "race-control": 30, "religion-control": 30}
    assert len(found) == 6


def test_stereoset_order_of_sentences_says_nothing_of_the_label(tmp_path):
    write_dataset(SETTINGS, "stereoset", tmp_path)
    items = json.loads((tmp_path / "test.json").read_text())["data"]["intrasentence"]
    first = [item["sentences"][0]["gold_label"] for item in items]
    for label in ("stereotype", "anti-stereotype", "unrelated"):
        assert first.count(label) == pytest.approx(len(items) / 3, rel=0.25)


def test_facts_hold_the_planted_truth(tmp_path):
    facts = write_dataset(SETTINGS, "corpus", tmp_path)
    assert facts["planted"] == {"gender": 2.197225, "race": 0.0, "religion": 0.0}  # ln 9
    lines = (tmp_path / "valid.txt").read_text().splitlines()
    assert facts["splits"]["valid"]["lines"] == len(lines) == 50
    assert facts["splits"]["valid"]["tokens"] == sum(len(line.split()) + 1 for line in lines)


def test_the_same_settings_give_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for name in ("crows_pairs", "stereoset", "seat", "corpus"):
            write_dataset(SETTINGS, name, tmp_path / folder)
    assert sha256_folder(tmp_path / "one") == sha256_folder(tmp_path / "two")


def test_a_benchmark_the_lab_cannot_make_is_refused(tmp_path):
    with pytest.raises(ParamsError, match="unknown benchmark of the lab 'bbq'; there are: corpus, crows_pairs"):
        write_dataset(SETTINGS, "bbq", tmp_path)
