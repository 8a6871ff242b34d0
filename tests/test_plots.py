"""What ``dvc plots`` draws: the gathered rows, the templates, and the page that needs no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from stages import plots
from stages.common.errors import DataError
from stages.common.params import Params
from stages.plots_html import page

ROOT = Path(plots.__file__).parents[1]
PARAMS = Params.model_validate({
    "suite": "lab", "params_file": "params.yaml", "wdir": ".", "seed": 1, "threads": 1, "corpus": "text",
    "datasets": {"text": {"benchmark": "corpus", "source": "x"}},
    "models": {"b": {"source": "local", "family": "masked", "path": "x"},
               "a": {"source": "local", "family": "masked", "path": "x"}},
    "variants": {"fp32": {"method": "none"}, "int8": {"method": "int8"}},
})


def template(name: str) -> dict[str, Any]:
    return json.loads((ROOT / f".dvc/plots/{name}.json").read_text(encoding="utf-8"))


def write_cell(folder: Path, model: str, variant: str) -> None:
    row = {"model": model, "variant": variant, "dataset": "crows_pairs", "fraction": 1.0, "value": 57.25}
    rows = [
        {**row, "category": "gender", "metric": "score"},
        {**row, "category": "gender", "metric": "n"},
        {**row, "category": "disability", "metric": "score"},
    ]
    path = folder / model / f"{variant}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


def test_headlines_of_the_drawn_categories_are_kept_in_the_order_of_params(tmp_path: Path) -> None:
    for model in "ab":
        for variant in ("int8", "fp32", "retired"):
            write_cell(tmp_path, model, variant)
    rows = plots.trajectories(PARAMS, tmp_path)
    assert [(row["model"], row["variant"]) for row in rows] == [
        ("b", "fp32"), ("b", "int8"), ("a", "fp32"), ("a", "int8")
    ]
    assert {(row["category"], row["metric"]) for row in rows} == {("gender", "score")}


def test_a_missing_cell_is_named(tmp_path: Path) -> None:
    write_cell(tmp_path, "b", "fp32")
    with pytest.raises(DataError, match=r"b/int8\.json: no such file"):
        plots.trajectories(PARAMS, tmp_path)


def test_changes_leave_out_parents_and_missing_intervals() -> None:
    whole = {"value": 56.0, "change": -1.25, "change_low": -3.0, "change_high": 0.5}
    summary = {"m": {
        "fp32": {"crows_pairs": {"gender": {"value": 57.25}}},
        "int8": {"crows_pairs": {"gender": whole, "race": {"value": 60.0, "change": 0.0}}},
    }}
    cell = {"model": "m", "variant": "int8", "dataset": "crows_pairs"}
    assert plots.changes(summary) == [
        {**cell, "category": "gender", "change": -1.25, "low": -3.0, "high": 0.5},
        {**cell, "category": "race", "change": 0.0},
    ]


def test_the_template_draws_what_the_stage_gathers() -> None:
    metric, category, _ = template("trajectories")["transform"]
    assert metric["filter"]["oneOf"] == list(plots.HEADLINES)
    assert category["filter"]["oneOf"] == list(plots.CATEGORIES)


@pytest.mark.parametrize(("name", "x", "y"), [("trajectories", "fraction", "value"), ("changes", "change", "variant")])
def test_dvc_fills_the_templates(name: str, x: str, y: str) -> None:
    rows = [{"fraction": 0.05, "value": 57.25, "change": -1.25, "variant": "int8", "rev": "workspace"}]
    properties = {"template": name, "x": x, "y": y, "title": "A title", "template_dir": str(ROOT / ".dvc/plots")}
    filled = VegaRenderer(rows, name, **properties).get_filled_template()
    assert filled["data"]["values"] == rows
    assert filled["title"] == "A title"
    assert "<DVC_METRIC" not in json.dumps(filled)
    assert f'"field": "{x}"' in json.dumps(filled)


def test_the_offline_page_carries_its_script_and_loads_nothing() -> None:
    text = page('window.draw = "</script>";')
    html = HTML(text).with_element("<div>chart</div>").with_scripts("<script src='https://cdn'></script>").embed()
    assert "<div>chart</div></body>" in html
    assert "https://" not in html
    assert html.count("</script>") == 1
    assert "{refresh_tag}" not in html
