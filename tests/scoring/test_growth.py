"""What a query adds to a process's memory."""

import tracemalloc

import pytest

from stages.common.query import Query
from stages.scoring.engine import Scorer
from tests.scoring.tiny import make

FEW = 150
BYTES = {"masked": 600, "causal": 900}
"""Half of it are the answers themselves: two arrays a query."""


def queries(family, count):
    if family == "masked":
        return [Query((3 + k % 80, 3 + k // 80, 9, 9, 9), (1,), (9,)) for k in range(count)]
    return [Query((3 + k % 80, 3 + k // 80, 9, 9), (0, 1, 2), (9, 9, 9)) for k in range(count)]


def peak(scorer, asked):
    tracemalloc.start()
    scorer.read(asked)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize(("architecture", "family"), [("bert", "masked"), ("gpt_neox", "causal")])
def test_memory_grows_by_little_more_than_the_answers(architecture, family):
    scorer = Scorer(make(architecture, family), token_budget=4096)
    scorer.read(queries(family, 10))
    few, many = (peak(scorer, queries(family, times * FEW)) for times in (1, 16))
    assert many - few < 15 * FEW * BYTES[family]
