"""The score stage's command line: any model outside a suite, upstream's files, and names that are mistaken."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from transformers import (
    AutoModelForCausalLM,
)

from stages import score
from stages.common.errors import DataError, ModelError, ParamsError
from stages.common.files import sha256_file
from stages.common.query import Query
from stages.common.records import read_records
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder
from stages.compression.while_loading import open_int8
from stages.score import score_model
from stages.scoring.engine import Scorer
from tests.scored_suite import build, save_model

ROOT = Path(__file__).parents[1]


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build()
    return tmp_path


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
