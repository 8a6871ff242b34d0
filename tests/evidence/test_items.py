from __future__ import annotations

import numpy as np
import pytest

from stages.common.errors import DataError
from stages.evidence.items import align, items_by_role, items_by_text
from tests.evidence.synthetic import frame, pairs

ROLES = ("stereo", "anti")


def test_a_pair_becomes_one_row_with_category_cluster_and_log_probabilities_at_equal_length():
    records = frame([
        {"item": "2", "role": "stereo", "cluster": "he|she", "score": -1.0, "logprob": -2.0, "scored": 2},
        {"item": "2", "role": "anti", "cluster": "he|she", "score": -1.5, "logprob": -4.5, "scored": 3},
    ])
    items = items_by_role(records, ROLES)
    assert items.loc["2", ["category", "cluster"]].tolist() == ["gender", "he|she"]
    assert items.loc["2", "log_stereo"] - items.loc["2", "log_anti"] == pytest.approx((-2.0 / 2 + 4.5 / 3) * 2.5)
    assert bool(items.loc["2", "usable"])


def test_order_of_records_does_not_matter():
    records = pairs({f"i{n}": n / 10 for n in range(12)})
    assert items_by_role(records, ROLES).equals(items_by_role(records.sample(frac=1, random_state=0), ROLES))


@pytest.mark.parametrize(("damage", "message"), [
    (lambda r: r[~((r["item"] == "b") & (r["role"] == "anti"))], "'b'"),
    (lambda r: r.assign(score=r["score"].where(r["item"] != "c")), "'c'"),
    (lambda r: r.assign(logprob=r["logprob"].where(r["item"] != "c", np.inf)), "'c'"),
    (lambda r: r.assign(cluster=[f"x{n}" for n in range(len(r))]), "cluster"),
])
def test_damaged_records_are_refused_by_name(damage, message):
    records = pairs({"a": 0.1, "b": 0.2, "c": 0.3})
    with pytest.raises(DataError, match=message):
        items_by_role(damage(records), ROLES)


def test_unscored_items_stay_but_are_left_out_on_both_sides():
    parent, child = pairs({"a": 0.1, "b": 0.2, "c": 0.3}), pairs({"a": 0.1, "b": 0.2, "c": 0.3})
    gone = child["item"] == "b"
    child.loc[gone, ["scored", "score", "logprob"]] = [0, np.nan, np.nan]
    before, after = align(items_by_role(parent, ROLES), items_by_role(child, ROLES))
    assert list(before.index) == list(after.index) == ["a", "c"]


def test_other_items_are_refused_naming_the_side_and_the_items():
    parent, child = (items_by_role(pairs(dict.fromkeys(names, 0.1)), ROLES) for names in ("abcdefgh", "a"))
    with pytest.raises(DataError, match="only the parent has items b, c, d, e, f and 2 more"):
        align(parent, child)
    with pytest.raises(DataError, match="only the child has items b"):
        align(child, parent)


@pytest.mark.parametrize("column", ["text_sha", "cluster", "category"])
def test_the_same_item_with_another_text_cluster_or_category_is_refused(column):
    parent = pairs({"a": 0.1, "b": 0.2})
    child = parent.copy()
    child.loc[child["item"] == "b", column] = ["p", "q"] if column == "text_sha" else "other"
    with pytest.raises(DataError, match="other texts, categories or clusters in item b"):
        align(items_by_role(parent, ROLES), items_by_role(child, ROLES))


def test_a_text_with_two_records_is_refused():
    records = frame([{"item": "t", "role": "text", "cluster": "c", "score": -1.0}] * 2)
    with pytest.raises(DataError, match="item t"):
        items_by_text(records)


def test_no_scored_items_at_all_is_an_empty_table():
    records = pairs({"a": 0.1})
    records[["scored", "score", "logprob"]] = [0, np.nan, np.nan]
    items = items_by_role(records, ROLES)
    assert not items["usable"].any()
    before, after = align(items, items)
    assert before.empty
    assert after.empty


def test_a_text_that_was_scored_without_a_finite_log_probability_is_refused():
    records = frame([{"item": name, "role": "text", "cluster": "c", "score": -1.0} for name in "tu"])
    records.loc[1, "logprob"] = np.nan
    with pytest.raises(DataError, match="not a finite number in item u"):
        items_by_text(records)
    assert items_by_text(records.assign(scored=[1, 0]))["usable"].tolist() == [True, False]


def test_entropy_of_an_item_is_that_of_the_two_texts_compared():
    records = frame([{"item": "a", "role": role, "cluster": "c", "score": 0.1, "entropy": entropy}
                     for role, entropy in (("stereo", 1.0), ("anti", 2.0), ("unrelated", 9.0))])
    assert items_by_role(records, ("stereo", "anti", "unrelated")).loc["a", "entropy"] == 1.5
