"""Cells are the same whoever computes them, are computed once, and survive a failure of another."""

import numpy as np
import pytest

from stages.calibrating import pool
from stages.calibrating.cache import key_of
from stages.calibrating.cell import Cell, run_cell
from stages.calibrating.pool import run_cells
from stages.common.errors import ModelError
from stages.common.files import sha256_folder
from stages.common.params import TrainedModel
from stages.evidence.items import items_by_role
from stages.lab.result import CellResult, read_result, write_result
from stages.lab.world import World

NEOX = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "max_position_embeddings": 32}


def cell(name="tiny", strength=0.9, seed=1, **changes):
    training = {"steps": 4, "batch_size": 8, "sequence_length": 24, "learning_rate": 0.01, "warmup_steps": 1,
                "packing": "lines", "checkpoints": [50, 100], **changes}
    model = {"source": "train", "family": "causal", "architecture": "gpt_neox", "config": NEOX,
             "tokenizer": {"kind": "word", "vocab_size": 512}, "training": training}
    world = {"seed": 1, "associations": {"gender": {"strength": strength}},
             "sentences": {"train": 300, "valid": 20, "test": 40},
             "items": {"crows_pairs": 8, "stereoset": 6, "controls": 4}}
    return Cell(name, World.model_validate(world), TrainedModel.model_validate(model), seed,
                {"fp32": {"method": "none"}, "pruned": {"method": "magnitude", "sparsity": 0.5}})


@pytest.fixture(scope="module")
def result():
    return run_cell(cell())


def test_the_first_variant_is_scored_at_every_checkpoint_and_the_others_at_the_last(result):
    counts = result.records.groupby(["variant", "checkpoint", "dataset"]).size().to_dict()
    pairs, triples, stimuli = 2 * 3 * (8 + 4), 3 * 3 * (6 + 4), 2 * 3 * 2 * (28 + 21)
    texts = counts["fp32", "p100", "corpus"]
    assert 0 < texts <= 40
    assert counts == {
        **{(variant, checkpoint, dataset): count
           for variant, checkpoint in (("fp32", "p050"), ("fp32", "p100"), ("pruned", "p100"))
           for dataset, count in (("corpus", texts), ("crows_pairs", pairs), ("stereoset", triples))},
        ("fp32", "p100", "seat"): counts["fp32", "p100", "seat"],
        ("pruned", "p100", "seat"): counts["fp32", "p100", "seat"],
    }
    assert counts["fp32", "p100", "seat"] <= stimuli


def test_records_are_those_that_evidence_reads(result):
    items = items_by_role(result.of("pruned", "crows_pairs"), ("stereo", "anti"))
    assert items["usable"].all()
    assert sorted(set(items["category"])) == sorted(f"{kind}{of}" for kind in ("gender", "race", "religion")
                                                    for of in ("", "-control"))
    vectors = result.embeddings("pruned")
    assert set(result.of("pruned", "seat")["text_sha"]) == set(vectors)
    assert {(vector.shape, vector.dtype.name) for vector in vectors.values()} == {((16,), "float32")}


def test_variants_differ_and_so_do_checkpoints(result):
    scores = [result.of(*model)["logprob"].to_numpy() for model in (
        ("fp32", "stereoset"), ("pruned", "stereoset"), ("fp32", "stereoset", "p050"))]
    assert np.abs(scores[0] - scores[1]).max() > 1e-4
    assert np.abs(scores[0] - scores[2]).max() > 1e-4


def test_a_result_comes_back_from_its_files(result, tmp_path):
    write_result(tmp_path / "cell", result)
    found = read_result(tmp_path / "cell")
    assert found.records.equals(result.records.astype(found.records.dtypes))
    one, other = result.embeddings("fp32"), found.embeddings("fp32")
    assert all(np.array_equal(one[key], other[key]) for key in one)


def test_one_process_and_two_write_the_same_bytes(tmp_path):
    cells = [cell("one"), cell("two", seed=2)]
    for workers in (1, 2):
        for number, found in enumerate(run_cells(cells, workers, tmp_path / f"cache{workers}")):
            write_result(tmp_path / f"out{workers}" / str(number), found)
    assert sha256_folder(tmp_path / "out1") == sha256_folder(tmp_path / "out2")
    assert sha256_folder(tmp_path / "cache1") == sha256_folder(tmp_path / "cache2")
    assert len({sha256_folder(folder) for folder in (tmp_path / "out1").iterdir()}) == 2


class Counting:
    """Stands in for ``run_cell``: counts, and fails where it is told to."""

    def __init__(self, result: CellResult, failing: str = ""):
        self.result, self.failing, self.ran = result, failing, []

    def __call__(self, wanted: Cell) -> CellResult:
        self.ran.append(wanted.name)
        if wanted.name == self.failing:
            raise ModelError("the loss is nan", where=wanted.name)
        return self.result


def test_only_what_is_new_is_computed(monkeypatch, result, tmp_path):
    counting = Counting(result)
    monkeypatch.setattr(pool, "run_cell", counting)
    run_cells([cell("one"), cell("two", seed=2)], cache=tmp_path)
    run_cells([cell("renamed"), cell("two", seed=2), cell("new", strength=0.6), cell("again")], cache=tmp_path)
    assert counting.ran == ["one", "two", "new"]


def test_cells_done_before_a_failure_are_kept_and_the_longest_go_first(monkeypatch, result, tmp_path):
    cells = [cell("short"), cell("long", steps=9), cell("broken", steps=6)]
    counting = Counting(result, failing="broken")
    monkeypatch.setattr(pool, "run_cell", counting)
    with pytest.raises(ModelError, match="broken: the loss is nan"):
        run_cells(cells, cache=tmp_path)
    assert counting.ran == ["long", "broken"]
    assert [path.name for path in tmp_path.iterdir()] == [key_of(cells[1])]


def test_the_key_is_all_that_a_result_depends_on():
    assert key_of(cell("one")) == key_of(cell("other"))
    others = [cell(), cell(strength=0.8), cell(seed=2), cell(steps=5)]
    assert len({key_of(other) for other in others}) == 4


def test_a_mistake_names_the_cell(tmp_path):
    with pytest.raises(ModelError, match=r"tiny: .*the loss is nan"):
        run_cell(cell(learning_rate=1e30, steps=6))
