"""Settings of calibration grids: what they stand for, and what is refused."""

from types import SimpleNamespace

import pytest

from stages.common.errors import ParamsError
from stages.common.params import parse
from stages.lab import check_params
from stages.lab.calibration import Calibration, grid_of

MODEL = {
    "source": "train", "family": "causal", "architecture": "gpt_neox", "tokenizer": {"kind": "word", "vocab_size": 512},
    "training": {"steps": 5, "batch_size": 4, "sequence_length": 24, "learning_rate": 0.01, "warmup_steps": 1},
}


def settings(**changes):
    return {
        "common": {"seed": 1, "items": {"controls": 6}},
        "worlds": {
            "one": {"associations": {"gender": {"strength": 0.9}}},
            "two": {"associations": {"gender": {"strength": 0.6}}},
            "far": {"seed": 2, "items": {"controls": 2}},
        },
        "learners": {"big": {"seeds": [1, 2], "worlds": ["two", "far"], "model": MODEL}, "small": {"model": MODEL}},
        "variants": {"int8": {"method": "int8_dynamic"}, "fp32": {"method": "none"}},
        **changes,
    }


def test_common_settings_are_those_of_every_world_that_has_none_of_its_own():
    worlds = parse(Calibration, settings(), "c").worlds
    assert {slug: (world.seed, world.items.controls) for slug, world in worlds.items()} == {
        "one": (1, 6), "two": (1, 6), "far": (2, 2)}
    assert worlds["one"].association("gender").strength == 0.9


def test_cells_are_every_learner_on_its_worlds_with_its_seeds():
    assert [spec.name for spec in parse(Calibration, settings(), "c").cells] == [
        "two.big.1", "two.big.2", "far.big.1", "far.big.2", "one.small.1", "two.small.1", "far.small.1"]


def test_twins_differ_in_one_kind_and_in_nothing_else():
    assert parse(Calibration, settings(), "c").twins == [("one", "two", "gender")]


def test_the_baseline_comes_first():
    assert list(parse(Calibration, settings(), "c").recipes("small")) == ["fp32", "int8"]


def test_a_learner_may_leave_variants_out():
    learners = {"small": {"variants": [], "model": MODEL}, "big": {"variants": ["int8"], "model": MODEL}}
    grid = parse(Calibration, settings(learners=learners), "c")
    assert (list(grid.recipes("small")), list(grid.recipes("big"))) == (["fp32"], ["fp32", "int8"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"baseline": "full"}, "baseline: no variant 'full'; variants are int8, fp32"),
        ({"learners": {"big": {"worlds": ["here"], "model": MODEL}}}, "learners.big.worlds: no 'here'; there are: one"),
        ({"learners": {"big": {"variants": ["int4"], "model": MODEL}}}, "learners.big.variants: no 'int4'"),
        ({"worlds": {}}, "worlds"),
        ({"common": [1]}, "'common' is a mapping"),
        ({"threads": 2}, "threads: unknown key"),
        ({"worlds": {"one": {"seed": 1, "colour": "red"}}}, "worlds.one.colour: unknown key"),
    ],
)
def test_mistakes_are_named(changes, named):
    with pytest.raises(ParamsError, match=named):
        parse(Calibration, settings(**changes), "params.yaml: calibration.small")


def suite(calibration):
    """What the checks read of a suite's params."""
    return SimpleNamespace(worlds={}, datasets={}, calibration=calibration, params_file="params.yaml")


def test_a_grid_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ParamsError, match=r"params.yaml: unknown calibration grid 'huge'; there are: small"):
        grid_of(suite({"small": settings()}), "huge")


def test_recipes_are_checked_down_to_their_methods():
    check_params(suite({"small": settings()}), "params.yaml")
    broken = settings(variants={"fp32": {"method": "none"}, "tiny": {"method": "round_to_nearest", "bits": 1}})
    with pytest.raises(ParamsError, match=r"calibration.small.variants.tiny: bits"):
        check_params(suite({"small": broken}), "params.yaml")
