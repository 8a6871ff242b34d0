"""Params: mistakes are named with their key and what is allowed, before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from stages.common.errors import ParamsError
from stages.common.params import Params, choose, load_params, parse
from stages.evidence.settings import compare_of


def raw() -> dict[str, Any]:
    return {
        "suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 1, "threads": 1, "corpus": "corpus",
        "datasets": {
            "corpus": {"benchmark": "corpus", "source": "data/sources/wikitext2.yaml"},
            "pairs": {"benchmark": "crows_pairs", "source": "data/sources/crows_pairs.yaml"},
        },
        "models": {
            "small": {
                "source": "train", "family": "masked", "architecture": "bert",
                "tokenizer": {"kind": "word", "vocab_size": 100},
                "training": {"steps": 10, "batch_size": 2, "sequence_length": 16, "learning_rate": 0.001,
                             "warmup_steps": 1, "checkpoints": [50, 100]},
            },
        },
        "variants": {"fp32": {"method": "none"}, "int8": {"method": "int8_dynamic"}},
    }


def with_change(path: str, value: Any) -> dict[str, Any]:
    changed = raw()
    node = changed
    *parents, last = path.split(".")
    for key in parents:
        node = node[key]
    node[last] = value
    return changed


def load(tmp_path: Path, value: dict[str, Any]) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(value))
    return load_params(path)


def test_a_good_file_is_typed_and_frozen(tmp_path: Path) -> None:
    params = load(tmp_path, raw())
    assert params.models["small"].training.checkpoints == (50, 100)
    assert compare_of(params).baseline == "fp32"
    assert params.cells == [("small", "fp32"), ("small", "int8")]
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sede", 3, ["sede: unknown key", "allowed:", "seed"]),
        ("models.small.training.stepz", 3, ["models.small.train.training.stepz: unknown key", "steps"]),
        ("models.small.training.steps", 0, ["steps", "greater than or equal to 1", "given: 0"]),
        ("models.small.training.checkpoints", [50, 20, 100], ["checkpoints must rise and end at 100"]),
        ("models.small.training.warmup_steps", 10, ["warmup_steps must be smaller than steps"]),
        ("models.small.source", "cloud", ["models.small", "hub"]),
        ("models.small.family", "seq2seq", ["family", "masked"]),
        ("models.a.b", {}, ["models"]),
        ("corpus", "wiki", ["no dataset 'wiki'", "corpus, pairs"]),
        ("datasets.pairs.benchmark", "crows", ["datasets.pairs.benchmark", "unknown benchmark 'crows'", "crows_pairs"]),
        ("datasets.pairs.options", {"nonsense": 1}, ["datasets.pairs.options", "nonsense: unknown key"]),
        ("variants.int8", {"method": "int9"}, ["variants.int8.method", "unknown compression method 'int9'", "none"]),
        ("variants.int8", {"metod": "none"}, ["variants.int8", "needs 'method'"]),
        ("variants.int8", [], ["variants.int8", "at least one method"]),
        ("variants.int8", {"method": "none", "only": ["big"]}, ["variants.int8.only", "no model 'big'", "small"]),
        ("variants.fp32", {"method": "none", "only": ["small"]}, ["variants.fp32.only", "baseline"]),
        ("variants.int8", {"method": "none", "bits": 3}, ["variants.int8", "bits: unknown key"]),
        ("measures", {"mood": {}}, ["measures", "unknown measure 'mood'"]),
        ("compare", {"baseline": "fp16"}, ["no variant 'fp16'", "fp32, int8"]),
        ("datasets.pairs.source", "lab:nowhere", ["datasets.pairs.source", "unknown world 'nowhere'"]),
        ("seed", -1, ["seed", "greater than or equal to 0"]),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, path: str, value: Any, words: list[str]) -> None:
    changed = raw()
    if path == "models.a.b":  # a slug with a dot would be read by DVC as one level of nesting more
        changed["models"]["a.b"] = changed["models"]["small"]
    else:
        changed = with_change(path, value)
    with pytest.raises(ParamsError) as caught:
        load(tmp_path, changed)
    for word in words:
        assert word in str(caught.value)


def test_scratch_and_continued_training_exclude_each_other(tmp_path: Path) -> None:
    value = with_change("models.small.initial", {"name": "p", "folder": "model"})
    with pytest.raises(ParamsError, match="exactly one of 'tokenizer'"):
        load(tmp_path, value)


def test_files_that_are_no_params(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such params file"):
        load_params(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,\n")
    with pytest.raises(ParamsError, match="not valid YAML"):
        load_params(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ParamsError, match="expected a mapping"):
        load_params(tmp_path / "list.yaml")


def test_choose_lists_what_there_is() -> None:
    with pytest.raises(ParamsError, match="unknown colour 'red'; there are: blue, green"):
        choose({"green": 1, "blue": 2}, "red", "colour")
    with pytest.raises(ParamsError, match="there are: none"):
        choose({}, "red", "colour")
    with pytest.raises(ParamsError, match=r"here: suite: Field required"):
        parse(Params, {k: v for k, v in raw().items() if k != "suite"}, "here")
