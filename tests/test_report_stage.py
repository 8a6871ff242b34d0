from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest

from stages.common.errors import DataError
from stages.compare import compare_suite
from stages.report import report_suite
from tests.test_compare_stage import ROOT, build


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    root = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        build(root)
        compare_suite("params.yaml")
        _train(root)
        report_suite("params.yaml")
    return root


def _train(root: Path) -> None:
    """Give bert earlier checkpoints: its values at the end, scaled."""
    for path in (root / "metrics/toy/trajectories/bert").glob("*.json"):
        rows = json.loads(path.read_text())
        path.write_text(json.dumps([{**row, "fraction": fraction, "value": fraction * row["value"]}
                                    for fraction in (0.01, 0.1, 0.6, 0.8, 1.0) for row in rows]))


def files(root: Path) -> dict[str, bytes]:
    found = [root / "metrics/toy/report.md", *sorted((root / "metrics/toy/figures").iterdir())]
    return {path.name: path.read_bytes() for path in found}


def test_the_report_shows_every_dataset_with_quality_beside_bias(suite):
    text = (suite / "metrics/toy/report.md").read_text()
    for dataset in ("crows_pairs", "stereoset_dev", "seat"):
        assert f"## {dataset}" in text
    heads = [line for line in text.splitlines() if line.startswith("| model")]
    assert all("LM score" in head and "perplexity" in head for head in heads)
    assert re.search(r"gender 80 pairs in \d+ clusters", text)
    assert text.count("../") == 0
    assert not re.search(r"\d{4}-\d\d-\d\d|/tmp|nan", text)


def test_numbers_in_the_report_are_those_of_the_evidence(suite):
    table = pd.read_parquet(suite / "data/evidence/toy.parquet")
    rows = table[(table["metric"] == "score") & (table["category"] == "race") & (table["variant"] == "int8")]
    row = rows.iloc[0]
    value = f"{row['value']:.1f} [{row['ci_low']:.1f}, {row['ci_high']:.1f}]"
    change = f"{row['change']:+.1f} [{row['change_low']:.1f}, {row['change_high']:.1f}]".replace("-", "−")
    text = (suite / "metrics/toy/report.md").read_text()
    assert value in text
    assert f"{change} ↑{row['flips_more']:.0f} ↓{row['flips_less']:.0f}" in text


def test_tables_have_as_many_cells_in_every_row(suite):
    text = (suite / "metrics/toy/report.md").read_text()
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.M):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_figures_are_self_contained_svg(suite):
    for name in ("scores", "changes", "trajectories"):
        data = (suite / f"metrics/toy/figures/{name}.svg").read_text()
        assert ET.fromstring(data).tag.endswith("svg")
        assert "<text" not in data
        assert "href=\"http" not in data
        assert "<dc:date>" not in data
        assert f"figures/{name}.svg" in (suite / "metrics/toy/report.md").read_text()


def test_the_same_inputs_give_the_same_bytes_in_other_processes(suite):
    before = files(suite)
    settings = suite / "settings"
    settings.mkdir()
    (settings / "matplotlibrc").write_text("font.family: serif\nsvg.fonttype: none\nlines.linewidth: 9\n")
    for hash_seed in ("1", "2"):
        subprocess.run([sys.executable, "-m", "stages.report", "--params", "params.yaml"], check=True, cwd=suite,
                       env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed, "MPLCONFIGDIR": str(settings)})
        assert files(suite) == before


def test_models_with_one_checkpoint_alone_give_no_trajectories(suite, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(suite, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    for path in Path("metrics/toy/trajectories/bert").glob("*.json"):
        path.write_text(json.dumps([row for row in json.loads(path.read_text()) if row["fraction"] == 1.0]))
    report_suite("params.yaml")
    assert not Path("metrics/toy/figures/trajectories.svg").exists()
    assert "trajectories" not in Path("metrics/toy/report.md").read_text()


def test_missing_and_malformed_inputs_are_named(suite, tmp_path, monkeypatch):
    import shutil

    shutil.copytree(suite, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    path = Path("metrics/toy/trajectories/sbert/int8.json")
    path.write_text("[{")
    with pytest.raises(DataError, match=r"sbert/int8\.json: not valid JSON"):
        report_suite("params.yaml")
    path.unlink()
    with pytest.raises(DataError, match=r"sbert/int8\.json: no such file.*measure@sbert-int8"):
        report_suite("params.yaml")
    Path("data/evidence/toy.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"toy\.parquet: not a readable parquet"):
        report_suite("params.yaml")
