from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from stages.evidence.contrast_levels import Levels
from stages.evidence.trends import ALL, tau_a, trend, trend_rows
from stages.evidence.trends_best import Best, best_fraction, best_rows


def test_tau_c_by_stuarts_formula():
    x, y = np.array([1.0, 2, 2, 3, 4]), np.array([10.0, 10, 30, 20, 40])
    concordant = discordant = 0
    for i in range(5):
        for j in range(i):
            sign = np.sign((x[i] - x[j]) * (y[i] - y[j]))
            concordant, discordant = concordant + (sign > 0), discordant + (sign < 0)
    m = min(len(set(x)), len(set(y)))
    found = trend(x, y, np.array(["r"] * 5))
    assert found.tau_c == pytest.approx(2 * m * (concordant - discordant) / (5**2 * (m - 1)))
    assert found.within == pytest.approx((concordant - discordant) / 10)
    assert (found.points, found.runs, found.p_value) == (5, 1, 1.0)  # one run shows nothing about runs


def test_tau_a_counts_ties_for_neither():
    assert tau_a(np.array([1.0, 2, 3]), np.array([1.0, 1, 3])) == pytest.approx(2 / 3)
    assert tau_a(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == -1


def test_no_p_lies_below_what_so_many_runs_can_show():
    x = np.tile(np.arange(8.0), 4)
    found = trend(x, x, np.repeat(list("abcd"), 8))
    assert (found.tau_c, found.within, found.p_value) == (pytest.approx(1.0), 1.0, 2 / 2**4)
    assert found.p_naive < 1e-8


def test_checkpoints_taken_as_independent_find_what_is_not_there_and_runs_do_not():
    """Quality and bias wander independently over 8 runs of 10 checkpoints; quality improves on average."""
    rng = np.random.default_rng(0)
    runs = np.repeat(np.arange(8), 10).astype(str)
    simulations, naive, by_run = 300, 0, 0
    for _ in range(simulations):
        quality = np.cumsum(rng.normal(0.5, 1, (8, 10)), axis=1).ravel()
        bias = np.cumsum(rng.normal(0, 1, (8, 10)), axis=1).ravel()
        found = trend(quality, bias, runs)
        naive += found.p_naive < 0.05
        by_run += found.p_value < 0.05
    assert naive / simulations > 0.25
    assert by_run / simulations < 0.075


def test_the_test_over_runs_finds_what_is_there():
    rng = np.random.default_rng(0)
    runs = np.repeat(np.arange(8), 10).astype(str)
    found = 0
    for _ in range(50):
        quality = np.cumsum(rng.normal(0.5, 1, (8, 10)), axis=1)
        bias = quality + rng.normal(0, 1, (8, 10))
        found += trend(quality.ravel(), bias.ravel(), runs).p_value < 0.05
    assert found > 45


def curves(values: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    rows = []
    for (model, variant), biases in values.items():
        for place, bias in enumerate(biases):
            where = {"model": model, "variant": variant, "fraction": (place + 1) / len(biases)}
            rows.append({**where, "dataset": "ss", "category": "race", "metric": "ss", "value": bias})
            rows.append({**where, "dataset": "ss", "category": "overall", "metric": "lm", "value": 60.0 + place})
    return pd.DataFrame(rows)


def test_rows_of_each_group_and_of_all_together():
    table = curves({("a", "fp32"): [50, 52, 54, 56], ("a", "int8"): [50, 51, 52, 53], ("b", "fp32"): [56, 54, 52, 50],
                    ("b", "int8"): [53, 52, 51, 50], ("c", "fp32"): [60]})
    found = pd.DataFrame(trend_rows(table, {"a": 10, "b": 20, "c": 30}, baseline="fp32", headlines=[("ss", "ss")],
                                    categories=("race",), lm="ss", seed=0))
    assert set(zip(found["variant"], found["against"], strict=True)) == {
        (ALL, "lm"), (ALL, "fraction"), ("fp32", "lm"), ("fp32", "fraction"), ("int8", "lm"), ("int8", "fraction"),
        ("fp32", "parameters")}
    both = found[(found["variant"] == ALL) & (found["against"] == "lm")].iloc[0]
    assert (both["items"], both["clusters"]) == (16, 2)  # a single checkpoint is no line; variants are one run
    assert both["reference"] == pytest.approx(0.0)
    assert both["p_value"] == 1.0
    lm = np.tile([60.0, 61, 62, 63], 4)
    bias = np.array([50, 52, 54, 56, 50, 51, 52, 53, 56, 54, 52, 50, 53, 52, 51, 50])
    assert both["estimate"] == pytest.approx(kendalltau(lm, bias, variant="c").statistic)
    size = found[found["against"] == "parameters"].iloc[0]
    assert (size["items"], size["estimate"]) == (3, pytest.approx(kendalltau([1, 2, 3], [56, 50, 60], variant="c")[0]))


def still(values: list[float]) -> Levels:
    return Levels(np.array(values), np.tile(values, (50, 1)), (), (), 1, 1)


def test_the_best_checkpoint_by_hand():
    fractions = np.array([0.1, 0.2, 0.8, 1.0])
    lm, ss = still([70.0, 80, 90, 90]), still([50.0, 52, 70, 65])
    assert best_fraction(ss, lm, fractions, "lm").value == 0.8  # of equally good ones, the earliest
    # ICAT: 70, 80 * .96 = 76.8, 90 * .6 = 54, 90 * .7 = 63.
    assert best_fraction(ss, lm, fractions, "icat").value == 0.2


def test_intervals_of_the_best_fraction_end_at_checkpoints():
    fractions = np.array([0.1, 0.5, 1.0])
    rng = np.random.default_rng(0)
    lm = Levels(np.array([60.0, 70, 70.2]), np.array([60.0, 70, 70.2]) + rng.normal(0, 0.5, (1000, 3)), (), (), 9, 9)
    best = best_fraction(lm, lm, fractions, "lm")
    assert (best.value, best.bounds(0.95)) == (1.0, (0.5, 1.0))


def test_the_studys_claim_is_set_against_the_difference():
    full, int8 = Best(0.8, np.array([0.8] * 90 + [1.0] * 10)), Best(0.2, np.array([0.2] * 95 + [0.8] * 5))
    late = Best(1.0, np.full(100, 1.0))
    found = {("a", "fp32"): full, ("a", "int8"): int8, ("b", "fp32"): late, ("b", "int8"): late}
    rows = pd.DataFrame(best_rows(found, baseline="fp32", claims={"fp32": 0.8, "int8": 0.2}, confidence=0.8,
                                  where={"dataset": "ss", "category": "overall", "metric": "lm"}))

    def row(analysis, model, variant):
        chosen = rows[(rows["analysis"] == analysis) & (rows["model"] == model) & (rows["variant"] == variant)]
        return chosen.iloc[0]

    gain = row("best_difference", "a", "int8")
    assert (gain["estimate"], gain["reference"], gain["note"]) == (pytest.approx(0.6), pytest.approx(0.6), "as claimed")
    assert row("best_difference", "b", "int8")["note"] == "not as claimed"
    assert row("best_difference", "b", "int8")["p_value"] == 1.0
    mean = row("best_difference", "", "int8")
    assert mean["estimate"] == pytest.approx(0.3)
    assert row("best", "", "fp32")["estimate"] == pytest.approx(0.9)
    assert len(rows) == 6 + 3
