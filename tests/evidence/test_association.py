from __future__ import annotations

import math

import numpy as np
import pytest

from stages import measures
from stages.common.errors import DataError
from stages.evidence import association_change
from stages.evidence.association import draw_stimuli, resample, seat_tests
from stages.evidence.effect_sizes import AssociationTest, StimulusSet, cosines
from tests.evidence.synthetic import world


def compare_association(tests, parent, child, resamples=500):
    stimuli = draw_stimuli(tests, resamples=resamples, seed=0)
    one, other = (resample(stimuli, vectors) for vectors in (parent, child))
    return association_change.compare_association(stimuli, one, other, confidence=0.95)


def make(rng, counts, name="t", words=1):
    sets = tuple(StimulusSet(tuple(f"{name}{role}{n}" for n in range(count)), np.arange(count) // words)
                 for role, count in zip("XYAB", counts, strict=True))
    return AssociationTest(name, sets)


def vectors_of(tests, rng, size=12, shift=0.0):
    return {text: rng.normal(shift * (role in (0, 2)), 1.0, size) for test in tests
            for role, stimuli in enumerate(test.sets) for text in stimuli.texts}


def literal(x, y, a, b):
    """Effect size as written down, sentence by sentence."""
    def cosine(u, v):
        return float(np.dot(u, v) / math.sqrt(np.dot(u, u) * np.dot(v, v)))

    s = {side: [np.mean([cosine(w, u) for u in a]) - np.mean([cosine(w, v) for v in b]) for w in words]
         for side, words in (("x", x), ("y", y))}
    return (np.mean(s["x"]) - np.mean(s["y"])) / np.std(s["x"] + s["y"], ddof=1)


@pytest.mark.parametrize("words", [1, 3])
def test_effect_sizes_are_those_of_the_sentences_drawn(words):
    rng = np.random.default_rng(0)
    test = make(rng, (6, 5, 7, 4), words=words)
    vectors = vectors_of([test], rng)
    weights = [rng.integers(0, 4, (stimuli.clusters, 1200)).astype(float) + (np.arange(stimuli.clusters) < 2)[:, None]
               for stimuli in test.sets]
    got = cosines(test, vectors).effect_sizes(weights)
    assert got.shape == (1200,)
    for column in (0, 7, 499, 500, 1199):  # on both sides of the blocks they are computed in
        drawn = [[vectors[text] for text, code in zip(stimuli.texts, stimuli.codes, strict=True)
                  for _ in range(int(weight[code, column]))]
                 for stimuli, weight in zip(test.sets, weights, strict=True)]
        assert got[column] == pytest.approx(literal(*drawn), rel=1e-9)


def test_clusters_need_not_lie_together():
    rng = np.random.default_rng(8)
    test = make(rng, (6, 6, 6, 6), words=2)
    vectors = vectors_of([test], rng)
    shuffled = AssociationTest("t", tuple(
        StimulusSet(tuple(stimuli.texts[place] for place in order), stimuli.codes[order])
        for stimuli, order in ((part, rng.permutation(6)) for part in test.sets)))
    weights = [rng.integers(1, 4, (3, 20)).astype(float) for _ in test.sets]
    expected = cosines(test, vectors).effect_sizes(weights)
    assert cosines(shuffled, vectors).effect_sizes(weights) == pytest.approx(expected)


def test_values_are_the_measures_own():
    records = world(3)
    module = measures.get("association")
    printed = module.measure(records["seat"], module.Options(samples=100), records["seat.vectors"], family="masked")
    for category, tests in seat_tests(records["seat"]).items():
        *each, together = compare_association(tests, records["seat.vectors"], records["seat.vectors"])
        assert together.value.value == pytest.approx(printed[category]["mean_abs_effect"])
        for found in each:
            assert found.value.value == pytest.approx(printed[found.name]["effect_size"])


def test_the_same_model_has_no_change():
    rng = np.random.default_rng(1)
    tests = [make(rng, (10, 10, 9, 9))]
    vectors = vectors_of(tests, rng)
    for found in compare_association(tests, vectors, vectors):
        assert (found.change.value, found.change.low, found.change.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_an_association_taken_away_is_found_and_noise_is_not():
    rng = np.random.default_rng(2)
    tests = [make(rng, (40, 40, 30, 30))]
    parent = vectors_of(tests, rng, shift=0.6)
    noisy = {text: vector + rng.normal(0, 0.05, 12) for text, vector in parent.items()}
    gone = vectors_of(tests, rng)
    assert compare_association(tests, parent, noisy)[-1].p_value > 0.05
    found = compare_association(tests, parent, gone)[-1]
    assert found.p_value < 0.01
    assert found.change.high < 0


def test_swap_test_holds_its_level():
    # Two models whose vectors differ by independent noise of the same kind: no true change.
    rejected = 0
    for number in range(200):
        rng = np.random.default_rng(number)
        tests = [make(rng, (16, 16, 12, 12))]
        common = vectors_of(tests, rng, shift=0.4)
        parent, child = ({text: vector + rng.normal(0, 0.5, 12) for text, vector in common.items()} for _ in range(2))
        found = compare_association(tests, parent, child, resamples=199)[-1]
        rejected += found.p_value <= 0.05
    assert rejected / 200 <= 0.10  # 5% with a standard error of 1.5%


def test_shared_sets_are_resampled_together():
    # The same test twice has the same spread as once; two independent ones would have less.
    rng = np.random.default_rng(3)
    test = make(rng, (12, 12, 10, 10))
    vectors = vectors_of([test], rng, shift=0.5)
    once = compare_association([test], vectors, vectors)[-1].value
    twin = AssociationTest("again", test.sets)
    twice = compare_association([test, twin], vectors, vectors)[-1].value
    assert (twice.low, twice.high) == pytest.approx((once.low, once.high))


def test_words_and_not_sentences_are_resampled():
    rng = np.random.default_rng(4)
    by_word, alone = make(rng, (24, 24, 24, 24), words=3), make(rng, (24, 24, 24, 24))
    base = vectors_of([make(rng, (8, 8, 8, 8))], rng, shift=0.5)
    vectors = {f"t{role}{n}": base[f"t{role}{n // 3}"] for role in "XYAB" for n in range(24)}
    found = [compare_association([test], vectors, vectors)[0].value for test in (by_word, alone)]
    # Three equal sentences a word: the standard error is that of 8 words, about sqrt(3) times that of 24 sentences.
    assert found[0].standard_error / found[1].standard_error == pytest.approx(math.sqrt(3), rel=0.15)


def test_sets_of_one_word_are_held_fixed():
    rng = np.random.default_rng(5)
    test = make(rng, (4, 4, 4, 4), words=4)
    vectors = vectors_of([test], rng)
    found = compare_association([test], vectors, vectors)[0]
    assert found.value.method == "none"
    assert math.isfinite(found.value.value)


@pytest.mark.parametrize("damage", [lambda v: None, lambda v: 0 * v, lambda v: np.nan * v])
def test_a_broken_vector_is_refused_naming_test_and_text(damage):
    rng = np.random.default_rng(6)
    test = make(rng, (4, 4, 4, 4))
    vectors = vectors_of([test], rng)
    broken = damage(vectors["tX2"])
    vectors = {key: vector for key, vector in vectors.items() if key != "tX2"} | (
        {} if broken is None else {"tX2": broken})
    with pytest.raises(DataError, match=r"SEAT test t: .*tX2"):
        cosines(test, vectors)


def test_a_model_that_tells_no_text_from_another_has_no_effect_size():
    test = make(np.random.default_rng(7), (4, 4, 4, 4))
    vectors = {text: np.ones(5) for stimuli in test.sets for text in stimuli.texts}
    with pytest.raises(DataError, match="SEAT test t: all targets have the same association"):
        resample(draw_stimuli([test], resamples=10, seed=0), vectors)


@pytest.mark.parametrize("ddof", [0, 1])
def test_the_measures_ddof_is_followed(ddof):
    records = world(3)
    module = measures.get("association")
    printed = module.measure(records["seat"], module.Options(samples=100, ddof=ddof), records["seat.vectors"],
                             family="masked")
    tests = seat_tests(records["seat"])["race"]
    found = resample(draw_stimuli(tests, resamples=10, seed=0), records["seat.vectors"], ddof=ddof)
    assert found.observed[0] == pytest.approx(printed["t2"]["effect_size"])


def test_a_test_without_a_set_is_refused():
    records = world(3)["seat"]
    with pytest.raises(DataError, match="SEAT test t1: its sets are A, B, X"):
        seat_tests(records[~(records["item"].str.startswith("t1/Y"))])
