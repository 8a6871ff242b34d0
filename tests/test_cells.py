"""The cells of a suite as DVC reads them: those of the params, one by one, and never those of other params."""

import subprocess
from pathlib import Path

import pytest
import yaml

from stages import cells
from stages.common.cells import refuse_stale_cells, repro
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
    found = {file.parent.name: yaml.safe_load(file.read_text(encoding="utf-8"))["cell"]
             for file in path.parent.glob("cells/*/cells.yaml")}
    assert [(model, variant) for model in dict.fromkeys(model for model, _ in expected)
            for variant in found.pop(model)["variants"]] == expected
    assert found == {}
    refuse_stale_cells(path, expected)


def test_a_variant_has_no_cell_with_a_model_that_it_leaves_out(params, capsys):
    assert cells.main([]) == 0
    found = {model: yaml.safe_load(Path("cells", model, "cells.yaml").read_text())["cell"] for model in MODELS}
    assert found == {"small": {"model": "small", "variants": ["fp32"]},
                     "large": {"model": "large", "variants": ["fp32", "int8"]}}
    assert capsys.readouterr().out.splitlines() == [
        f"wrote cells/{model}/{name}" for model in MODELS for name in ("cells.yaml", "dvc.yaml")]
    cells.main(["params.yaml"])
    assert capsys.readouterr().out == ""  # nothing changed, nothing written


def test_cells_of_other_params_are_refused_with_the_command_that_writes_them(params):
    cells.main([])
    load_params(params)
    params.write_text(yaml.safe_dump({**PARAMS, "variants": {"fp32": {"method": "none"}}}, sort_keys=False))
    with pytest.raises(ParamsError, match=r"cells: not the models and variants of .*python -m stages\.cells"):
        load_params(params)
    cells.main([])
    assert load_params(params).cells == [("small", "fp32"), ("large", "fp32")]


def test_the_cells_of_a_model_that_is_gone_are_refused_and_removed(params, capsys):
    cells.main([])
    Path("cells/large/dvc.lock").write_text("stages: {}\n")
    params.write_text(yaml.safe_dump({**PARAMS, "models": {"small": MODELS["small"]},
                                      "variants": {"fp32": {"method": "none"}}}, sort_keys=False))
    with pytest.raises(ParamsError, match="not the models and variants"):
        load_params(params)
    capsys.readouterr()
    cells.main([])
    assert capsys.readouterr().out == "removed cells/large\n"
    assert not Path("cells/large").exists()
    load_params(params)


def test_dvc_makes_a_stage_of_each_cell_and_the_commands_named_in_messages_find_it(params):
    cells.main([])
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, check=True)
    target = repro("params.yaml", "score", "large", "int8").removeprefix("dvc repro ")
    assert target == "cells/large/dvc.yaml:score@int8"
    done = subprocess.run(["dvc", "stage", "list", "--all", "--name-only"], check=True, capture_output=True, text=True)
    names = {f"cells/{model}/dvc.yaml:{stage}@{variant}" for stage in ("compress", "score", "measure")
             for model, variant in (("small", "fp32"), ("large", "fp32"), ("large", "int8"))}
    assert set(done.stdout.split()) == names
    assert target in names
