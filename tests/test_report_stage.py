from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest

from stages.common.errors import DataError
from stages.report import report_suite
from tests.suite_with_training import contrasted

ROOT = Path(__file__).parents[1]
FIGURES = ("changes", "quality", "scores", "agreement", "trajectories")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    root = tmp_path_factory.mktemp("report") / "suite"
    shutil.copytree(contrasted(tmp_path_factory), root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        report_suite("params.yaml")
    return root


@pytest.fixture
def copy(suite, tmp_path, monkeypatch):
    shutil.copytree(suite, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def text_of(root: Path) -> str:
    return (root / "metrics/toy/report.md").read_text()


def files(root: Path) -> dict[str, bytes]:
    found = [root / "metrics/toy/report.md", *sorted((root / "metrics/toy/figures").iterdir())]
    return {path.name: path.read_bytes() for path in found}


def tables(text: str) -> dict[str, list[list[str]]]:
    """The tables of a report as rows of cells, by the heading above them."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.setdefault(heading, []).append([cell.strip() for cell in cells])
    return found


def cell(table: list[list[str]], variant: str, column: str) -> str:
    [row] = [row for row in table if row[0] == variant]
    return row[table[0].index(column)]


def signed(value: float, plus: str = "+") -> str:
    """A number as the report writes it: a real minus sign, and no sign on what rounds to 0."""
    text = f"{value:{plus}.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def test_every_model_of_every_dataset_has_a_table_with_quality_beside_bias(suite):
    found = tables(text_of(suite))
    for dataset, models in (("crows_pairs", ("bert", "gpt")), ("stereoset_dev", ("bert", "gpt")),
                            ("seat", ("bert", "gpt", "sbert"))):
        for model in models:
            assert found[f"{dataset}: {model}"][0][-2:] == ["LM score", "perplexity"]
    assert "crows_pairs: sbert" not in found
    assert all(len(row) == len(table[0]) for table in found.values() for row in table)


def test_the_report_has_no_trace_of_the_run(suite):
    text = text_of(suite)
    assert text.count("../") == 0
    assert not re.search(r"\d{4}-\d\d-\d\d|/tmp|nan|None", text)
    assert "gender 80 pairs in " in text


def test_numbers_in_the_report_are_those_of_the_evidence(suite):
    evidence = pd.read_parquet(suite / "data/evidence/toy.parquet")
    row = evidence[(evidence["model"] == "bert") & (evidence["variant"] == "int8") & (evidence["metric"] == "score")
                   & (evidence["category"] == "race")].iloc[0]
    parent = evidence[(evidence["model"] == "bert") & (evidence["variant"] == "fp32") & (evidence["metric"] == "score")
                      & (evidence["category"] == "race")].iloc[0]
    table = tables(text_of(suite))["crows_pairs: bert"]
    expected = (f"{row['value']:.1f}{'°' if row['inside_floor'] else ''}: {signed(row['change'])} "
                f"[{signed(row['change_low'], '')}, {signed(row['change_high'], '')}] ↑{row['flips_more']:.0f} "
                f"↓{row['flips_less']:.0f} {row['verdict']}")
    assert cell(table, "int8", "race").replace("*", "") == expected
    level = f"{parent['value']:.1f} [{parent['ci_low']:.1f}, {parent['ci_high']:.1f}]"
    assert cell(table, "fp32", "race") == level + ("°" if parent["inside_floor"] else "")
    assert cell(table, r"*untrained network*", "race") == "41.0 to 58.0"


def test_a_model_in_brief_has_its_changes_what_is_beyond_quality_and_its_quality(suite):
    keys = {"model": "bert", "variant": "int8", "dataset": "crows_pairs", "category": "overall", "metric": "log_odds"}
    change, beyond = (
        table[(table[list(keys)] == pd.Series(keys)).all(axis=1)]
        for table in (pd.read_parquet(suite / "data/evidence/toy.parquet"),
                      pd.read_parquet(suite / "data/contrast/toy.parquet").query("analysis == 'matched'"))
    )
    (change,), (beyond,) = change.to_dict("records"), beyond.to_dict("records")
    found = tables(text_of(suite))
    table = found["In brief: bert"]
    shown = cell(table, "int8", "crows_pairs log-odds")
    assert shown.endswith((f"] {change['verdict']}", f"]** {change['verdict']}"))
    first, last = re.search(r"^\**([^ ]+) \[.*?, ([^\]]+)\]", shown).groups()
    assert [float(number.replace("−", "-")) for number in (first, last)] == pytest.approx(
        [change["change"], change["change_high"]], abs=5e-3)
    left = cell(table, "int8", "crows_pairs log-odds, beyond quality").strip("*").split(" ")[0]
    assert float(left.replace("−", "-")) == pytest.approx(beyond["estimate"], abs=5e-3)
    assert cell(table, "fp32", "crows_pairs log-odds, beyond quality") == "–"
    assert table[0][-2:] == ["LM score", "perplexity"]
    assert cell(table, "int8", "perplexity").startswith("×")
    assert "In brief: sbert" not in found  # its one measure does not pool the categories


def test_contrasts_in_the_report_are_those_of_the_contrast_table(suite):
    contrasts = pd.read_parquet(suite / "data/contrast/toy.parquet")
    found = tables(text_of(suite))
    for analysis, column in (("matched", "beyond quality"), ("noise", "beyond noise")):
        row = contrasts[(contrasts["analysis"] == analysis) & (contrasts["model"] == "bert")
                        & (contrasts["variant"] == "int8") & (contrasts["metric"] == "score")
                        & (contrasts["category"] == "overall")].iloc[0]
        expected = f"{signed(row['estimate'])} [{signed(row['low'], '')}, {signed(row['high'], '')}]"
        assert cell(found["crows_pairs: bert"], "int8", column).replace("*", "") == expected
    assert cell(found["seat: bert"], "int8", "beyond quality, race") != "–"
    assert cell(found["crows_pairs: bert"], "noise-a", "beyond noise") == "–"
    match = contrasts[(contrasts["analysis"] == "matched") & (contrasts["variant"] == "int8")
                      & (contrasts["model"] == "bert")].iloc[0]
    glance = next(row for row in found["At a glance"] if row[0] == "int8")
    assert f"like {100 * match['fraction']:.0f}%" in glance[1]
    assert "no measure of quality" not in glance[3]  # a model without a head has no quality to speak of


def test_verdicts_are_counted_at_a_glance_and_findings_listed(suite):
    evidence = pd.read_parquet(suite / "data/evidence/toy.parquet")
    rows = evidence[evidence["headline"] & (evidence["kind"] == "bias") & evidence["verdict"].notna()]
    found = tables(text_of(suite))
    counts = rows[(rows["model"] == "gpt") & (rows["variant"] == "int8")]["verdict"].value_counts()
    glance = next(row for row in found["At a glance"] if row[0] == "int8")[2]
    assert all(f"{number} {name}" in glance for name, number in counts.items())
    graded = evidence[(evidence["metric"] == "log_odds") & evidence["verdict"].notna()]
    listed = found["Changes found"]
    moved = pd.concat([part[part["verdict"].isin(["less", "more"])] for part in (rows, graded)])
    assert len(moved[moved["metric"] == "log_odds"]) > 0
    assert len(listed) - 2 == len(moved)
    expected = {"log_odds": "log-odds", "mean_abs_effect": r"\|d\|", "score": "score", "ss": "SS"}
    assert sorted(tuple(row[:6]) for row in listed[2:]) == sorted(
        (row["model"], row["variant"], row["dataset"], row["category"], expected[row["metric"]], row["verdict"])
        for row in moved.to_dict("records"))
    assert {row[listed[0].index("exceeds")] for row in listed[2:]} == {"none known"}  # the suite has no bars
    told = text_of(suite).split("## At a glance")[1].split("Below")[0]
    headline, beside = told.split("; and of the ")
    assert beside.startswith(f"{len(graded):,} graded log-odds: ")
    for part, text in ((rows, headline), (graded, beside)):
        for name, number in part["verdict"].value_counts().items():
            assert f"{number} {name}" in text


def test_flips_are_shown_from_sure_to_unsure(suite):
    bins = pd.read_parquet(suite / "data/evidence/toy.bins.parquet")
    rows = bins[(bins["model"] == "bert") & (bins["variant"] == "int8") & (bins["dataset"] == "crows_pairs")]
    expected = " ".join(f"{100 * share:.0f}%" for share in rows.sort_values("bin")["flip_share"])
    assert cell(tables(text_of(suite))["crows_pairs: bert"], "int8", "flips, sure to unsure") == expected


def test_trends_and_the_best_checkpoint_are_told(suite):
    found = tables(text_of(suite))
    assert found["Trends"][0] == ["bias", "with", "all", "fp32", "int8"]
    assert any(row[0] == r"seat \|d\|, gender" for row in found["Trends"])
    best = found["The best point to stop"]
    assert best[0][3:] == ["fp32", "int8", "fp32 later than int8"]
    assert {row[2] for row in best[2:]} == {"*mean of models*", "bert", "gpt"}
    table = pd.read_parquet(suite / "data/contrast/toy.parquet")
    told = table[(table["analysis"] == "best_difference") & (table["metric"] == "lm") & (table["model"] != "")
                 & (table["dataset"] == "stereoset_dev")]
    assert len(told) == 2
    left_out = (told["note"] == "not as claimed").sum()
    assert f"the difference in {left_out} of 2 models: " in text_of(suite)


def test_figures_are_self_contained_svg(suite):
    for name in FIGURES:
        data = (suite / f"metrics/toy/figures/{name}.svg").read_text()
        assert ET.fromstring(data).tag.endswith("svg")
        assert "<text" not in data
        assert "href=\"http" not in data
        assert "<dc:date>" not in data
        assert f"figures/{name}.svg" in text_of(suite)


def test_the_same_inputs_give_the_same_bytes_in_another_process(copy):
    before = files(copy)
    settings = copy / "settings"
    settings.mkdir()
    (settings / "matplotlibrc").write_text("font.family: serif\nsvg.fonttype: none\nlines.linewidth: 9\n")
    subprocess.run([sys.executable, "-m", "stages.report", "--params", "params.yaml"], check=True, cwd=copy,
                   env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "1", "MPLCONFIGDIR": str(settings)})
    assert files(copy) == before


def test_models_with_one_checkpoint_alone_give_no_trajectories(copy):
    for path in Path("metrics/toy/trajectories").rglob("*.json"):
        path.write_text(json.dumps([row for row in json.loads(path.read_text()) if row["fraction"] == 1.0]))
    report_suite("params.yaml")
    assert not Path("metrics/toy/figures/trajectories.svg").exists()
    assert "figures/trajectories.svg" not in text_of(copy)


def test_missing_and_malformed_inputs_are_named(copy):
    path = Path("metrics/toy/trajectories/sbert/int8.json")
    path.write_text("[{")
    with pytest.raises(DataError, match=r"sbert/int8\.json: not valid JSON"):
        report_suite("params.yaml")
    path.unlink()
    with pytest.raises(DataError, match=r"sbert/int8\.json: no such file.*cells/sbert/dvc\.yaml:measure@int8"):
        report_suite("params.yaml")
    Path("data/contrast/toy.parquet").unlink()
    with pytest.raises(DataError, match=r"data/contrast/toy\.parquet: no such file"):
        report_suite("params.yaml")
    Path("data/evidence/toy.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"toy\.parquet: not a readable parquet"):
        report_suite("params.yaml")


def test_importing_the_report_imports_neither_torch_nor_matplotlib():
    code = "import stages.report, sys; sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})
