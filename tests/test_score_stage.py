"""The score stage: from clean tables and model folders to records, whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
)

from stages import score
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.files import sha256_file, sha256_folder, sha256_text
from stages.common.query import Query
from stages.common.records import read_records, read_vectors
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder
from stages.compression.while_loading import open_int8
from stages.score import score_model, score_suite
from stages.scoring.engine import Scorer

ROOT = Path(__file__).parents[1]
WORDS = ["[PAD]", "[UNK]", "[MASK]", "<|endoftext|>", "he", "she", "is", "a", "nurse", "doctor", "kind", "tall", ".",
         "John", "Amy"]
PAIRS = pd.DataFrame(
    [
        ("0", "gender", "stereo", "she is a nurse .", "he is a nurse .", "he|she"),
        ("1", "gender", "antistereo", "he is a kind nurse", "she is a kind nurse", "he|she"),
        ("2", "gender", "stereo", "she is tall", "is tall", "she"),  # one side has no word of its own
    ],
    columns=["item", "category", "direction", "sent_more", "sent_less", "cluster"],
)
SEAT = pd.DataFrame(
    [
        ("sent-weat6", "gender", role, "names", 0, f"{name} is {word}")
        for role, name, word in (("X", "John", "tall"), ("Y", "Amy", "tall"), ("A", "he", "kind"), ("B", "she", "kind"))
    ],
    columns=["test", "category", "role", "group", "position", "text"],
)


def tokenizer():
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=model, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]",
                                   eos_token="<|endoftext|>")


def save_model(folder, architecture="bert", seed=0):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
             "vocab_size": len(WORDS), "max_position_embeddings": 32, "initializer_range": 0.5}
    model = BertForMaskedLM(BertConfig(**sizes)) if architecture == "bert" else GPTNeoXForCausalLM(
        GPTNeoXConfig(**sizes))
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A project folder with one masked model of two checkpoints, a causal one, and three clean tables."""
    monkeypatch.chdir(tmp_path)
    datasets = {
        "crows": {"benchmark": "crows_pairs", "source": "data/sources/crows_pairs.yaml"},
        "seat": {"benchmark": "seat", "source": "data/sources/seat.yaml"},
        "text": {"benchmark": "corpus", "source": "data/sources/wikitext2.yaml", "options": {"min_words": 1}},
    }
    models = {name: {"source": "local", "family": family, "path": "unused"}
              for name, family in (("small", "masked"), ("neox", "causal"), ("encoder", "sentence"))}
    params = {"suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 0, "threads": 1, "corpus": "text",
              "datasets": datasets, "models": models, "variants": {"fp32": {"method": "none"}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    clean = Path("data/clean/tiny")
    clean.mkdir(parents=True)
    PAIRS.to_parquet(clean / "crows.parquet")
    SEAT.to_parquet(clean / "seat.parquet")
    lines = [("test", 0, "he is a doctor ."), ("train", 1, "she is a doctor ."), ("test", 2, "she is kind")]
    pd.DataFrame(lines, columns=["split", "line", "text"]).to_parquet(clean / "text.parquet")
    for seed, (name, fraction) in enumerate((("p010", 0.1), ("p100", 1.0))):
        folder = save_model(Path("models/tiny/compressed/small/fp32") / name, seed=seed)
        (folder / "checkpoint.json").write_text(json.dumps({"fraction": fraction, "step": int(100 * fraction)}))
    save_model(Path("models/tiny/compressed/neox/fp32/p100"), "gpt_neox")
    return tmp_path


def test_records_of_a_masked_model(suite):
    folder = score_suite("params.yaml", "small", "fp32")
    assert folder == Path("data/records/tiny/small/fp32")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
        *(f"{name}/{file}.parquet" for name in ("p010", "p100")
          for file in ("crows", "seat", "seat.vectors", "text")),
        "run.json",
    ]  # fmt: skip
    run = json.loads((folder / "run.json").read_text())
    assert run["family"] == "masked"
    assert run["checkpoints"] == {"p010": {"fraction": 0.1, "step": 10}, "p100": {"fraction": 1.0, "step": 100}}
    assert run["datasets"]["crows"] == {"benchmark": "crows_pairs", "measure": "pair_preference"}
    assert run["datasets"]["seat"] == {"benchmark": "seat", "measure": "association"}
    weights = Path("models/tiny/compressed/small/fp32/p100/model.safetensors")
    assert run["model"]["architecture"] == "bert"
    assert run["model"]["stored_bytes"] == weights.stat().st_size
    model = AutoModelForMaskedLM.from_pretrained(weights.parent)
    assert run["model"]["parameters"] == model.num_parameters()

    records = read_records(folder / "p100" / "crows.parquet").set_index(["item", "role"])
    # "she is a nurse ." with "she" hidden: one position.
    ids = [WORDS.index(word) for word in ["[MASK]", "is", "a", "nurse", "."]]
    logits = model(input_ids=torch.tensor([ids])).logits[0, 0].double().log_softmax(0).detach()
    row = records.loc[("0", "stereo")]
    assert row["score"] == pytest.approx(float(logits[WORDS.index("she")]), abs=5e-5)
    assert row["logprob"] == row["score"]
    assert row["entropy"] == pytest.approx(float(-(logits.exp() * logits).sum()), abs=5e-5)
    assert (row["tokens"], row["words"], row["scored"], row["direction"]) == (5, 5, 1, "stereo")
    assert row["text_sha"] == sha256_text("she is a nurse .")
    skipped = records.loc["2"]
    assert (skipped["scored"] == 0).all()
    assert skipped[["score", "logprob", "entropy"]].isna().all(axis=None)

    vectors = read_vectors(folder / "p100" / "seat.vectors.parquet")
    ids = [WORDS.index(word) for word in ["John", "is", "tall"]]
    states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[-1][0]
    np.testing.assert_allclose(vectors[sha256_text("John is tall")], states.mean(0).detach().numpy(), atol=1e-5)
    assert set(read_records(folder / "p100" / "seat.parquet")["scored"]) == {0}
    assert len(vectors) == 4
    # Held-out lines are those of the test split; each of their words is hidden once.
    assert sorted(read_records(folder / "p100" / "text.parquet")["scored"]) == [3, 5]


def test_checkpoints_differ_and_runs_do_not(suite):
    folder = score_suite("params.yaml", "small", "fp32")
    first = sha256_folder(folder)
    scores = [read_records(folder / name / "crows.parquet")["score"].dropna().tolist() for name in ("p010", "p100")]
    assert scores[0] != scores[1]
    assert sha256_folder(score_suite("params.yaml", "small", "fp32")) == first


def test_a_causal_model_scores_what_offers_its_family(suite):
    folder = score_suite("params.yaml", "neox", "fp32")
    records = read_records(folder / "p100" / "crows.parquet")
    assert (records["scored"] == records["tokens"]).all()  # every token, the pair that masked models skip too
    assert ((records["score"] > 0) & (records["score"] < 1)).all()


def test_plans_are_made_once_for_checkpoints_of_one_tokenizer(suite, monkeypatch):
    made = []
    module = score.benchmarks.get("crows_pairs")
    plan = module.plan
    monkeypatch.setattr(module, "plan", lambda *given: made.append(1) or plan(*given))
    score_suite("params.yaml", "small", "fp32")
    assert len(made) == 1


def test_a_failure_leaves_the_earlier_records(suite, monkeypatch):
    folder = score_suite("params.yaml", "small", "fp32")
    before = sha256_folder(folder)
    read, calls = Scorer.read, []

    def fail_in_the_second_checkpoint(self, queries, progress):
        calls.append(1)
        if len(calls) > 2:
            raise ModelError("stopped")
        return read(self, queries, progress)

    monkeypatch.setattr(Scorer, "read", fail_in_the_second_checkpoint)
    with pytest.raises(ModelError, match="stopped"):
        score_suite("params.yaml", "small", "fp32")
    assert sha256_folder(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["fp32"]


@pytest.mark.parametrize(("model", "variant", "error", "message"), [
    ("smal", "fp32", ParamsError, "unknown model 'smal'; there are: encoder, neox, small"),
    ("small", "int4", ParamsError, "unknown variant 'int4'; there are: fp32"),
    ("encoder", "fp32", ModelError, "models/tiny/compressed/encoder/fp32: holds no checkpoint"),
])
def test_names_that_are_not_there(suite, model, variant, error, message):
    with pytest.raises(error, match=message):
        score_suite("params.yaml", model, variant)


def test_a_missing_table_is_named(suite):
    Path("data/clean/tiny/seat.parquet").unlink()
    with pytest.raises(DataError, match=r"data/clean/tiny/seat\.parquet: no such file"):
        score_suite("params.yaml", "small", "fp32")


def test_any_model_outside_a_suite(suite):
    model = "models/tiny/compressed/small/fp32/p100"
    Path("data/clean/tiny/crows.parquet").rename("data/clean/tiny/crows_pairs.parquet")
    score_model(model, "masked", ["crows_pairs", "seat"], Path("data/clean/tiny"), Path("out"))
    assert set(json.loads(Path("out/run.json").read_text())["datasets"]) == {"crows_pairs", "seat"}
    assert len(read_records("out/p100/crows_pairs.parquet")) == 6


def test_int8_while_loading_gives_the_scores_of_the_artefact(suite):
    Path("data/clean/tiny/crows.parquet").rename("data/clean/tiny/crows_pairs.parquet")
    model, clean = Path("models/tiny/compressed/small/fp32/p100"), Path("data/clean/tiny")
    Path("int8").mkdir()
    compress_folder(model, Path("int8"), parse_variant({"method": "int8_dynamic"}, "x"), "masked", Context())
    score_model(str(model), "masked", ["crows_pairs"], clean, Path("one"), int8=True)
    score_model("int8", "masked", ["crows_pairs"], clean, Path("two"))
    score_model(str(model), "masked", ["crows_pairs"], clean, Path("whole"))
    one, two, whole = (sha256_file(Path(name) / "p100/crows_pairs.parquet") for name in ("one", "two", "whole"))
    assert one == two != whole
    assert json.loads(Path("one/run.json").read_text())["model"]["computed_in"] == "int8"
    assert "computed_in" not in json.loads(Path("whole/run.json").read_text())["model"]


def test_half_precision_checkpoints_are_quantized_from_what_they_hold(tmp_path):
    folder = save_model(tmp_path / "half", "gpt_neox")
    AutoModelForCausalLM.from_pretrained(folder).half().save_pretrained(folder)
    (tmp_path / "int8").mkdir()
    compress_folder(folder, tmp_path / "int8", parse_variant({"method": "int8_dynamic"}, "x"), "causal", Context())
    queries = [Query((5, 6, 7, 8), (0, 1, 2), (6, 7, 8))]
    one, two = (Scorer(opened).read(queries)[0] for opened in
                (open_int8(folder, "causal"), open_model(tmp_path / "int8", "causal")))
    assert np.array_equal(one.logprobs, two.logprobs)


def test_bfloat16_is_noted(suite):
    Path("data/clean/tiny/crows.parquet").rename("data/clean/tiny/crows_pairs.parquet")
    model, clean = "models/tiny/compressed/small/fp32/p100", Path("data/clean/tiny")
    score_model(model, "masked", ["crows_pairs"], clean, Path("out"), dtype="bfloat16", device="auto")
    assert json.loads(Path("out/run.json").read_text())["model"]["computed_in"] == "bfloat16"
    for wrong in ({"dtype": "float16"}, {"device": "tpu"}):
        with pytest.raises(ParamsError, match=r"unknown d.* there are: "):
            score_model(model, "masked", ["crows_pairs"], clean, Path("out"), **wrong)


def test_upstream_files_in_place_of_a_clean_table(suite):
    Path("raw/crows_pairs").mkdir(parents=True)
    Path("raw/crows_pairs/crows_pairs_anonymized.csv").write_text(
        ",sent_more,sent_less,stereo_antistereo,bias_type\n0,she is a nurse,he is a nurse,stereo,gender\n"
    )
    model = "models/tiny/compressed/neox/fp32/p100"
    score_model(model, "causal", ["crows_pairs"], Path("raw"), Path("out"))
    assert read_records("out/p100/crows_pairs.parquet")["role"].tolist() == ["anti", "stereo"]


@pytest.mark.parametrize(("family", "names", "error", "message"), [
    ("maskd", ["seat"], ParamsError, "unknown family 'maskd'; there are: causal, masked, sentence"),
    ("masked", ["crows"], ParamsError, "unknown benchmark 'crows'; there are: .*crows_pairs.*seat"),
    ("sentence", ["crows_pairs"], ParamsError, "'crows_pairs' is not defined for sentence models"),
    ("masked", ["stereoset"], DataError, "data/clean/tiny: holds neither stereoset.parquet nor stereoset/"),
    ("masked", ["seat"], ModelError, "./nowhere: no such model folder"),
])
def test_mistakes_outside_a_suite(suite, family, names, error, message):
    with pytest.raises(error, match=message):
        score_model("./nowhere", family, names, Path("data/clean/tiny"), Path("out"))
    assert not Path("out").exists()


def test_names_are_checked_before_torch_is_imported(suite):
    code = (
        "import sys; from stages import score; from stages.common.errors import run\n"
        "sys.argv = ['score', 'm', '--family', 'masked', '--benchmarks', 'crow', '--data', '.', '--out', 'out']\n"
        "try: run(score.main)\n"
        "finally: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=suite,
                          env={"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown benchmark 'crow'; there are: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == "False\n"


def test_command_line(suite, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["score", "--params", "params.yaml", "--model", "neox", "--variant", "fp32"])
    score.main()
    out = capsys.readouterr().out
    assert "scoring p100 (1/1) crows" in out
    assert out.endswith("wrote data/records/tiny/neox/fp32\n")
    monkeypatch.setattr(sys, "argv", ["score", "--params", "params.yaml", "--model", "neox"])
    with pytest.raises(SystemExit) as stopped:
        score.main()
    assert stopped.value.code == 2
