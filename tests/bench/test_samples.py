"""Samples are spread over the whole, whatever share of it they take."""

from hypothesis import given
from hypothesis import strategies as st

from stages.bench.samples import affordable, sample, whole_items
from stages.common.query import Query, Row


def row(item, queries=0):
    return Row(item, "gender", "he|she", "stereo", "text", 4, queries=(Query((5,), (0,), (5,)),) * queries)


def test_sample_by_hand():
    assert sample(list(range(10)), 3) == [0, 3, 6]
    assert sample(list(range(10)), 6) == [0, 1, 3, 5, 6, 8]  # more than half, and not the first six
    assert sample(list(range(3)), 10) == [0, 1, 2]
    assert sample([], 3) == []


@given(st.integers(1, 400), st.integers(1, 400))
def test_sample_is_of_the_size_asked_and_evenly_spread(size, count):
    found = sample(range(size), count)
    assert len(found) == min(size, count)
    gaps = {after - before for before, after in zip(found, [*found[1:], size], strict=True)}
    assert max(gaps) - min(gaps) <= 1
    assert found[0] == 0


def test_items_are_taken_whole():
    rows = [row(f"{k}") for k in range(10) for _ in range(3)]
    chosen = whole_items(rows, 18)
    assert [r.item for r in chosen] == [item for item in "013568" for _ in range(3)]
    assert whole_items(rows, 1) == rows[:3]
    assert whole_items(rows, 1000) == rows


def test_tests_are_taken_whole():
    rows = [row(f"weat{test}/{role}/{k}") for test in (6, 7) for role in ("targ1", "attr1") for k in range(2)]
    assert [r.item for r in whole_items(rows, 4)] == [r.item for r in rows[:4]]
    assert [r.item for r in whole_items(rows, 7)] == [r.item for r in rows[:4]]
    assert len(whole_items(rows, 8)) == 8


def test_more_rows_where_a_row_takes_few_passes():
    assert affordable([row("0", queries=2)] * 100, 10, 50) == 25
    assert affordable([row("0", queries=20)] * 100, 10, 50) == 10
    assert affordable([row("0")] * 100, 10, 50) == 10
