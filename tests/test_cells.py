"""The cells of a suite as DVC reads them: those of the params, one by one, and never those of other params."""

from pathlib import Path

import pytest
import yaml

from stages import cells
from stages.common.cells import cells_text, refuse_stale_cells
from stages.common.errors import ParamsError
from stages.common.params import load_params

ROOT = Path(__file__).parents[1]
SUITES = [ROOT / "params.yaml", *sorted(ROOT.glob("suites/*/params.yaml"))]
MODELS = {name: {"source": "local", "family": "masked", "path": "unused"} for name in ("small", "large")}
PARAMS = {
    "suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 0, "threads": 1, "corpus": "text",
    "datasets": {"text": {"benchmark": "corpus", "source": "data/sources/wikitext2.yaml"}}, "models": MODELS,
    "variants": {"fp32": {"method": "none"}, "int8": {"method": "int8_dynamic", "only": ["large"]}},
}


@pytest.fixture
def params(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("params.yaml")
    path.write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    return path


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.parent.name)
def test_the_committed_cells_are_those_of_the_params(path):
    expected = load_params(path, stale_cells=True).cells
    found = yaml.safe_load((path.parent / "cells.yaml").read_text(encoding="utf-8"))["cells"]
    assert [(cell["model"], cell["variant"]) for cell in found.values()] == expected
    refuse_stale_cells(path, expected)


def test_a_variant_has_no_cell_with_a_model_that_it_leaves_out(params, capsys):
    assert cells.main([]) == 0
    assert yaml.safe_load(Path("cells.yaml").read_text())["cells"] == {
        "small-fp32": {"model": "small", "variant": "fp32"},
        "large-fp32": {"model": "large", "variant": "fp32"},
        "large-int8": {"model": "large", "variant": "int8"},
    }
    assert capsys.readouterr().out == "wrote cells.yaml\n"
    cells.main(["params.yaml"])
    assert capsys.readouterr().out == ""  # nothing changed, nothing written


def test_cells_of_other_params_are_refused_with_the_command_that_writes_them(params):
    cells.main([])
    load_params(params)
    params.write_text(yaml.safe_dump({**PARAMS, "variants": {"fp32": {"method": "none"}}}, sort_keys=False))
    with pytest.raises(ParamsError, match=r"cells\.yaml: not the models and variants of .*python -m stages\.cells"):
        load_params(params)
    cells.main([])
    assert load_params(params).cells == [("small", "fp32"), ("large", "fp32")]


def test_two_cells_of_one_name_are_refused():
    with pytest.raises(ParamsError, match=r"both be called 'a-b-c'"):
        cells_text([("a-b", "c"), ("a", "b-c")], "params.yaml")
