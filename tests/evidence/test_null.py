from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from stages import measures
from stages.evidence.metrics import measured
from stages.evidence.null import association_null, item_null
from stages.evidence.seeds import generator
from tests.evidence.synthetic import frame


def rule(name, family="masked", **options):
    return measured(name, measures.get(name).Options(**options), family)


def drawn(found):
    return {(category, metric): values for category, metric, values in found}


def pair_records(ids, clusters=None, category="gender"):
    """Pairs whose texts look for the given ids."""
    return frame([{"item": item, "category": category, "cluster": (clusters or {}).get(item, item), "role": role,
                   "score": -1.0, "ids": list(tokens)}
                  for item, sides in ids.items() for role, tokens in zip(("stereo", "anti"), sides, strict=True)])


def triple_records(ids, clusters):
    return frame([{"item": item, "cluster": clusters[item], "role": role, "score": 0.5, "logprob": -1.0,
                   "ids": list(tokens)}
                  for item, sides in ids.items()
                  for role, tokens in zip(("stereo", "anti", "unrelated"), sides, strict=True)])


def test_every_draw_is_that_of_a_literal_unigram_model():
    ids = {"a": [(5,), (9, 9)], "b": [(9,), (5, 7)], "c": [(7, 5), (11,)]}
    found = drawn(item_null(rule("pair_preference", decimals_masked=None), pair_records(ids), "mean_logprob",
                            draws=120, seed=3, name="toy"))
    assert set(found) == {(category, metric) for category in ("gender", "overall") for metric in ("score", "log_odds")}
    stream = generator(3, "context-free", "toy")
    logits = np.concatenate([stream.standard_normal((4, count)) for count in (50, 50, 20)], axis=1)
    for draw in range(120):
        # A full softmax over a vocabulary of these four tokens and others: the normaliser is the same everywhere.
        z = dict(zip((5, 7, 9, 11), logits[:, draw], strict=True))
        normaliser = math.log(sum(map(math.exp, z.values())) + 3.7)
        logs = [[[z[t] - normaliser for t in side] for side in sides] for sides in ids.values()]
        preferred = [np.mean(s) > np.mean(a) for s, a in logs]
        assert found["gender", "score"][draw] == pytest.approx(100 * np.mean(preferred))
        assert found["gender", "log_odds"][draw] == pytest.approx(
            np.mean([(np.mean(s) - np.mean(a)) * (len(s) + len(a)) / 2 for s, a in logs]))


def test_means_of_probabilities_are_not_means_of_logits():
    ids = {"a": [(1, 2), (3,), (4,)], "b": [(2, 2), (1, 3), (4, 1)], "c": [(3,), (2,), (1, 1)]}
    clusters = {"a": "x", "b": "x", "c": "y"}
    found = drawn(item_null(rule("stereotype_triples"), triple_records(ids, clusters), "mean_probability",
                            draws=50, seed=0, name="toy"))
    logits = generator(0, "context-free", "toy").standard_normal((4, 50))
    for draw in range(50):
        z = dict(zip((1, 2, 3, 4), logits[:, draw], strict=True))
        p = {item: [np.mean([math.exp(z[t]) for t in side]) for side in sides] for item, sides in ids.items()}
        ss = {item: 100.0 * (s > a) for item, (s, a, _) in p.items()}
        lm = {item: 50.0 * (s > u) + 50.0 * (a > u) for item, (s, a, u) in p.items()}
        for metric, values in (("ss", ss), ("lm", lm)):  # by term, then over terms
            expected = np.mean([np.mean([values["a"], values["b"]]), values["c"]])
            assert found["overall", metric][draw] == pytest.approx(expected)


def test_the_same_words_in_another_order_are_a_tie():
    records = pair_records({"a": [(1, 2, 3), (3, 1, 2)], "b": [(1,), (2,)]})
    found = drawn(item_null(rule("pair_preference", "causal", ties="half"), records, "geometric_mean_probability",
                            draws=400, seed=0, name="toy"))["overall", "score"]
    assert set(found) == {25.0, 75.0}  # a is half a preference in every draw
    left_out = drawn(item_null(rule("pair_preference", "causal", ties="exclude"), records,
                               "geometric_mean_probability", draws=400, seed=0, name="toy"))
    assert set(left_out["overall", "score"]) == {0.0, 100.0}


def test_one_swapped_pair_of_words_decides_all_its_items():
    # 100 items of one swap: all or nothing, so the standard deviation is 50; of 100 swaps it is 50 / sqrt(100) = 5.
    same = pair_records({f"i{n}": [(1,), (2,)] for n in range(100)})
    other = pair_records({f"i{n}": [(2 * n,), (2 * n + 1,)] for n in range(100)})
    spread = [drawn(item_null(rule("pair_preference"), records, "mean_logprob", draws=1000, seed=1,
                              name="toy"))["overall", "score"].std() for records in (same, other)]
    assert spread == pytest.approx([50.0, 5.0], rel=0.08)


def test_unscored_items_are_left_out():
    records = pair_records({"a": [(1,), (2,)], "b": [(3,), (4,)]})
    gone = records["item"] == "b"
    records.loc[gone, ["scored", "score", "logprob"]] = [0, np.nan, np.nan]
    found = drawn(item_null(rule("pair_preference"), records, "mean_logprob", draws=50, seed=0, name="toy"))
    assert set(found["overall", "score"]) <= {0.0, 100.0}


def seat_records(sets):
    rows = [{"item": f"t/{role}/{place:04d}", "cluster": str(place), "role": role, "score": np.nan, "scored": 0,
             "ids": list(tokens)}
            for role, texts in sets.items() for place, tokens in enumerate(texts)]
    return frame(rows)


def test_association_is_that_of_bags_of_random_vectors():
    sets = {"X": [(1, 2, 9), (1, 3, 9)], "Y": [(1, 4, 9), (1, 5, 5, 9)], "A": [(1, 6, 9), (1, 2, 9)], "B": [(1, 7, 9)]}
    records = seat_records(sets)
    found = drawn(association_null(records, 8, 1, draws=20, seed=0, name="seat"))
    vocabulary = sorted({token for texts in sets.values() for text in texts for token in text})
    stream = generator(0, "context-free", "seat")
    for draw in range(20):
        vectors = dict(zip(vocabulary, stream.standard_normal((8, 8), dtype=np.float32).astype(float), strict=True))
        bags = {role: [np.mean([vectors[t] for t in text], axis=0) for text in texts] for role, texts in sets.items()}
        units = {role: [bag / np.linalg.norm(bag) for bag in texts] for role, texts in bags.items()}
        s = {role: [np.mean([w @ a for a in units["A"]]) - np.mean([w @ b for b in units["B"]]) for w in units[role]]
             for role in "XY"}
        expected = abs(np.mean(s["X"]) - np.mean(s["Y"])) / np.std(s["X"] + s["Y"], ddof=1)
        assert found["gender", "mean_abs_effect"][draw] == pytest.approx(expected, rel=1e-4)


def test_categories_have_rows_of_their_own_and_seeds_differ():
    sets = {role: [(n,), (n + 20,)] for n, role in enumerate("XYAB")}
    records = pd.concat([seat_records(sets), seat_records(sets).assign(
        category="age", item=lambda table: "u" + table["item"].str[1:])])
    found = [drawn(association_null(records, 4, 1, draws=50, seed=seed, name="seat")) for seed in (0, 1)]
    assert [set(each) for each in found] == [{(name, "mean_abs_effect") for name in ("age", "gender")}] * 2
    assert not np.array_equal(*(each["gender", "mean_abs_effect"] for each in found))
    assert np.array_equal(*(found[0][name, "mean_abs_effect"] for name in ("age", "gender")))  # the same texts
