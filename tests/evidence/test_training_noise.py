from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages.evidence.floors import FLOOR_COLUMNS
from stages.evidence.table import evidence_table
from stages.evidence.training_noise import checkpoint_noise, seed_p, with_noise, with_seed_noise

CELL = {"dataset": "d", "category": "c", "metric": "ss"}


def test_models_that_differ_by_their_seed_exceed_it_as_often_as_the_level_says():
    rng = np.random.default_rng(1)
    scales = np.arange(1.0, 5.0)
    p_values = []
    for _ in range(1000):
        values = rng.normal(0, scales, (7, 4)).T
        table = pd.DataFrame({"metric": "log_odds", "value": values[:, 5], "parent": values[:, 6]})
        p_values.append(seed_p(table, pd.DataFrame(values[:, :5])))
    assert (np.array(p_values) < 0.1).mean() == pytest.approx(0.1, abs=0.02)


def test_effects_spread_by_factors_over_seeds():
    # Logs of .1, .2, .4 have the spread ln 2; ln(.8 / .1) / (ln 2 * sqrt 2) = 2.1213, Student's t with 2 degrees.
    table = pd.DataFrame({"metric": ["mean_abs_effect"], "value": [0.8], "parent": [0.1]})
    expected = 2 * stats.t.sf(3 / np.sqrt(2), 2)
    assert seed_p(table, pd.DataFrame([[0.1, 0.2, 0.4]])) == pytest.approx([expected])


def test_of_seeds_that_agree_wholly_nothing_is_known_but_that_no_change_is_none():
    table = pd.DataFrame({"metric": "ss", "value": [50.0, 51.0], "parent": [50.0, 50.0]})
    assert seed_p(table, pd.DataFrame([[50.0, 50.0]] * 2)) == pytest.approx([1.0, np.nan], nan_ok=True)


def test_children_are_set_beside_their_parent_and_its_replicates():
    about = {"dataset": "d", "metric": "ss", "kind": "bias", "p_value": 0.001}
    table = evidence_table([
        {"model": "m", **about, "variant": "fp32", "category": "c", "value": 50.0, "p_value": np.nan},
        {"model": "m", **about, "variant": "int8", "category": "c", "value": 44.0, "parent": 50.0, "change": -6.0},
        {"model": "m", **about, "variant": "int8", "category": "other", "value": 4.0, "parent": 50.0, "change": -46.0},
        {"model": "n", **about, "variant": "int8", "category": "c", "value": 44.0, "parent": 50.0, "change": -6.0},
    ])
    floors = pd.DataFrame([{"model": "m", "null": null, **CELL, "seed": seed, "value": value}
                           for null, seed, value in (("seed", 1, 52.0), ("seed", 2, 54.0), ("random_init", 1, 90.0))],
                          columns=list(FLOOR_COLUMNS))
    found = with_seed_noise(table, floors).set_index(["model", "variant", "category"])
    # Parent and replicates 50, 52, 54 have the spread 2: 6 / (2 sqrt 2), Student's t with 2 degrees of freedom.
    expected = 2 * stats.t.sf(3 / math.sqrt(2), 2)
    assert found.loc[("m", "int8", "c"), "p_seed"] == pytest.approx(expected)
    assert found["p_seed"].notna().sum() == 1
    # .001, .001 and .1678 are corrected together: .001 x 3/2 and .1678 x 3/3.
    assert found.loc[("m", "int8", "c"), "p_adjusted"] == pytest.approx(expected)
    assert found.loc[("n", "int8", "c"), "p_adjusted"] == pytest.approx(0.0015)
    assert with_seed_noise(table, floors[floors["null"] != "seed"])["p_seed"].isna().all()


def test_a_parent_among_its_replicates_makes_the_test_no_laxer():
    rng = np.random.default_rng(2)
    child, parent, *others = rng.normal(0, 1, (5, 2000))
    table = pd.DataFrame({"metric": "ss", "value": child, "parent": parent})
    p_values = seed_p(table, pd.DataFrame(np.transpose([parent, *others])))
    assert 0.01 < (p_values < 0.05).mean() < 0.05


def test_checkpoint_noise_is_that_of_late_training():
    rows = [{**CELL, "fraction": fraction, "value": value}
            for fraction, value in ((0.05, 10.0), (0.4, 50.0), (0.6, 53.0), (0.8, 49.0), (1.0, 49.0))]
    rows += [{**CELL, "category": "few", "fraction": fraction, "value": 1.0} for fraction in (0.2, 0.4, 1.0)]
    rows += [{**CELL, "metric": metric, "category": "pairs", "fraction": fraction, "value": value}
             for fraction in (0.4, 0.6, 0.8, 1.0)
             for metric, value in (("score", round(50 + fraction)), ("score_unrounded", 50 + fraction))]
    found = checkpoint_noise(rows, 0.95, 0.4)["noise"]
    # Differences 3, -4, 0: root mean square 5 / sqrt(3), times t(3, .975) = 3.182446.
    assert found["d", "c", "ss"] == pytest.approx(3.182446 * 5 / math.sqrt(3), rel=1e-6)
    assert found["d", "pairs", "score"] == pytest.approx(3.182446 * 0.2, rel=1e-6)
    assert ("d", "few", "ss") not in found
    assert checkpoint_noise([], 0.95, 0.4).empty
    assert checkpoint_noise(rows[:3], 0.95, 0.5).empty


def test_noise_stands_beside_the_changes_of_its_model_alone():
    table = pd.DataFrame([{"model": model, **CELL, "change": change}
                          for model, change in (("m", 1.0), ("m", np.nan), ("n", 1.0))])
    noise = checkpoint_noise([{**CELL, "fraction": f, "value": v} for f, v in ((0.5, 1.0), (0.7, 2.0), (1.0, 1.0))],
                             0.95, 0.4)
    found = with_noise(table, {"m": noise, "n": noise.iloc[:0]})["noise"]
    assert found[0] == pytest.approx(stats.t.ppf(0.975, 2))
    assert found[1:].isna().all()
