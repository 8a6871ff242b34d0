from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from stages.evidence.contrast_levels import Levels
from stages.evidence.trends import ALL, tau_a, trend, trend_rows
from stages.evidence.trends_best import CEILING, Best, best_fraction, best_rows
from stages.evidence.trends_size import MIXED, Size, size_rows


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


def rows_of(table: pd.DataFrame, sizes: dict[str, Size], along: tuple[str, ...] = ("fp32", "int8")) -> pd.DataFrame:
    return pd.DataFrame(trend_rows(table, sizes, baseline="fp32", along=along, headlines=[("ss", "ss")],
                                   categories=("race",), lm="ss", seed=0))


def test_rows_of_each_group_and_of_all_together():
    table = curves({("a", "fp32"): [50, 52, 54, 56], ("a", "int8"): [50, 51, 52, 53], ("b", "fp32"): [56, 54, 52, 50],
                    ("b", "int8"): [53, 52, 51, 50], ("c", "fp32"): [60]})
    found = rows_of(table, {name: Size("bert masked", size) for name, size in (("a", 10), ("b", 20), ("c", 30))})
    assert set(zip(found["variant"], found["against"], strict=True)) == {
        (ALL, "lm"), (ALL, "fraction"), ("fp32", "lm"), ("fp32", "fraction"), ("int8", "lm"), ("int8", "fraction"),
        ("fp32", "parameters of bert masked")}
    both = found[(found["variant"] == ALL) & (found["against"] == "lm")].iloc[0]
    assert (both["items"], both["clusters"]) == (16, 2)  # a single checkpoint is no line; variants are one run
    assert both["reference"] == pytest.approx(0.0)
    assert both["p_value"] == 1.0
    lm = np.tile([60.0, 61, 62, 63], 4)
    bias = np.array([50, 52, 54, 56, 50, 51, 52, 53, 56, 54, 52, 50, 53, 52, 51, 50])
    assert both["estimate"] == pytest.approx(kendalltau(lm, bias, variant="c").statistic)
    size = found[found["against"] == "parameters of bert masked"].iloc[0]
    assert (size["items"], size["estimate"]) == (3, pytest.approx(kendalltau([1, 2, 3], [56, 50, 60], variant="c")[0]))


def test_a_variants_own_training_is_not_pooled_with_its_parents():
    table = curves({("a", "fp32"): [50, 51, 52], ("a", "int8"): [51, 52, 53], ("a", "student"): [60, 40, 20]})
    found = rows_of(table, {}).set_index(["variant", "against"])
    assert found.loc[(ALL, "fraction"), ["items", "estimate"]].tolist() == [6, pytest.approx(
        kendalltau([1, 2, 3, 1, 2, 3], [50, 51, 52, 51, 52, 53], variant="c").statistic)]
    assert found.loc[("student", "fraction"), "estimate"] == pytest.approx(-1.0)
    assert ALL not in set(rows_of(table, {}, along=("fp32",))["variant"])  # one of them alone is no group


def levels(values: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame([{"model": model, "fraction": fraction, "value": value + shift}
                         for model, value in values.items() for fraction, shift in ((0.5, -40.0), (1.0, 0.0))])


def test_size_is_compared_within_a_kind_of_model():
    sizes = {"a": Size("bert masked", 10), "b": Size("bert masked", 20), "c": Size("bert masked", 40),
             "x": Size("gpt_neox causal", 5), "y": Size("gpt_neox causal", 50)}
    bias = levels({"a": 50, "b": 52, "c": 51, "x": 70, "y": 10, "unknown": 0})
    [row] = size_rows(bias, sizes)
    assert (row["against"], row["items"]) == ("parameters of bert masked", 3)
    # Pairs a-b and a-c rise, b-c falls: (2 - 1) / 3, and with three values in three ranks tau-c is the same.
    assert row["estimate"] == pytest.approx(1 / 3)
    assert row["p_value"] == pytest.approx(kendalltau([10, 20, 40], [50, 52, 51]).pvalue)
    assert "note" not in row


def test_models_of_different_kinds_are_described_and_not_tested():
    sizes = {"a": Size("bert masked", 10), "b": Size("bert masked", 20), "x": Size("gpt_neox causal", 5)}
    [row] = size_rows(levels({"a": 50, "b": 52, "x": 40}), sizes)
    assert (row["against"], row["note"], row["items"]) == ("parameters", MIXED, 3)
    assert row["estimate"] == pytest.approx(1.0)
    assert "p_value" not in row
    assert not list(size_rows(levels({"a": 50, "b": 52}), sizes))  # two sizes are no trend


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


def test_a_best_checkpoint_at_the_ceiling_tests_nothing():
    fractions = np.array([0.2, 0.8, 1.0])
    at, below = still([99.0, 100.0, 100.0]), still([90.0, 95.0, 99.9])
    full, int8 = (best_fraction(at, lm, fractions, "lm") for lm in (at, below))
    assert (full.value, full.ceiling, int8.ceiling) == (0.8, True, False)
    assert not best_fraction(at, at, fractions, "icat").ceiling  # ICAT has no best score that many models reach
    rows = pd.DataFrame(best_rows({("a", "fp32"): full, ("a", "int8"): int8}, baseline="fp32",
                                  claims={"fp32": 0.8, "int8": 0.2}, confidence=0.95, where={"metric": "lm"}))
    rows = rows.set_index(["analysis", "variant"])
    assert rows["note"].to_dict() == {("best", "fp32"): CEILING, ("best", "int8"): "not as claimed",
                                      ("best_difference", "int8"): CEILING}
    assert "p_value" not in rows
