"""A suite of four models and 25 variants, as large as they come: its report and figures stay readable."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from stages.evidence.contrast import COLUMNS as CONTRAST_COLUMNS
from stages.evidence.entropy import BIN_COLUMNS
from stages.evidence.settings import Compare
from stages.evidence.table import COLUMNS
from stages.reporting.changes import draw_changes
from stages.reporting.figures import draw_figures
from stages.reporting.heatmap import draw_agreement
from stages.reporting.quality import _points
from stages.reporting.text import report_text
from stages.reporting.view import Order, View

MODELS = ("sentence", "one", "two", "three")
VARIANTS = ("fp32", *(f"v{place:02d}" for place in range(20)), *(f"noise-{place}" for place in range(4)))
DATASETS = ("crows", "dev", "test", "seat")
METRICS = {"crows": "score", "dev": "ss", "test": "ss", "seat": "mean_abs_effect"}
FAMILIES = {name: "control" if name.startswith("noise") else "pruning" for name in VARIANTS} | {"fp32": "baseline"}
CURVES = pd.DataFrame(columns=["model", "variant", "fraction", "dataset", "category", "metric", "value"])


def made_up() -> View:
    rng = np.random.default_rng(0)
    rows, contrasts = [], []
    for model in MODELS:
        for place, variant in enumerate(VARIANTS):
            cost = 0.02 * place**2 / 10
            for dataset, metric in METRICS.items():
                if model == "sentence" and dataset != "seat":
                    continue
                groups = ("gender", "race", "religion") + (("overall",) if dataset != "seat" else ())
                for category in groups:
                    change = np.nan if variant == "fp32" else float(rng.normal(-cost, 0.5))
                    verdict = None if variant == "fp32" else "degraded" if cost > 0.6 else "undecided"
                    row = {"model": model, "variant": variant, "dataset": dataset, "category": category,
                           "metric": metric, "kind": "bias", "headline": True, "value": 50.0, "ci_low": 45.0,
                           "ci_high": 55.0, "items": {"crows": 1500, "dev": 2000, "test": 6000}.get(dataset, 900),
                           "clusters": 90, "change": change, "change_low": change - 1, "change_high": change + 1,
                           "p_adjusted": 0.5, "verdict": verdict}
                    rows.append(row)
                    if variant != "fp32" and model != "sentence":
                        contrasts.append({"analysis": "matched", **{name: row[name] for name in (
                            "model", "variant", "dataset", "category", "metric")}, "estimate": 0.1, "low": -1.0,
                            "high": 1.0, "fraction": 0.8, "fraction_low": 0.7, "fraction_high": 0.9, "note": "",
                            "p_adjusted": 0.9})
            if model != "sentence":
                for dataset, category, metric, value in (("test", "overall", "lm", 80.0),
                                                         ("text", "test", "perplexity", 20 * np.exp(cost))):
                    rows.append({"model": model, "variant": variant, "dataset": dataset, "category": category,
                                 "metric": metric, "kind": "quality", "headline": metric == "perplexity",
                                 "value": value, "parent": np.nan if variant == "fp32" else 20.0, "items": 6000,
                                 "change": np.nan if variant == "fp32" else -cost})
    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    order = Order(MODELS, VARIANTS, "fp32", ("gender", "race", "religion"), 0.05, FAMILIES)
    return View(table, pd.DataFrame(contrasts).reindex(columns=list(CONTRAST_COLUMNS)),
                pd.DataFrame(columns=list(BIN_COLUMNS)), order)


@pytest.fixture(scope="module")
def view():
    return made_up()


def test_the_report_stays_below_450_lines_and_every_variant_is_in_it(view):
    text = report_text(view, "large", DATASETS, ["changes", "quality"], Compare())
    assert len(text.splitlines()) < 450
    glance = text.split("## At a glance")[1].split("\n## ")[0]
    assert [line.split("|")[1].strip() for line in glance.splitlines() if line.startswith("|")][2:] == list(VARIANTS)
    assert "## dev: " in text
    assert "### dev: " not in text  # the larger split stands for it
    assert "### test: one" in text
    assert not re.search(r"\bnan\b|None", text)


def test_a_change_beyond_the_figure_is_clipped_and_said_by_an_arrow(view, tmp_path):
    table = view.table.copy()
    far = (table["model"] == "one") & (table["variant"] == "v03") & (table["dataset"] == "crows")
    table.loc[far, ["change", "change_low", "change_high"]] = [-80.0, -90.0, -70.0]
    wide = View(table, view.contrasts, view.bins, view.order)
    assert draw_changes(wide, tmp_path / "far.svg", ["crows", "test"], 0.95)
    assert draw_changes(view, tmp_path / "near.svg", ["crows", "test"], 0.95)
    far_svg, near_svg = (path.read_text() for path in (tmp_path / "far.svg", tmp_path / "near.svg"))
    assert far_svg != near_svg
    assert 900 < float(re.search(r'height="([\d.]+)pt"', near_svg).group(1)) * 4 / 3 < 1400


def test_figures_of_a_large_suite(view, tmp_path):
    names = draw_figures(view, CURVES, tmp_path, DATASETS, 0.95)
    assert names == ["changes", "quality", "scores"]  # no agreement and no trajectories to draw
    for name in names:
        assert ET.fromstring((tmp_path / f"{name}.svg").read_text()).tag.endswith("svg")


def test_points_of_the_quality_figure(view):
    points = _points(view, "seat")
    assert set(points["model"]) == {"one", "two", "three"}  # perplexity of the sentence encoder is not known
    one = points[points["model"] == "one"].iloc[4]
    rows = view.table[(view.table["model"] == "one") & (view.table["variant"] == "v04")
                      & (view.table["dataset"] == "seat")]
    assert one["change"] == pytest.approx(rows["change"].mean())
    assert np.isnan(one["low"])
    assert one["cost"] == pytest.approx(0.02 * 25 / 10)
    pooled = _points(view, "crows")
    assert (pooled["high"] - pooled["low"]).to_numpy() == pytest.approx(2.0)


def test_agreement_needs_correlations(view, tmp_path):
    assert not draw_agreement(view.contrasts, tmp_path / "none.svg")
    rows = [{"analysis": "agreement", "dataset": "crows", "metric": "score", "category": "overall", "against": other,
             "estimate": value, "items": 9} for other, value in (("test/ss", 0.4), ("test/lm", -0.9))]
    contrasts = pd.DataFrame(rows).reindex(columns=list(CONTRAST_COLUMNS))
    assert draw_agreement(contrasts, tmp_path / "some.svg")
    assert (tmp_path / "some.svg").exists()
