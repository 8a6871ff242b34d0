"""Plans: each sequence and each row once, whatever the queries' order and repetitions."""

import numpy as np

from stages.common.query import Query
from stages.scoring.plan import Plan, Values

QUERIES = [
    Query((5, 6, 7), (1, 2), (8, 9)),
    Query((5, 6), (0,), (3,)),
    Query((5, 6, 7), (0, 2), (4, 4)),
    Query((9,), (), ()),
    Query((5, 6, 7), (1, 2), (8, 9)),
]


def test_distinct_sequences_and_rows():
    plan = Plan.of(QUERIES)
    assert plan.sequences == [(5, 6), (5, 6, 7)]  # the third sequence has nothing to read
    assert [list(places) for places in plan.positions] == [[0], [0, 1, 2]]
    assert plan.rows == 4
    # Rows: 0 is (5, 6) at 0; 1, 2, 3 are (5, 6, 7) at 0, 1, 2.
    assert plan.read_row.tolist() == [2, 3, 0, 1, 3, 2, 3]
    assert plan.read_target.tolist() == [8, 9, 3, 4, 4, 8, 9]
    assert plan.first_read.tolist() == [0, 2, 3, 5, 5, 7]


def test_reads_of_rows_in_any_order():
    reads, local = Plan.of(QUERIES).reads_of(np.array([3, 0]))
    assert reads.tolist() == [1, 4, 6, 2]
    assert local.tolist() == [0, 0, 0, 1]


def test_answers_are_the_reads_of_each_query():
    plan = Plan.of(QUERIES)
    values = Values(plan)
    values.normalizers[:] = [10, 20, 30, 40]
    values.entropies[:] = [1, 2, 3, 4]
    values.logits[:] = 0
    answers = values.answers()
    assert [list(answer.logprobs) for answer in answers] == [[-30, -40], [-10], [-20, -40], [], [-30, -40]]
    assert [list(answer.entropies) for answer in answers] == [[3, 4], [1], [2, 4], [], [3, 4]]


def test_a_value_that_is_not_finite_is_traced_to_its_sequence():
    plan = Plan.of(QUERIES)
    values = Values(plan)
    for array in (values.normalizers, values.entropies, values.logits):
        array[:] = 0
    assert values.broken_sequence() is None
    values.logits[3] = -np.inf
    assert values.broken_sequence() == (5, 6, 7)
    values.normalizers[0] = np.nan
    assert values.broken_sequence() == (5, 6)


def test_no_queries():
    assert Values(Plan.of([])).answers() == []
