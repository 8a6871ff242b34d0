from __future__ import annotations

import math
import time
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.errors import DataError, ParamsError
from stages.common.params import parse
from stages.measures import association
from stages.measures._permutation import _splits, permutation_test
from stages.measures.association import Options
from tests.reference import batch1_seat

Sets = dict[str, list[np.ndarray]]


def records_of(tests: dict[str, Sets], categories: dict[str, str] | None = None):
    """Records and vectors of tests given as the vectors of their sets."""
    rows, vectors = [], {}
    for test, sets in tests.items():
        for role, members in sets.items():
            for position, vector in enumerate(members):
                key = f"{test}-{role}-{position}"
                vectors[key] = np.asarray(vector, dtype=np.float32)
                category = (categories or {}).get(test, "gender")
                rows.append(
                    {"item": f"{test}/{role}/{position:04d}", "category": category, "role": role, "text_sha": key}
                )
    return pd.DataFrame(rows), vectors


def measured(tests: dict[str, Sets], categories: dict[str, str] | None = None, **options):
    records, vectors = records_of(tests, categories)
    return association.measure(records, Options(**options), vectors, family="masked")


def random_sets(seed: int, sizes: tuple[int, int, int, int], shift: float = 0.0) -> Sets:
    """Random vectors, those of X moved towards A by ``shift``."""
    rng = np.random.default_rng(seed)
    sets = {role: list(rng.normal(size=(size, 12))) for role, size in zip("XYAB", sizes, strict=True)}
    sets["X"] = [vector + shift * np.mean(sets["A"], axis=0) for vector in sets["X"]]
    return sets


@pytest.fixture
def by_hand() -> Sets:
    # With A along (1, 0) and B along (0, 1), s(w) is the cosine less the sine of w's angle:
    # over X 1 and 0.6 - 0.8 = -0.2, over Y -1 and 0.8 - 0.6 = 0.2.
    pairs = {"X": [(2, 0), (3, 4)], "Y": [(0, 5), (4, 3)], "A": [(1, 0)], "B": [(0, 7)]}
    return {role: [np.array(pair, dtype=float) for pair in members] for role, members in pairs.items()}


def test_effect_and_exact_p_by_hand(by_hand):
    metrics = measured({"t": by_hand})["t"]
    # Means 0.4 and -0.4; squares 1 + 0.04 + 1 + 0.04 = 2.08 over n - 1 = 3.
    assert metrics["effect_size"] == pytest.approx(0.8 / math.sqrt(2.08 / 3), abs=1e-6)
    # Sums of two of (1, -0.2, -1, 0.2): 0.8, 0, 1.2, -1.2, 0, -0.8. Two of six reach 0.8, four in size.
    assert metrics["p_one_sided"] == pytest.approx(2 / 6)
    assert metrics["p_two_sided"] == pytest.approx(4 / 6)
    assert metrics["splits"] == 6


def test_ddof_zero_divides_by_n(by_hand):
    assert measured({"t": by_hand}, ddof=0)["t"]["effect_size"] == pytest.approx(0.8 / math.sqrt(2.08 / 4), abs=1e-6)


def test_ties_are_counted_as_extreme():
    # Half of the values are 1, half 0, in either group: the observed sum 2 is the commonest.
    # Of C(8, 4) = 70 splits those with 2, 3 or 4 ones reach it: 36 + 16 + 1 = 53; in size all do.
    half = np.array([1.0, 1.0, 0.0, 0.0])
    exact = permutation_test(half, half, 1000, (0,))
    assert (exact.one_sided, exact.two_sided, exact.splits) == (53 / 70, 1.0, 70)
    # 0.1 + 0.2 is not 0.3 in floats: sums that are equal on paper must still tie.
    assert permutation_test(np.array([0.1, 0.2]), np.array([0.3, 0.0]), 100, (0,)).one_sided == 4 / 6


@pytest.mark.parametrize("shift", [0.0, 0.6, -0.6])
@pytest.mark.parametrize("sizes", [(4, 4, 5, 7), (30, 30, 20, 25), (18, 25, 9, 4)])
def test_agrees_with_the_literal_implementation(sizes, shift):
    sets = random_sets(3, sizes, shift)
    as_stored = {role: [vector.astype(np.float32) for vector in members] for role, members in sets.items()}
    effect, p = batch1_seat.measure(as_stored, samples=4000)
    metrics = measured({"t": sets})["t"]
    assert metrics["effect_size"] == pytest.approx(effect, abs=2e-6)
    exact = math.comb(sizes[0] + sizes[1], sizes[0]) <= 4000
    # Five standard errors of two Monte-Carlo estimates; none where both are exact.
    error = 0 if exact else 5 * math.sqrt(max(p * (1 - p), 1e-3) * (1 / 4000 + 1 / 100_000))
    assert metrics["p_one_sided"] == pytest.approx(p, abs=error + 1e-12)


def test_swapping_the_targets_turns_the_sign():
    sets = random_sets(5, (20, 20, 8, 8), 0.5)
    turned = {**sets, "X": sets["Y"], "Y": sets["X"]}
    one, two = measured({"t": sets})["t"], measured({"t": turned})["t"]
    assert two["effect_size"] == pytest.approx(-one["effect_size"])
    assert one["p_one_sided"] + two["p_one_sided"] == pytest.approx(1, abs=0.01)
    assert two["p_two_sided"] == pytest.approx(one["p_two_sided"], abs=0.01)


def test_a_test_does_not_depend_on_others_or_on_the_order_of_records():
    tests = {f"t{number}": random_sets(number, (20, 20, 6, 6), 0.3) for number in range(3)}
    alone = measured({"t1": tests["t1"]})["t1"]
    records, vectors = records_of(tests)
    shuffled = records.sample(frac=1, random_state=1)
    for table in (records, shuffled, records.iloc[::-1]):
        assert association.measure(table, Options(), vectors, family="causal")["t1"] == alone


def test_the_seed_moves_a_sampled_p_value_and_nothing_else():
    sets = {"t": random_sets(9, (20, 20, 6, 6), 0.1)}
    first, second = measured(sets)["t"], measured(sets, seed=1)["t"]
    assert first["effect_size"] == second["effect_size"]
    assert first["p_one_sided"] != second["p_one_sided"]
    assert first["p_one_sided"] == pytest.approx(second["p_one_sided"], abs=0.01)


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_lengths_of_vectors_do_not_matter(scale, seed):
    sets = random_sets(seed, (5, 5, 4, 4))
    scaled = {role: [vector * scale for vector in members] for role, members in sets.items()}
    one, two = measured({"t": sets})["t"], measured({"t": scaled})["t"]
    assert two["effect_size"] == pytest.approx(one["effect_size"], abs=1e-5)


def test_a_category_averages_its_tests_magnitudes(by_hand):
    turned = {**by_hand, "X": by_hand["Y"], "Y": by_hand["X"]}
    strong = random_sets(1, (30, 30, 10, 10), 2.0)
    metrics = measured({"a": by_hand, "b": turned, "c": strong}, {"c": "race"})
    size = metrics["a"]["effect_size"]
    assert metrics["gender"]["mean_abs_effect"] == pytest.approx(size)
    assert metrics["gender"]["mean_effect"] == pytest.approx(0)
    assert (metrics["gender"]["tests"], metrics["gender"]["significant"]) == (2, 0)
    assert (metrics["race"]["tests"], metrics["race"]["significant"]) == (1, 1)
    assert metrics["race"]["mean_effect"] == metrics["c"]["effect_size"] > 0
    assert list(metrics) == ["gender", "a", "b", "race", "c"]


def test_a_large_negative_effect_is_significant_two_sided_only():
    sets = {"t": random_sets(2, (30, 30, 10, 10), -2.0)}
    assert measured(sets)["t"]["significant"] == 0
    assert measured(sets, tail="two_sided")["t"]["significant"] == 1
    assert measured(sets, tail="two_sided", alpha=1e-6)["t"]["significant"] == 0


def test_the_smallest_p_value_is_one_over_the_samples():
    separate = permutation_test(np.arange(50) + 1000.0, np.arange(50.0), 5000, (0,))
    assert (separate.one_sided, separate.two_sided, separate.splits) == (1 / 5000, 1 / 5000, 5000)


@pytest.mark.parametrize(("total", "size"), [(16, 8), (70, 35), (100, 10), (130, 111), (64, 32)])
def test_random_splits_are_uniform(total, size):
    splits = _splits(total, size, 20_000, (7,))
    members = np.unpackbits(splits, axis=0, bitorder="little")[:total]
    assert (members.sum(axis=0) == size).all()
    share = size / total
    error = math.sqrt(share * (1 - share) / 20_000)
    assert np.abs(members.mean(axis=1) - share).max() < 5 * error
    # Two given members are together as often as drawing without replacement has it.
    together = (members[0] & members[1]).mean()
    expected = share * (size - 1) / (total - 1)
    assert together == pytest.approx(expected, abs=5 * math.sqrt(expected / 20_000))


def test_every_split_of_a_small_set_is_equally_likely():
    splits = _splits(6, 3, 40_000, (1,))[0]
    found, counts = np.unique(splits, return_counts=True)
    assert sorted(found) == sorted(sum(1 << place for place in chosen) for chosen in combinations(range(6), 3))
    assert np.abs(counts - 2000).max() < 5 * math.sqrt(2000)


def test_sampled_agrees_with_exact_for_unequal_groups():
    rng = np.random.default_rng(4)
    first, second = rng.normal(0.5, 1, 3), rng.normal(0, 1, 30)
    exact = permutation_test(first, second, 6000, (0,))
    sampled = permutation_test(first, second, 5000, (0,))
    assert (exact.splits, sampled.splits) == (math.comb(33, 3), 5000)
    error = 5 * math.sqrt(exact.one_sided * (1 - exact.one_sided) / 5000)
    assert sampled.one_sided == pytest.approx(exact.one_sided, abs=error)


def test_the_largest_test_of_seat_takes_a_fraction_of_a_second():
    rng = np.random.default_rng(0)
    start = time.process_time()
    permutation_test(rng.normal(size=256), rng.normal(size=256), 100_000, (12345,))
    assert time.process_time() - start < 0.8


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda sets: sets.update(Y=[]), "the set Y is empty"),
        (lambda sets: sets.update(X=[sets["X"][0] * 0, *sets["X"][1:]]), "zero or not finite"),
        (lambda sets: sets.update(A=[np.array([np.nan] * 12)]), "zero or not finite"),
        (lambda sets: sets.update(B=[np.array([np.inf] + [1.0] * 11)]), "zero or not finite"),
        (lambda sets: sets.update(B=[np.ones(5), *sets["B"]]), "differ in shape"),
        (lambda sets: sets.update(B=[np.ones(5)]), "differ in size"),
        (lambda sets: sets.update(X=[np.ones(12)] * 3, Y=[np.ones(12)] * 3), "not defined"),
        (lambda sets: sets.update(A=sets["B"]), "not defined"),
    ],
)
def test_what_has_no_effect_size_is_an_error_that_names_the_test(damage, message):
    sets = random_sets(0, (4, 4, 3, 3))
    damage(sets)
    with pytest.raises(DataError, match=f"SEAT test t: .*{message}"):
        measured({"t": sets})


def test_records_without_their_vectors_are_refused():
    records, vectors = records_of({"t": random_sets(0, (4, 4, 3, 3))})
    with pytest.raises(DataError, match="no embeddings"):
        association.measure(records, Options(), None, family="masked")
    del vectors["t-Y-2"]
    with pytest.raises(DataError, match="1 texts of Y have no embedding, the first is t-Y-2"):
        association.measure(records, Options(), vectors, family="masked")


@pytest.mark.parametrize("raw", [{"ddof": 2}, {"samples": 10}, {"alpha": 0}, {"tail": "left"}, {"sample": 1000}])
def test_unknown_settings_are_refused(raw):
    with pytest.raises(ParamsError, match=next(iter(raw))):
        parse(Options, raw, "measures.association")
