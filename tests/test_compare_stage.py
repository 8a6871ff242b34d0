from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from scipy import stats

from stages.common.errors import DataError, ParamsError
from stages.common.metrics_file import flatten
from stages.common.records import read_records, write_records
from stages.compare import compare_suite, main
from stages.evidence.summary import BESIDE, LEAVES
from stages.evidence.table import NAMES
from stages.evidence.verdict import VERDICTS
from stages.measure import measure_suite
from tests.evidence.synthetic import floors, world, write_run

ROOT = Path(__file__).parents[1]
PARAMS = {
    "suite": "toy", "params_file": "params.yaml", "wdir": ".", "seed": 0, "threads": 1, "corpus": "corpus",
    "datasets": {slug: {"benchmark": benchmark, "source": f"data/sources/{benchmark}.yaml"} for slug, benchmark in
                 (("crows_pairs", "crows_pairs"), ("stereoset_dev", "stereoset"), ("seat", "seat"),
                  ("corpus", "corpus"))},
    "models": {"bert": {"source": "local", "family": "masked", "path": "x"},
               "sbert": {"source": "local", "family": "sentence", "path": "y"}},
    "variants": {"fp32": {"method": "none"}, "int8": {"method": "int8_dynamic"}},
    "measures": {"association": {"samples": 200}},
    "compare": {"resamples": 300},
}


def build(root: Path) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    for model in PARAMS["models"]:
        for variant, shrink in (("fp32", 1.0), ("int8", 0.6)):
            records = world(3, shrink)
            if model == "sbert":
                records = {name: part for name, part in records.items() if name.startswith("seat")}
            write_run(root / "data/records/toy" / model / variant, records,
                      "sentence" if model == "sbert" else "masked")
            measure_suite("params.yaml", model, variant)
        (root / "data/floors/toy").mkdir(parents=True, exist_ok=True)
        floors(model).to_parquet(root / f"data/floors/toy/{model}.parquet")


def evidence_row(*names):
    return pd.read_parquet("data/evidence/toy.parquet").set_index(list(NAMES)).loc[names]


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    build(tmp_path)
    return tmp_path


def test_summary_has_the_headline_of_every_cell_with_its_verdict(suite):
    compare_suite("params.yaml")
    summary = json.loads(Path("metrics/toy/summary.json").read_text())
    assert set(summary) == {"bert", "sbert"}
    assert set(summary["bert"]) == {"fp32", "int8"}
    assert set(summary["sbert"]["int8"]) == {"seat"}
    words = {name.rsplit(".", 1)[1] for name, leaf in flatten(summary).items() if isinstance(leaf, str)}
    assert words == {"verdict", "log_odds_verdict", "worst_category"}
    cell = summary["bert"]["int8"]["crows_pairs"]["gender"]
    # One checkpoint and no replicates: nothing is known of the noise of training.
    assert set(cell) == {*LEAVES, *BESIDE["log_odds"].values()} - {"noise", "p_seed"}
    parent = summary["bert"]["fp32"]["crows_pairs"]["gender"]
    assert cell["value"] == pytest.approx(parent["value"] + cell["change"], abs=2e-6)
    assert not {"change", "verdict"} & set(parent)
    assert {"lm", "lm_change"} < set(summary["bert"]["int8"]["stereoset_dev"]["overall"])


def test_the_summary_prints_the_measures_numbers(suite):
    compare_suite("params.yaml")
    summary = json.loads(Path("metrics/toy/summary.json").read_text())["bert"]["int8"]
    printed = json.loads(Path("metrics/toy/models/bert/int8.json").read_text())
    assert round(summary["crows_pairs"]["race"]["value"], 2) == printed["crows_pairs"]["race"]["score"]
    assert summary["stereoset_dev"]["race"]["value"] == printed["stereoset_dev"]["race"]["ss"]
    assert summary["stereoset_dev"]["overall"]["lm"] == printed["stereoset_dev"]["overall"]["lm"]
    assert summary["seat"]["gender"]["value"] == printed["seat"]["gender"]["mean_abs_effect"]
    assert summary["corpus"]["test"]["value"] == printed["corpus"]["test"]["perplexity"]


def test_the_table_is_tidy_and_the_same_bytes_in_another_process(suite):
    compare_suite("params.yaml")
    files = [Path("data/evidence/toy.parquet"), Path("metrics/toy/summary.json")]
    before = [path.read_bytes() for path in files]
    table = pd.read_parquet(files[0])
    assert not table.duplicated(list(NAMES)).any()
    subprocess.run([sys.executable, "-m", "stages.compare", "--params", "params.yaml"], check=True,
                   env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"})
    assert [path.read_bytes() for path in files] == before


def test_metrics_of_other_records_are_refused(suite):
    path = suite / "data/records/toy/bert/int8/p100/crows_pairs.parquet"
    records = read_records(path)
    write_records(path, records.assign(score=-records["score"], logprob=-records["logprob"]))
    with pytest.raises(DataError, match=r"bert/int8\.json: crows_pairs gender: (score|log_odds) is"):
        compare_suite("params.yaml")
    assert not Path("metrics/toy/summary.json").exists()


def test_a_student_is_compared_with_its_teacher_and_cells_left_out_need_no_records(suite):
    student = {"source": "local", "family": "masked", "path": "z", "teacher": "bert"}
    variants = {**PARAMS["variants"], "int8": {"method": "int8_dynamic", "only": ["bert", "sbert"]}}
    Path("params.yaml").write_text(yaml.safe_dump(
        {**PARAMS, "models": {**PARAMS["models"], "student": student}, "variants": variants}))
    write_run(suite / "data/records/toy/student/fp32", world(3, 0.5))
    measure_suite("params.yaml", "student", "fp32")
    floors("student").to_parquet("data/floors/toy/student.parquet")
    compare_suite("params.yaml")
    summary = json.loads(Path("metrics/toy/summary.json").read_text())
    assert set(summary["student"]) == {"fp32"}
    found, teacher = (summary[model]["fp32"]["stereoset_dev"]["race"] for model in ("student", "bert"))
    assert found["value"] - found["change"] == pytest.approx(teacher["value"], abs=2e-6)
    assert found["verdict"] in VERDICTS
    assert "verdict" not in teacher


def test_missing_records_name_the_file_and_what_to_run(suite):
    (suite / "data/records/toy/sbert/int8/run.json").unlink()
    with pytest.raises(DataError, match=r"sbert/int8/run\.json: no such file"):
        compare_suite("params.yaml")


def test_any_two_folders_can_be_compared(suite, capsys):
    folders = ["data/records/toy/bert/fp32", "data/records/toy/bert/int8"]
    assert main([*folders, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["model"], row["variant"]) for row in rows} == {("fp32", "int8")}
    pairs = next(row for row in rows if (row["metric"], row["category"]) == ("score", "overall"))
    assert pairs["flips_more"] == int(pairs["flips_more"])
    assert pairs["paired_items"] == 300
    assert main(folders) == 0
    assert "crows_pairs" in capsys.readouterr().out


def test_values_are_set_beside_the_floors_of_untrained_networks(suite):
    compare_suite("params.yaml")
    found = evidence_row("bert", "int8", "crows_pairs", "race", "score")
    # Five networks of 46, 48, 50, 52, 54: sd sqrt(10); t(4, .975) = 2.776445; times sqrt(1 + 1/5).
    half = 2.776445 * 10**0.5 * 1.2**0.5
    assert (found["floor_low"], found["floor_high"]) == pytest.approx((50 - half, 50 + half), rel=1e-6)
    assert found["floor_sds"] == pytest.approx((found["value"] - 50) / 10**0.5)
    assert found["inside_floor"] == (abs(found["value"] - 50) < half)
    assert (found["null_low"], found["null_high"]) == (30.0, 70.0)
    cell = json.loads(Path("metrics/toy/summary.json").read_text())["bert"]["int8"]["crows_pairs"]["race"]
    assert cell["inside_floor"] == 1


def test_what_another_seed_changes_bounds_what_is_called_a_change(suite):
    name = ("bert", "int8", "crows_pairs", "overall", "log_odds")
    compare_suite("params.yaml")
    alone = evidence_row(*name)
    assert (alone["verdict"], alone["bars"], pd.isna(alone["p_seed"])) == ("less", "", True)
    path = suite / "data/floors/toy/bert.parquet"
    about = dict(zip(("dataset", "category", "metric"), name[2:], strict=True))
    replicates = [{"model": "bert", "null": "seed", **about, "seed": seed, "value": alone["parent"] + shift}
                  for seed, shift in ((1, 0.3), (2, -0.3))]
    pd.concat([floors("bert"), pd.DataFrame(replicates)]).to_parquet(path)
    compare_suite("params.yaml")
    found = evidence_row(*name)
    # Parent and replicates spread by 0.3: t with 2 degrees of freedom of the change over 0.3 sqrt 2.
    assert found["p_seed"] == pytest.approx(2 * stats.t.sf(abs(found["change"]) / (0.3 * 2**0.5), 2), rel=1e-6)
    assert found["p_adjusted"] >= found["p_seed"] > 0.05
    assert (found["verdict"], found["bars"]) == ("undecided", "seeds")
    verdict = {"noise": ["checkpoints"]}
    Path("params.yaml").write_text(yaml.safe_dump({**PARAMS, "compare": {**PARAMS["compare"], "verdict": verdict}}))
    compare_suite("params.yaml")
    assert evidence_row(*name)["verdict"] == "less"


def test_a_level_is_biased_outside_the_floor_and_the_joint_interval(suite):
    compare_suite("params.yaml")
    table = pd.read_parquet("data/evidence/toy.parquet")
    claimed = table["metric"].isin(["score", "ss", "log_odds"])
    assert table.loc[claimed, "biased"].isin([0.0, 1.0]).all()
    assert table.loc[~claimed, "biased"].isna().all()  # SEAT's magnitude and quality have no value of no preference
    found = table[claimed]
    neutral = found["metric"].map({"score": 50.0, "ss": 50.0, "log_odds": 0.0})
    inside = (found["ci_low"] <= neutral) & (neutral <= found["ci_high"])
    biased = found["biased"] == 1
    assert biased.any()
    assert not (biased & (inside | (found["inside_floor"] == 1))).any()


def test_training_noise_bounds_what_is_called_a_change(suite):
    compare_suite("params.yaml")
    name = ("bert", "int8", "crows_pairs", "overall", "log_odds")
    path = Path("metrics/toy/trajectories/bert/fp32.json")
    [last] = [row for row in json.loads(path.read_text())
              if (row["dataset"], row["category"], row["metric"]) == name[2:]]
    alone = evidence_row(*name)
    assert (alone["verdict"], pd.isna(alone["noise"])) == ("less", True)  # one checkpoint says nothing of noise
    path.write_text(json.dumps([last | {"fraction": fraction, "value": value}
                                for fraction, value in ((0.5, 0.0), (0.8, 0.3), (1.0, 0.0))]))
    compare_suite("params.yaml")
    found = evidence_row(*name)
    assert found["noise"] == pytest.approx(4.302653 * 0.3, rel=1e-6)  # t(2, .975) times the root mean square
    assert (found["verdict"], found["bars"]) == ("undecided", "checkpoints")


def test_the_group_that_moved_most_stands_beside_the_average(suite):
    compare_suite("params.yaml")
    summary = json.loads(Path("metrics/toy/summary.json").read_text())["bert"]["int8"]
    for dataset in ("crows_pairs", "stereoset_dev", "seat"):
        changes = {name: cell["change"] for name, cell in summary[dataset].items() if name != "overall"}
        worst = max(changes, key=lambda name: abs(changes[name]))
        overall = summary[dataset]["overall"]
        assert (overall["worst_category"], overall["worst_change"]) == (worst, changes[worst])
        assert overall["mean_abs_change"] == pytest.approx(sum(map(abs, changes.values())) / 3, abs=2e-6)


def test_flips_by_entropy_are_written_and_summed_up(suite):
    compare_suite("params.yaml")
    bins = pd.read_parquet("data/evidence/toy.bins.parquet")
    # All synthetic records have the same entropy: one bin, and nothing to contrast.
    assert bins.groupby(["model", "dataset"])["bin"].unique().map(list).tolist() == [[1], [1]]
    path = suite / "data/records/toy/bert/fp32/p100/crows_pairs.parquet"
    records = read_records(path)
    write_records(path, records.assign(entropy=records["item"].str[-2:].astype(float)))
    compare_suite("params.yaml")
    bins = pd.read_parquet("data/evidence/toy.bins.parquet").query("dataset == 'crows_pairs'")
    assert bins["bin"].tolist() == [1, 2, 3, 4]
    overall = json.loads(Path("metrics/toy/summary.json").read_text())["bert"]["int8"]["crows_pairs"]["overall"]
    assert bins[["flips_more", "flips_less"]].sum().tolist() == [overall["flips_more"], overall["flips_less"]]
    assert overall["flips_certain"] == pytest.approx(bins["flip_share"].iloc[0], abs=1e-6)


def test_missing_floors_name_the_file_and_what_to_run(suite):
    (suite / "data/floors/toy/sbert.parquet").unlink()
    with pytest.raises(DataError, match=r"data/floors/toy/sbert\.parquet: no such file \(dvc repro floor@sbert\)"):
        compare_suite("params.yaml")


@pytest.mark.parametrize(("key", "value", "message"), [
    ("equivalence", {"scores": 3.0}, "'score', 'ss'"),
    ("categories", ["gender", "relgion"], "no dataset has the category 'relgion'"),
    ("power", 1.2, "compare: power"),
    ("verdict", {"correction": "bonferroni"}, "compare: verdict.correction: Input should be 'bh' or 'holm'"),
    ("verdict", {"noise": ["seed"]}, "verdict.noise.0: Input should be 'checkpoints' or 'seeds'"),
    ("floor", {"seeds": 1}, "compare: floor.seeds"),
])
def test_mistakes_in_params_are_named(suite, key, value, message):
    Path("params.yaml").write_text(yaml.safe_dump({**PARAMS, "compare": {**PARAMS["compare"], key: value}}))
    with pytest.raises(ParamsError, match=message):
        compare_suite("params.yaml")


@pytest.mark.parametrize("arguments", [[], ["one"], ["a", "b", "c"], ["--params", "params.yaml", "--json"]])
def test_wrong_arguments_end_with_usage(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_comparing_imports_no_torch():
    code = "import stages.compare, stages.report, sys; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})
