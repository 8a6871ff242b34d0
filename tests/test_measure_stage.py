from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from stages import measure
from stages.common.errors import DataError, ParamsError
from stages.common.records import SCHEMA, write_records, write_vectors

ROOT = Path(__file__).parents[1]
RECORDS = Path("data/records/toy/some/int8")
METRICS = Path("metrics/toy/models/some/int8.json")
TRAJECTORY = Path("metrics/toy/trajectories/some/int8.json")
PARAMS = {
    "suite": "toy",
    "params_file": "params.yaml",
    "wdir": ".",
    "seed": 1,
    "threads": 1,
    "corpus": "text",
    "datasets": {
        "text": {"benchmark": "corpus", "source": "data/sources/wikitext2.yaml"},
        "seat": {"benchmark": "seat", "source": "data/sources/seat.yaml"},
    },
    "models": {"some": {"source": "local", "family": "masked", "path": "some"}},
    "variants": {"fp32": {"method": "none"}, "int8": {"method": "none"}},
    "measures": {"association": {"samples": 200}},
}
RUN = {
    "family": "masked",
    "model": {"architecture": "bert", "parameters": 1234, "stored_bytes": 4936},
    "checkpoints": {"p100": {"fraction": 1.0, "step": 20}, "p005": {"fraction": 0.05, "step": 1}},
    "datasets": {
        "text": {"benchmark": "corpus", "measure": "language_model"},
        "seat": {"benchmark": "seat", "measure": "association"},
    },
}


def texts(bits: float) -> pd.DataFrame:
    """Two texts of 4 and 2 tokens, each token at ``bits`` bits."""
    rows = [
        {
            "item": str(n),
            "category": "test",
            "role": "text",
            "scored": n,
            "words": 2,
            "score": -bits,
            "logprob": -bits * math.log(2) * n,
            "entropy": 1.0,
        }
        for n in (4, 2)
    ]
    return _table("text", rows)


def stimuli(seed: int):
    """A test of 6 against 6 targets and 3 against 3 attributes, with random vectors."""
    rng = np.random.default_rng(seed)
    rows, vectors = [], {}
    for role, size in {"X": 6, "Y": 6, "A": 3, "B": 3}.items():
        for position in range(size):
            key = f"{role}{position}"
            vectors[key] = rng.normal(size=8).astype(np.float32)
            rows.append(
                {
                    "item": f"sent-weat6/{role}/{position:04d}",
                    "category": "gender",
                    "role": role,
                    "scored": 0,
                    "text_sha": key,
                    "words": 3,
                }
            )
    return _table("seat", rows), vectors


def _table(dataset: str, rows: list[dict]) -> pd.DataFrame:
    blank = {
        "cluster": "",
        "direction": "",
        "text_sha": "0",
        "tokens": 5,
        "score": np.nan,
        "logprob": np.nan,
        "entropy": np.nan,
        "ids": (),
    }
    return pd.DataFrame([{"dataset": dataset, **blank, **row} for row in rows], columns=SCHEMA.names)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    for seed, (checkpoint, bits) in enumerate({"p005": 6.0, "p100": 3.0}.items()):
        write_records(RECORDS / checkpoint / "text.parquet", texts(bits))
        records, vectors = stimuli(seed)
        write_records(RECORDS / checkpoint / "seat.parquet", records)
        write_vectors(RECORDS / checkpoint / "seat.vectors.parquet", vectors)
    (RECORDS / "run.json").write_text(json.dumps(RUN), encoding="utf-8")
    return tmp_path


def stage(model: str = "some", variant: str = "int8") -> int:
    return measure.main(["--params", "params.yaml", "--model", model, "--variant", variant])


def test_the_metrics_file_is_of_the_last_checkpoint(project):
    assert stage() == 0
    metrics = json.loads(METRICS.read_text())
    assert set(metrics) == {"text", "seat", "model"}
    assert metrics["text"]["test"]["perplexity"] == 8.0  # 3 bits a token
    assert metrics["text"]["test"]["word_perplexity"] == pytest.approx(2 ** (3 * 6 / 4), abs=1e-6)
    assert metrics["seat"]["gender"]["tests"] == 1
    assert metrics["seat"]["sent-weat6"]["splits"] == 200  # the suite's own setting: C(12, 6) = 924 is more
    assert metrics["model"] == {"architecture": "bert", "family": "masked", "parameters": 1234, "stored_bytes": 4936}


def test_the_trajectory_has_a_flat_row_for_every_number_of_every_checkpoint(project):
    stage()
    rows = json.loads(TRAJECTORY.read_text())
    assert {tuple(sorted(row)) for row in rows} == {
        ("category", "checkpoint", "dataset", "fraction", "metric", "model", "value", "variant")
    }
    perplexities = [(row["checkpoint"], row["fraction"], row["value"]) for row in rows if row["metric"] == "perplexity"]
    assert perplexities == [("p005", 0.05, 64.0), ("p100", 1.0, 8.0)]
    keys = [(row["fraction"], row["dataset"], row["category"], row["metric"]) for row in rows]
    assert keys == sorted(keys)
    last = json.loads(METRICS.read_text())
    assert {(r["dataset"], r["category"], r["metric"]): r["value"] for r in rows if r["checkpoint"] == "p100"} == {
        (dataset, category, metric): value
        for dataset in ("text", "seat")
        for category, numbers in last[dataset].items()
        for metric, value in numbers.items()
    }


def test_the_same_records_give_the_same_bytes(project):
    stage()
    first = METRICS.read_bytes(), TRAJECTORY.read_bytes()
    stage()
    assert (METRICS.read_bytes(), TRAJECTORY.read_bytes()) == first


def test_a_folder_of_several_checkpoints_is_printed_by_checkpoint(project, capsys):
    assert measure.main([str(RECORDS), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed) == ["p005", "p100"]
    assert printed["p005"]["text"]["test"]["bits_per_token"] == 6.0
    assert printed["p100"]["seat"]["sent-weat6"]["splits"] == 924  # default settings: all of them


def test_a_folder_of_one_checkpoint_is_printed_as_it_is(project, capsys):
    (RECORDS / "run.json").write_text(json.dumps({**RUN, "checkpoints": {"p100": {"fraction": 1.0}}}), encoding="utf-8")
    measure.main([str(RECORDS), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["text"]["test"]["perplexity"] == 8.0
    measure.main([str(RECORDS)])
    table = capsys.readouterr().out
    assert "text.test.perplexity " in table
    assert not table.startswith("{")


def test_names_that_params_do_not_have_are_answered_with_those_they_have(project):
    with pytest.raises(ParamsError, match="unknown model 'sone'; there are: some"):
        stage(model="sone")
    with pytest.raises(ParamsError, match="unknown variant 'int4'; there are: fp32, int8"):
        stage(variant="int4")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"family": "recurrent"}, "family: Input should be"),
        ({"checkpoints": {}}, "checkpoints: Dictionary should have at least 1 item"),
        ({"checkpoints": {"p100": {"step": 3}}}, "checkpoints.p100.fraction: Field required"),
        (
            {"checkpoints": {"p100": {"fraction": 100}}},
            "checkpoints.p100.fraction: Input should be less than or equal to 1",
        ),
        ({"datasets": None}, "datasets: Input should be a valid dictionary"),
        ({"model": []}, "model: Input should be a valid dictionary"),
    ],
)
def test_a_broken_description_names_the_key(project, change, message):
    (RECORDS / "run.json").write_text(json.dumps({**RUN, **change}), encoding="utf-8")
    with pytest.raises(DataError, match=f"run.json: not a description of records: {message}"):
        stage()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda: (RECORDS / "run.json").unlink(), "run.json: no such file"),
        (lambda: (RECORDS / "run.json").write_text("{"), "run.json: not a description of records"),
        (lambda: (RECORDS / "p005/text.parquet").unlink(), r"p005/text.parquet: no such file"),
        (lambda: _truncate(RECORDS / "p100/text.parquet"), "p100/text.parquet: not a readable parquet file"),
        (
            lambda: _truncate(RECORDS / "p100/seat.vectors.parquet"),
            "p100/seat.vectors.parquet: not a readable parquet file",
        ),
        (
            lambda: (RECORDS / "p100/seat.vectors.parquet").unlink(),
            "p100/seat.parquet: no embeddings beside the records",
        ),
        (
            lambda: write_vectors(RECORDS / "p005/seat.vectors.parquet", {"X0": np.ones(8)}),
            "p005/seat.parquet: SEAT test sent-weat6: 5 texts of X have no embedding, the first is X1",
        ),
    ],
)
def test_missing_and_broken_records_are_named_and_earlier_metrics_kept(project, damage, message):
    stage()
    before = METRICS.read_bytes(), TRAJECTORY.read_bytes()
    damage()
    with pytest.raises(DataError, match=message):
        stage()
    assert (METRICS.read_bytes(), TRAJECTORY.read_bytes()) == before


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def test_predictions_go_to_upstreams_evaluation(monkeypatch, capsys):
    from stages.measures import _stereoset_predictions

    def score_predictions(gold: Path, predictions: Path) -> dict:
        assert (gold, predictions) == (Path("g.json"), Path("p.json"))
        return {"intrasentence": {"overall": {"SS Score": 50.0}}}

    monkeypatch.setattr(_stereoset_predictions, "score_predictions", score_predictions)
    measure.main(["stereoset", "--gold", "g.json", "--predictions", "p.json", "--json"])
    assert json.loads(capsys.readouterr().out) == {"intrasentence": {"overall": {"SS Score": 50.0}}}
    measure.main(["stereoset", "--gold", "g.json", "--predictions", "p.json"])
    assert capsys.readouterr().out == "intrasentence.overall.SS Score  50.0\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--params", "p.yaml"],
        ["records", "--model", "some"],
        ["--params", "p", "--model", "m", "--variant", "v", "--json"],
    ],
)
def test_half_a_command_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        measure.main(arguments)
    assert stopped.value.code == 2
    assert "give --params, --model and --variant; or DIR" in capsys.readouterr().err


def test_neither_torch_nor_great_expectations_is_imported(project):
    code = (
        "import sys; from stages.measure import main; "
        "main(['--params', 'params.yaml', '--model', 'some', '--variant', 'int8']); "
        "heavy = {'torch', 'transformers', 'great_expectations', 'mlflow', 'datasets', 'scipy'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
