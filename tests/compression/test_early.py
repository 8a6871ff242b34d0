"""An earlier checkpoint in the place of the last one."""

import json

import pytest
import torch

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder


@pytest.fixture
def run_of(tmp_path, save):
    """A training run of four checkpoints, its last one's folder."""
    for seed, name in enumerate(("p005", "p040", "p060", "p100")):
        save("bert", tmp_path / "run" / name, seed)
        facts = {"fraction": int(name[1:]) / 100, "step": seed, "heldout_loss": 9.0 - seed}
        (tmp_path / "run" / name / "checkpoint.json").write_text(json.dumps(facts))
    return tmp_path / "run" / "p100"


def early(source, target, percent):
    target.mkdir()
    return compress_folder(source, target, parse_variant({"method": "early", "percent": percent}, "x"), "masked",
                           Context())


@pytest.mark.parametrize(("percent", "taken"), [(5, "p005"), (39, "p005"), (40, "p040"), (59, "p040"), (99, "p060")])
def test_the_latest_checkpoint_at_or_before_a_percentage_is_taken(percent, taken, run_of, tmp_path):
    manifest = early(run_of, tmp_path / "out", percent)
    assert manifest.steps[0].config == {"method": "early", "percent": percent, "checkpoint": taken}
    found, wanted = (dict(open_model(folder, "masked").model.named_parameters())
                     for folder in (tmp_path / "out", run_of.parent / taken))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    facts = json.loads((tmp_path / "out" / "checkpoint.json").read_text())
    source = json.loads((run_of.parent / taken / "checkpoint.json").read_text())
    assert facts == source | {"fraction": 1.0}


def test_a_model_without_an_earlier_checkpoint_is_refused(run_of, tmp_path, save):
    with pytest.raises(MethodError, match=r"p100: has no checkpoint at or before 4% .*only: "):
        early(run_of, tmp_path / "out", 4)
    with pytest.raises(MethodError, match="p005: has no checkpoint at or before 50%"):
        early(run_of.parent / "p005", tmp_path / "first", 50)
    save("bert", tmp_path / "alone")
    with pytest.raises(MethodError, match="alone: has no checkpoint at or before 50%"):
        early(tmp_path / "alone", tmp_path / "second", 50)


def test_it_undoes_no_step_before_it(run_of, tmp_path):
    variant = [{"method": "random_init"}, {"method": "early", "percent": 50}]
    with pytest.raises(ParamsError, match=r"x\[1\]: early: takes the place .*first step"):
        parse_variant(variant, "x")
    steps = [step for one in variant for step in parse_variant(one, "x")]
    with pytest.raises(MethodError, match=r"early: takes the place .*first step"):
        compress_folder(run_of, tmp_path, steps, "masked", Context())


@pytest.mark.parametrize("percent", [0, 100])
def test_percentages_that_are_not_early_are_refused(percent):
    with pytest.raises(ParamsError, match="percent: "):
        parse_variant({"method": "early", "percent": percent}, "x")
