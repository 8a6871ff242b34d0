"""Findings, their noise bars and the brief tables, from a few rows made up by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from stages.evidence.contrast import COLUMNS as CONTRAST_COLUMNS
from stages.evidence.entropy import BIN_COLUMNS
from stages.evidence.table import COLUMNS
from stages.reporting.brief import brief_section
from stages.reporting.overview import findings_section, overview_section
from stages.reporting.tables import dataset_section
from stages.reporting.view import Order, View

ORDER = Order(["m"], ["fp32", "int8", "w4"], "fp32", ("race",), 0.05,
              {"fp32": "baseline", "int8": "quantization", "w4": "quantization"})


def row(variant: str, metric: str, category: str = "overall", **columns: object) -> dict[str, object]:
    made = {"model": "m", "variant": variant, "dataset": "pairs", "category": category, "metric": metric,
            "kind": "bias", "headline": metric == "score", "value": 1.5, "ci_low": 1.0, "ci_high": 2.0, "items": 90,
            "clusters": 9}
    if variant != "fp32":
        made |= {"change": -0.5, "change_low": -0.8, "change_high": -0.2, "p_adjusted": 0.01, "verdict": "less",
                 "bars": "checkpoints"}
    return made | columns


def view(*rows: dict[str, object]) -> View:
    return View(pd.DataFrame(rows).reindex(columns=list(COLUMNS)), pd.DataFrame(columns=list(CONTRAST_COLUMNS)),
                pd.DataFrame(columns=list(BIN_COLUMNS)), ORDER)


def lines(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]


@pytest.mark.parametrize(("bars", "expected"), [
    ("checkpoints", "checkpoints"), ("seeds", "seeds"), ("checkpoints+seeds", "checkpoints, seeds"), ("", "none known"),
])
def test_a_finding_says_what_it_had_to_exceed(bars, expected):
    head, _, found = lines(findings_section(view(row("fp32", "score"), row("int8", "score", bars=bars))))
    assert found[head.index("exceeds")] == expected
    assert found[head.index("verdict")] == "less"


def test_graded_findings_are_listed_after_the_headline_ones():
    made = view(row("int8", "log_odds"), row("w4", "score"), row("int8", "score", verdict="undecided"),
                row("w4", "log_odds", "race", verdict="more"), row("w4", "log_odds", verdict="degraded"))
    found = lines(findings_section(made))[2:]
    assert [line[1:6] for line in found] == [
        ["w4", "pairs", "overall", "score", "less"], ["int8", "pairs", "overall", "log-odds", "less"],
        ["w4", "pairs", "race", "log-odds", "more"]]
    glance = overview_section(made)
    assert "Of 2 headline measures of a category, over all models and variants: 1 less, 1 undecided;" in glance
    assert "and of the 3 graded log-odds: 1 degraded, 1 less, 1 more. " in glance


def test_without_a_finding_there_is_no_section():
    assert findings_section(view(row("int8", "score", verdict="degraded"))) == ""


def test_floors_and_biased_levels_are_marked_in_brief_and_in_the_tables():
    made = view(row("fp32", "score", biased=1.0, inside_floor=0.0), row("int8", "score", inside_floor=1.0),
                row("fp32", "log_odds", biased=0.0, inside_floor=1.0, floor_low=-0.5, floor_high=2.5),
                row("int8", "log_odds", inside_floor=1.0, p_adjusted=0.5))
    head, _, parent, child = lines(brief_section(made, ["pairs"]))
    score, graded = head.index("pairs score"), head.index("pairs log-odds")
    assert (parent[score], parent[graded]) == ("1.5 [1.0, 2.0] biased", "1.50 [1.00, 2.00]°")
    assert (child[score], child[graded]) == ("**−0.5 [−0.8, −0.2]**° less", "−0.50 [−0.80, −0.20]° less")
    head, _, parent, child, floor = lines(dataset_section(made, "pairs"))
    graded = head.index("log-odds")
    assert (parent[graded], child[graded]) == ("1.50 [1.00, 2.00]°", "1.50°: −0.50 [−0.80, −0.20] less")
    assert floor[:3] == ["*untrained network*", "–", "−0.50 to 2.50"]


def test_a_finding_beyond_what_a_table_holds_is_counted():
    rows = [row("int8", "score", f"group {place:02d}") for place in range(43)]
    text = findings_section(view(*rows))
    assert len(lines(text)) == 2 + 40
    assert text.endswith("And 3 more, in the evidence table.")
