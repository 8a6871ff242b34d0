"""What is read of one model x variant, and when its key changes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from stages.common.errors import DataError
from stages.tracking.cells import Cell, Input, Point, read_cells
from stages.tracking.suites import find_suites


def cells(project: Any) -> dict[str, Cell]:
    found = read_cells(project.root, find_suites(project.root)["lab"])
    assert found is not None
    return {cell.name: cell for cell in found}


def test_every_model_and_variant_is_a_cell(project: Any) -> None:
    assert list(cells(project)) == ["lab/tiny/fp32", "lab/tiny/twice", "lab/carried/fp32", "lab/carried/twice"]


def test_trajectories_are_stepped_by_percent_of_training_and_the_rest_is_not(project: Any) -> None:
    assert cells(project)["lab/tiny/twice"].points == (
        Point("compare/crows_pairs.gender.change", 0, -1.25),
        Point("crows_pairs/gender.pairs", 0, 262.0),
        Point("crows_pairs/gender.score", 5, 50.0),
        Point("crows_pairs/gender.score", 100, 57.25),
        Point("crows_pairs/race_colour.pairs", 0, 515.0),
        Point("crows_pairs/race_colour.score", 0, 60.5),
        Point("model/parameters", 0, 1000.0),
        Point("text/test.perplexity", 0, 12.5),
    )


def test_words_become_labels(project: Any) -> None:
    assert cells(project)["lab/tiny/twice"].labels == {"compare/crows_pairs.gender.verdict": "undecided"}


def test_data_sets_and_artefacts_carry_the_hashes_of_the_lock(project: Any) -> None:
    cell = cells(project)["lab/tiny/fp32"]
    # The fixture numbers the outputs: clean tables 0 and 1, then compressed and records of tiny/fp32.
    assert cell.inputs == (
        Input("crows_pairs", f"{0:032x}", "data/clean/lab/crows_pairs.parquet", "evaluation"),
        Input("text", f"{1:032x}", "data/clean/lab/text.parquet", "training"),
    )
    assert cell.artefacts == {"models/lab/compressed/tiny/fp32": f"{2:032x}", "data/records/lab/tiny/fp32": f"{3:032x}"}


def test_the_corpus_of_a_model_not_trained_here_is_for_evaluation(project: Any) -> None:
    assert [given.context for given in cells(project)["lab/carried/fp32"].inputs] == ["evaluation", "evaluation"]


def test_a_variant_of_several_steps_names_them_in_order(project: Any) -> None:
    cell = cells(project)["lab/tiny/twice"]
    assert cell.method == "none+none"
    assert [step["method"] for step in cell.settings["variant"].values()] == ["none", "none"]


def test_the_key_follows_the_cell_alone(project: Any) -> None:
    before = cells(project)
    project.write_cell("tiny", "twice", score=58.0)
    after = cells(project)
    assert {name for name in after if after[name].key != before[name].key} == {"lab/tiny/twice"}


def test_another_model_leaves_the_keys_as_they_are(project: Any) -> None:
    before = cells(project)
    params = copy.deepcopy(project.params)
    del params["models"]["carried"]
    project.write_params(params)
    assert {name: cell.key for name, cell in cells(project).items()} == {
        name: cell.key for name, cell in before.items() if "tiny" in name
    }


def test_a_changed_param_or_comparison_changes_the_key(project: Any) -> None:
    before = cells(project)["lab/tiny/fp32"].key
    params = copy.deepcopy(project.params)
    params["models"]["tiny"]["training"]["learning_rate"] = 0.002
    project.write_params(params)
    changed = cells(project)["lab/tiny/fp32"].key
    project.write_params(project.params)
    project.write_json("metrics/lab/summary.json", {"tiny": {"fp32": {"crows_pairs": {"gender": {"change": 0.0}}}}})
    compared = cells(project)["lab/tiny/fp32"].key
    assert len({before, changed, compared}) == 3


def test_the_same_numbers_in_another_suite_are_another_cell(project: Any) -> None:
    before = cells(project)["lab/tiny/fp32"].key
    project.write_params({**project.params, "suite": "copy"})
    (project.root / "metrics/lab").rename(project.root / "metrics/copy")
    lock = project.root / "dvc.lock"
    lock.write_text(lock.read_text().replace("/lab/", "/copy/"))
    found = read_cells(project.root, find_suites(project.root)["copy"])
    assert found is not None
    assert found[0].key != before


def test_a_suite_that_was_never_run_has_no_cells(project: Any) -> None:
    params = {**project.params, "suite": "mini", "params_file": "suites/mini/params.yaml", "wdir": "../.."}
    project.write_params(params, "suites/mini/params.yaml")
    assert read_cells(project.root, find_suites(project.root)["mini"]) is None


@pytest.mark.parametrize("path", ["models/tiny/twice.json", "trajectories/carried/fp32.json", "summary.json"])
def test_a_missing_file_is_named_with_the_command_that_writes_it(project: Any, path: str) -> None:
    (project.root / "metrics/lab" / path).unlink()
    with pytest.raises(DataError, match=rf"lacks 1 metrics file.*metrics/lab/{path} \(run dvc repro dvc\.yaml\)"):
        cells(project)


@pytest.mark.parametrize(
    "text", ["", '{"a": {"b": NaN}}', '{"a": Infinity}', "[1, 2]", '{"a": {"b": null}}', '{"a": [1]}']
)
def test_metrics_that_are_none_are_refused(project: Any, text: str) -> None:
    (project.root / "metrics/lab/models/tiny/fp32.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics/lab/models/tiny/fp32\.json"):
        cells(project)


@pytest.mark.parametrize("row", [{"dataset": "crows_pairs"}, "row", {"fraction": "half"}])
def test_a_malformed_trajectory_row_is_named(project: Any, row: Any) -> None:
    full = {"dataset": "d", "category": "c", "metric": "m", "fraction": 1.0, "value": 1.0}
    broken = {**full, **row} if isinstance(row, dict) and "fraction" in row else row
    project.write_json("metrics/lab/trajectories/tiny/fp32.json", [full, broken])
    with pytest.raises(DataError, match=r"tiny/fp32\.json: row 1 is no trajectory row"):
        cells(project)
