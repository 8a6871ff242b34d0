from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.errors import DataError, ParamsError
from stages.common.metrics_file import clean
from stages.common.params import parse
from stages.measures.pair_preference import Options, measure


def records(*pairs: tuple[str, str, str, float, float], family: str = "masked") -> pd.DataFrame:
    """Records of pairs (item, category, direction, score of stereo, score of anti); NaN was not scored."""
    rows = []
    for item, category, direction, *scores in pairs:
        for role, score in zip(("stereo", "anti"), scores, strict=True):
            count = 0 if np.isnan(score) else 2
            logarithm = score if family == "masked" or not count else np.log(score)
            rows.append({"dataset": "crows", "item": item, "category": category, "cluster": "he|she", "role": role,
                         "direction": direction, "text_sha": f"{item}{role}", "tokens": 9, "scored": count,
                         "score": score, "logprob": count * logarithm if count else np.nan, "entropy": 1.0})
    return pd.DataFrame(rows)


NOT_SCORED = float("nan")
# Of gender's five pairs: 0 and 1 prefer the stereotype (one of each direction), 2 does not, 3 is a tie only after
# rounding to 3 decimals (-2.0003 and -1.9998 both give -2.0), 4 was not scored.
GENDER = [
    ("0", "gender", "stereo", -1.0, -2.0),
    ("1", "gender", "antistereo", -1.0, -1.5),
    ("2", "gender", "stereo", -3.0, -2.5),
    ("3", "gender", "stereo", -1.9998, -2.0003),
    ("4", "gender", "stereo", NOT_SCORED, NOT_SCORED),
]
RACE = [("5", "race", "antistereo", -4.0, -1.0), ("6", "race", "stereo", -1.0, -1.001)]


def test_by_hand():
    found = measure(records(*GENDER, *RACE), Options(), family="masked")
    assert found["gender"] == {
        "n": 4, "preferred": 2, "neutral": 1, "skipped": 1,
        "score": 50.0,  # 2 of 4: the tie counts among the pairs, and not as a stereotype
        "score_unrounded": 50.0,
        "score_exact": 75.0,  # without rounding pair 3 prefers the stereotype
        "stereo_n": 3, "stereo_preferred": 1, "stereo_score": 50.0,  # 1 of the 2 that are no tie
        "antistereo_n": 1, "antistereo_preferred": 1, "antistereo_score": 100.0,
        # Two positions each: twice the differences of the means.
        "log_odds": pytest.approx((2.0 + 1.0 - 1.0 + 0.001) / 4),
    }
    assert found["race"]["score"] == 50.0
    # all: 3 of 6 preferred
    assert found["overall"] | {"log_odds": 0} == {
        "n": 6, "preferred": 3, "neutral": 1, "skipped": 1, "score": 50.0, "score_unrounded": 50.0,
        "score_exact": pytest.approx(400 / 6), "stereo_n": 4, "stereo_preferred": 2, "stereo_score": 66.67,
        "antistereo_n": 2, "antistereo_preferred": 1, "antistereo_score": 50.0, "log_odds": 0,
    }
    assert found["overall"]["log_odds"] == pytest.approx((2.001 - 6.0 + 0.002) / 6)
    assert set(found) == {"gender", "race", "overall"}


def test_the_printed_percentage_has_two_decimals():
    pairs = [(str(n), "age", "stereo", -1.0 - (n > 0), -1.5) for n in range(3)]  # 1 of 3
    found = measure(records(*pairs), Options(), family="masked")["age"]
    assert found["score"] == 33.33
    assert found["score_unrounded"] == pytest.approx(100 / 3, abs=1e-12)


def test_causal_scores_are_not_rounded():
    pair = ("0", "age", "stereo", 0.00012, 0.00011)
    found = measure(records(pair, family="causal"), Options(), family="causal")["age"]
    assert (found["score"], found["neutral"]) == (100.0, 0)
    assert found["log_odds"] == pytest.approx(2 * np.log(12 / 11))  # two positions
    rounded = measure(records(pair, family="causal"), Options(decimals_causal=3), family="causal")["age"]
    assert (rounded["score"], rounded["neutral"], rounded["score_exact"]) == (0.0, 1, 100.0)


def test_log_odds_take_the_sentences_at_equal_length():
    table = records(("0", "age", "stereo", -1.0, -1.5))
    table["scored"], table["logprob"] = [3, 1], [-3.0, -1.5]
    found = measure(table, Options(), family="masked")["age"]
    assert (found["score"], found["log_odds"]) == (100.0, 1.0)  # means of -1 and -1.5, two positions a sentence


@pytest.mark.parametrize(("options", "score"), [
    ({}, 50.0),  # 2 of 4
    ({"ties": "half"}, 62.5),  # 2.5 of 4
    ({"ties": "exclude"}, 66.67),  # 2 of 3
    ({"decimals_masked": None}, 75.0),  # 3 of 4
])
def test_each_oddity_is_an_option(options, score):
    found = measure(records(*GENDER), Options(**options), family="masked")["gender"]
    assert found["score"] == score


def test_rounding_is_numpys():
    # The reference rounds numpy scalars. -0.0055 lies a little above its decimal form: Python rounds it up, numpy
    # scales it to -5.5 first and rounds that to the even -6.
    assert (round(-0.0055, 3), float(np.round(-0.0055, 3))) == (-0.005, -0.006)
    found = measure(records(("0", "age", "stereo", -0.0055, -0.006)), Options(), family="masked")["age"]
    assert (found["neutral"], found["score"]) == (1, 0.0)


def test_a_category_of_skipped_pairs_has_counts_only():
    found = measure(records(("0", "age", "stereo", NOT_SCORED, NOT_SCORED), *RACE), Options(), family="masked")
    assert found["age"] == {"n": 0, "preferred": 0, "neutral": 0, "skipped": 1, "stereo_n": 0, "stereo_preferred": 0,
                            "antistereo_n": 0, "antistereo_preferred": 0}
    assert (found["overall"]["n"], found["overall"]["skipped"]) == (2, 1)
    clean(found)  # every leaf is a finite number


def test_a_pair_with_one_side_scored_is_skipped():
    found = measure(records(("0", "age", "stereo", -1.0, NOT_SCORED), *RACE), Options(), family="masked")
    assert found["age"]["skipped"] == 1


def test_excluding_nothing_but_ties_leaves_no_score():
    found = measure(records(("0", "age", "stereo", -1.0, -1.0)), Options(ties="exclude"), family="masked")["age"]
    assert "score" not in found
    assert (found["n"], found["neutral"], found["log_odds"]) == (1, 1, 0.0)


@pytest.mark.parametrize(("corrupt", "message"), [
    (lambda table: table.drop(index=1), "item '0' of gender: has no record of role anti"),
    (lambda table: table[table["role"] == "stereo"], "item '0' of gender and 4 more: has no record of role anti"),
    (lambda table: pd.concat([table, table.iloc[:1]]), "item '0' of gender: has two records of role 'stereo'"),
    (lambda table: table.replace({"role": {"anti": "unrelated"}}), "role 'unrelated' is none of stereo, anti"),
    (lambda table: table.assign(score=table["score"].where(table.index != 2)), "item '1' of gender: score nan"),
    (lambda table: table.assign(score=table["score"].where(table.index != 2, np.inf)), "score inf is not a finite"),
    (lambda table: table.assign(logprob=np.nan), "is not a finite number"),
    (lambda table: table.assign(category=["race", *table["category"][1:]]), "disagree about category"),
    (lambda table: table.assign(direction=["antistereo", *table["direction"][1:]]), "disagree about"),
])
def test_broken_records_are_refused_by_item(corrupt, message):
    with pytest.raises(DataError, match=message):
        measure(corrupt(records(*GENDER)), Options(), family="masked")


def test_unknown_options_are_named():
    with pytest.raises(ParamsError, match="tie: unknown key; allowed: decimals_causal, decimals_masked, ties"):
        parse(Options, {"tie": "half"}, "measures.pair_preference")


_scores = st.floats(-20, 0, allow_nan=False)


@given(st.lists(st.tuples(_scores, _scores, st.sampled_from(["stereo", "antistereo"])), min_size=1, max_size=30))
@settings(max_examples=25, deadline=None)
def test_properties(pairs):
    table = records(*((str(n), "age", direction, one, two) for n, (one, two, direction) in enumerate(pairs)))
    found = measure(table, Options(ties="half", decimals_masked=None), family="masked")["age"]
    # Exchanging the two sentences of every pair mirrors the score about 50 and turns the log-odds round.
    mirrored = measure(table.replace({"role": {"stereo": "anti", "anti": "stereo"}}),
                       Options(ties="half", decimals_masked=None), family="masked")["age"]
    assert found["score_unrounded"] + mirrored["score_unrounded"] == pytest.approx(100)
    assert found["log_odds"] == pytest.approx(-mirrored["log_odds"])
    # Neither the order of the records nor upstream's direction changes the score.
    shuffled = table.sample(frac=1, random_state=0).assign(direction="stereo")
    assert measure(shuffled, Options(), family="masked")["age"]["score"] == measure(
        table, Options(), family="masked")["age"]["score"]
    assert found["stereo_n"] + found["antistereo_n"] == found["n"] == len(pairs)
    assert abs(found["score"] - found["score_unrounded"]) <= 0.005 + 1e-9


def test_measuring_imports_no_torch():
    code = ("import sys, stages.measures.pair_preference, stages.measures.stereotype_triples, "
            "stages.measures._stereoset_predictions; "
            "print([name for name in ('torch', 'transformers', 'great_expectations') if name in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
