"""The floor stage: from clean tables and an architecture to null floors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from stages import floor
from stages.checkpoint import make_checkpoints
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.params import load_params
from stages.evidence.floors import FLOOR_COLUMNS, with_floors
from stages.floor import write_floor
from stages.models.load import load_model
from stages.nulls.networks import replicate
from tests.scored_suite import PAIRS, SEAT, save_model
from tests.test_checkpoint_stage import CAUSAL, TRAINED, TRAINING
from tests.training.tiny import sentences

MODELS = {"small": "masked", "neox": "causal", "encoder": "sentence"}
TEXT = pd.DataFrame({"item": ["t"], "split": ["test"], "group": ["g"], "text": ["she is a nurse"]})
TRIPLES = pd.DataFrame(
    [(item, None, "intrasentence", "gender", "she", "She is a BLANK .", f"sentence {label} {item}",
      f"She is a {word} .", label)
     for item, words in (("0", "nurse doctor tall"), ("1", "kind tall nurse"))
     for label, word in zip(("stereotype", "anti-stereotype", "unrelated"), words.split(), strict=True)],
    columns=["item", "upstream_id", "kind", "category", "target", "context", "sentence_id", "sentence", "label"],
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with the floors of a masked, a causal and a sentence model."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_project()
        for model in MODELS:
            write_floor("params.yaml", model)
    return root


def write_project():
    datasets = {slug: {"benchmark": benchmark, "source": f"data/sources/{benchmark}.yaml"} for slug, benchmark in
                (("crows", "crows_pairs"), ("stereo", "stereoset"), ("seat", "seat"), ("text", "corpus"))}
    params = {"suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 7, "threads": 1, "corpus": "text",
              "datasets": datasets, "variants": {"fp32": {"method": "none"}},
              "models": {name: {"source": "local", "family": family, "path": "x"} for name, family in MODELS.items()},
              "compare": {"floor": {"seeds": 3, "draws": 100}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    clean = Path("data/clean/tiny")
    clean.mkdir(parents=True)
    for name, table in (("crows", PAIRS), ("stereo", TRIPLES), ("seat", SEAT), ("text", TEXT)):
        table.to_parquet(clean / f"{name}.parquet")
    for name in MODELS:
        save_model(Path("models/tiny/checkpoints") / name / "p100", "gpt_neox" if name == "neox" else "bert")


def floors(project, model):
    return pd.read_parquet(project / f"data/floors/tiny/{model}.parquet")


def test_every_bias_measure_has_a_row_a_seed_and_one_of_the_null(project):
    pairs = {("crows", metric) for metric in ("score", "log_odds")}
    triples = {("stereo", metric) for metric in ("ss", "log_odds", "lm")}
    for model, metrics in (("small", pairs | triples), ("neox", pairs | triples), ("encoder", set())):
        found = floors(project, model)
        assert list(found.columns) == list(FLOOR_COLUMNS)
        expected = {(dataset, category, metric) for dataset, metric in metrics for category in ("gender", "overall")}
        expected.add(("seat", "gender", "mean_abs_effect"))
        cells = found.groupby(["dataset", "category", "metric"])
        assert set(cells.groups) == expected
        for _, rows in cells:
            assert rows["null"].tolist() == ["context_free", "random_init", "random_init", "random_init"]
            assert rows["seed"].tolist()[1:] == [0, 1, 2]
        null = found[found["null"] == "context_free"]
        assert (null["draws"] == 100).all()
        assert ((null["low"] <= null["median"]) & (null["median"] <= null["high"])).all()


def test_every_network_is_another_one(project):
    graded = floors(project, "neox").query("metric == 'log_odds' and null == 'random_init' and dataset == 'crows'")
    assert graded.groupby("category")["value"].nunique().min() == 3


def test_weights_of_the_checkpoint_make_no_difference(project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project()
    save_model(Path("models/tiny/checkpoints/small/p100"), seed=5)
    write_floor("params.yaml", "small")
    pd.testing.assert_frame_equal(floors(tmp_path, "small"), floors(project, "small"))
    first = Path("data/floors/tiny/small.parquet").read_bytes()
    write_floor("params.yaml", "small")
    assert Path("data/floors/tiny/small.parquet").read_bytes() == first


def test_rows_of_the_evidence_find_their_floor(project):
    found = floors(project, "small")
    table = found[found["null"] == "random_init"].drop_duplicates(["dataset", "category", "metric"])
    table = table[["model", "dataset", "category", "metric", "value"]].reset_index(drop=True)
    placed = with_floors(table, found, 0.95)
    assert placed[["inside_floor", "inside_null"]].notna().all(axis=None)
    assert (placed["inside_floor"] == 1).all()  # a random network lies in the floor of random networks
    assert np.isfinite(placed.loc[placed["metric"] == "log_odds", "floor_sds"]).all()


def test_mistakes_are_named(project, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(ParamsError, match="unknown model 'bert'"):
        write_floor("params.yaml", "bert")
    monkeypatch.setattr(floor, "Path", lambda *parts: Path("elsewhere", *parts))
    with pytest.raises(DataError, match=r"elsewhere/data/clean/tiny/crows\.parquet: no such file"):
        write_floor("params.yaml", "small")


def test_a_model_without_checkpoints_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project()
    folder = Path("models/tiny/checkpoints/small")
    (folder / "p100").rename(tmp_path / "away")
    with pytest.raises(ModelError, match=r"holds no checkpoint \(dvc repro checkpoint@small\)"):
        write_floor("params.yaml", "small")


CORPUS = pd.DataFrame([(split, text) for split, count, seed in (("train", 60, 1), ("valid", 20, 2))
                       for text in [*sentences(count, seed), *PAIRS["sent_more"], *PAIRS["sent_less"],
                                    *TRIPLES["sentence"], *SEAT["text"]]], columns=["split", "text"])
FEW = TRAINING | {"steps": 6, "warmup_steps": 1, "checkpoints": [50, 100]}
BERT = TRAINED | {"training": FEW, "replicates": 2}


def write_trained_project(**models):
    """The project with models to train, of which the first is trained."""
    write_project()
    params = yaml.safe_load(Path("params.yaml").read_text())
    params |= {"models": models, "seed": 3, "compare": {"floor": {"seeds": 2, "draws": 100}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    CORPUS.assign(line=range(len(CORPUS))).to_parquet("data/clean/tiny/text.parquet")
    return make_checkpoints(load_params("params.yaml"), next(iter(models))) / "p100"


def test_replicates_have_rows_of_their_own_and_the_same_bytes_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_trained_project(bert=BERT)
    path = write_floor("params.yaml", "bert")
    first = path.read_bytes()
    found = pd.read_parquet(path)
    cells = found.groupby(["dataset", "category", "metric"])
    assert len(cells) == 5 * 2 + 1
    for _, rows in cells:
        assert rows["null"].tolist() == ["context_free", "random_init", "random_init", "seed", "seed"]
        assert rows["seed"].tolist()[1:] == [0, 1, 1, 2]
    graded = found[(found["metric"] == "log_odds") & (found["dataset"] == "crows")]
    assert graded[graded["null"] != "context_free"].groupby("category")["value"].nunique().tolist() == [4, 4]
    write_floor("params.yaml", "bert")
    assert path.read_bytes() == first
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["models"]["bert"]["replicates"] = 0
    Path("params.yaml").write_text(yaml.safe_dump(params))
    write_floor("params.yaml", "bert")
    pd.testing.assert_frame_equal(pd.read_parquet(path), found[found["null"] != "seed"].reset_index(drop=True))


@pytest.mark.parametrize(("model", "family"), [(BERT, "masked"), (CAUSAL | {"training": FEW}, "causal")])
def test_a_replicate_of_the_same_seed_is_the_model_itself(model, family, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = write_trained_project(model=model)
    own = load_model(folder, family).model.state_dict()
    spec, corpus = load_params("params.yaml").models["model"], Path("data/clean/tiny/text.parquet")
    with replicate(spec, corpus, 3) as same:
        assert all(weight.equal(own[name]) for name, weight in same.model.state_dict().items())
    with replicate(spec, corpus, 4) as other:
        assert other.encoder.tokenizer.get_vocab() == same.encoder.tokenizer.get_vocab()
        assert not all(weight.equal(own[name]) for name, weight in other.model.state_dict().items())
