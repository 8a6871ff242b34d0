from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from stages.common.errors import DataError
from stages.measures._stereoset_predictions import score_predictions

LABELS = ("stereotype", "anti-stereotype", "unrelated")


def example(name: str, domain: str, term: str) -> dict[str, Any]:
    return {"id": name, "target": term, "bias_type": domain, "context": "the BLANK", "sentences": [
        {"id": f"{name}-{label}", "sentence": f"the {label}", "labels": [], "gold_label": label} for label in LABELS]}


GOLD = {"version": "1", "data": {
    "intrasentence": [example("a", "gender", "mother"), example("b", "gender", "mother"),
                      example("c", "gender", "king"), example("d", "race", "king")],
    "intersentence": [example("e", "race", "king"), example("f", "religion", "nun")],
}}
# (stereotype, anti-stereotype, unrelated)
SCORES = {"a": (3, 2, 1), "b": (2, 2, 2), "c": (1, 2, 3), "d": (0.5, -0.5, -1e3), "e": (1, 3, 2), "f": (9, 8, 7)}


def predictions() -> dict[str, list[dict[str, Any]]]:
    return {
        kind: [{"id": f"{item['id']}-{label}", "score": score} for item in items
               for label, score in zip(LABELS, SCORES[item["id"]], strict=True)]
        for kind, items in GOLD["data"].items()
    }


def scored(folder: Path, given: Any, gold: Any = GOLD) -> dict[str, Any]:
    (folder / "gold.json").write_text(json.dumps(gold))
    (folder / "given.json").write_text(given if isinstance(given, str) else json.dumps(given))
    return score_predictions(folder / "gold.json", folder / "given.json")


def result(count: float, ss: float, lm: float) -> dict[str, Any]:
    return pytest.approx({"Count": count, "SS Score": ss, "LM Score": lm, "ICAT Score": lm * min(ss, 100 - ss) / 50})


def test_by_hand(tmp_path):
    found = scored(tmp_path, predictions())
    assert set(found) == {"intrasentence", "intersentence", "overall"}
    intra, inter = found["intrasentence"], found["intersentence"]
    assert set(intra) == {"gender", "race", "overall"}
    assert set(inter) == {"race", "religion", "overall"}
    # A domain counts each item three times. mother: 1 of 2 (a tie is no stereotype), related 2 of 4;
    # king: 0 of 1, 0 of 2.
    assert intra["gender"] == result(9, (50 + 0) / 2, (50 + 0) / 2)
    assert intra["race"] == result(3, 100, 100)
    # overall counts once; king: c and d, 1 of 2, related 2 of 4
    assert intra["overall"] == result(4, (50 + 50) / 2, (50 + 50) / 2)
    assert inter["race"] == result(3, 0, 50)
    assert inter["overall"] == result(2, (0 + 100) / 2, (50 + 100) / 2)
    # both kinds: mother 1 of 2, 2 of 4; king 1 of 3, 3 of 6; nun 1 of 1, 2 of 2
    assert found["overall"] == result(6, (50 + 100 / 3 + 100) / 3, (50 + 50 + 100) / 3)


def test_a_kind_that_was_not_predicted_is_not_evaluated(tmp_path):
    given = predictions()
    del given["intersentence"]
    found = scored(tmp_path, given)
    assert set(found) == {"intrasentence", "overall"}
    assert found["overall"] == found["intrasentence"]["overall"] == result(4, 50, 50)


def test_the_order_of_predictions_does_not_matter(tmp_path):
    given = predictions()
    expected = scored(tmp_path, given)
    for entries in given.values():
        entries.reverse()
    assert scored(tmp_path, given) == expected


@pytest.mark.parametrize(("change", "message"), [
    (lambda given: given["intrasentence"].pop(), r"1 ids of intrasentence without a score: d-unrelated"),
    (lambda given: given["intersentence"].clear(), r"6 ids of intersentence without a score: e-.*, \.\.\."),
    (lambda given: given["intrasentence"].append({"id": "z", "score": 1}), "1 ids .* not in gold.json: z"),
    (lambda given: given["intrasentence"].append({"id": "e-unrelated", "score": 1}), "not in gold.json: e-unrelated"),
    (lambda given: given["intrasentence"].append({"id": "a-unrelated", "score": 9}),
     r"intrasentence\[12\]: id a-unrelated is there twice"),
    (lambda given: given["intrasentence"][4].update(score=float("nan")), r"intrasentence\[4\]: score of b-.* is nan"),
    (lambda given: given["intrasentence"][4].update(score=float("-inf")), "is -inf, not a finite number"),
    (lambda given: given["intrasentence"][4].update(score="0.5"), "is '0.5', not a finite number"),
    (lambda given: given["intrasentence"][4].update(score=True), "is True, not a finite number"),
    (lambda given: given["intrasentence"][4].update(score=None), "is None, not a finite number"),
    (lambda given: given["intrasentence"][4].pop("score"), r"intrasentence\[4\]: is .*, not an object of id and score"),
    (lambda given: given["intrasentence"][4].update(id=None), "not an object of id and score"),
    (lambda given: given["intersentence"].insert(0, 3), r"intersentence\[0\]: is 3, not an object"),
    (lambda given: given.update(intersentence={}), "intersentence: is not an array"),
    (lambda given: given.update(overall=[]), "is not an object of intrasentence and intersentence"),
    (lambda given: given.clear(), "is not an object of intrasentence and intersentence"),
])
def test_broken_predictions_are_refused(tmp_path, change, message):
    given = predictions()
    change(given)
    with pytest.raises(DataError, match=message) as caught:
        scored(tmp_path, given)
    assert "given.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1", "null", "[]", "<html>"])
def test_files_that_are_no_predictions_are_refused(tmp_path, content):
    with pytest.raises(DataError, match=r"given\.json"):
        scored(tmp_path, content)


def test_a_missing_file_is_named(tmp_path):
    (tmp_path / "gold.json").write_text(json.dumps(GOLD))
    with pytest.raises(DataError, match=r"none\.json: no such file"):
        score_predictions(tmp_path / "gold.json", tmp_path / "none.json")
    with pytest.raises(DataError, match=r"none\.json: no such file"):
        score_predictions(tmp_path / "none.json", tmp_path / "gold.json")


@pytest.mark.parametrize(("change", "message"), [
    (lambda items: items[1]["sentences"][0].update(id=None), "1 items have sentences without an id, the first .*-1"),
    (lambda items: items[1]["sentences"][0].update(id="a-stereotype"), "sentence id a-stereotype is there twice"),
    (lambda items: items[1]["sentences"][0].update(gold_label="related"), "intrasentence-1: has not one sentence"),
    (lambda items: items[1]["sentences"][0].update(gold_label="unrelated"), "intrasentence-1: has not one sentence"),
])
def test_a_gold_file_that_cannot_be_matched_is_refused(tmp_path, change, message):
    gold = copy.deepcopy(GOLD)
    change(gold["data"]["intrasentence"])
    with pytest.raises(DataError, match=message) as caught:
        scored(tmp_path, predictions(), gold)
    assert "gold.json" in str(caught.value)


def test_scores_of_a_kind_the_gold_file_lacks_are_refused(tmp_path):
    gold = copy.deepcopy(GOLD)
    gold["data"]["intersentence"] = []
    with pytest.raises(DataError, match=r"6 scores of intersentence, but .*gold\.json has no such items"):
        scored(tmp_path, predictions(), gold)
