from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from stages import measures
from stages.common.errors import DataError
from stages.common.records import SCHEMA, read_records, write_records, write_table
from stages.evidence.change import change
from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.metrics import measured
from stages.evidence.multiplicity import benjamini_hochberg
from stages.evidence.runs import open_run
from stages.evidence.settings import Compare
from stages.evidence.table import COLUMNS, NAMES
from tests.evidence.synthetic import pairs, world, write_run

GRID = Grid(Compare(resamples=400), seed=0)
BEFORE = {
    ("crows_pairs", "race", "score"):
        (54.0, 41.619989234, 67.561768782, -0.666666667, -2.449338306, 0.0, 0.501246883),
    ("crows_pairs", "overall", "log_odds"):
        (0.135071018, 0.038073733, 0.228625455, -0.090272068, -0.148892468, -0.026144202, 0.004987531),
    ("stereoset_dev", "gender", "ss"):
        (57.96474359, 39.96352601, 75.965961169, 1.19047619, -1.869740281, 4.250692661, 0.515625),
    ("stereoset_dev", "overall", "lm"):
        # No comparison turned in any of 35 terms: an interval of 100 (1 - .05^(1/35)) = 8.203 each way.
        (96.223356009, 94.39194774, 97.58094162, 0.0, -8.203163586, 8.203163586, 1.0),
    ("seat", "gender", "mean_abs_effect"):
        (1.20756535, 0.708411399, 1.652240296, -0.148975634, -0.283629058, 0.309095399, 0.119700748),
    ("seat", "t2", "effect_size"):
        (1.374666554, 0.796001475, 1.750274813, -0.214559605, -0.497303271, -0.016393425, 0.014962594),
    ("corpus", "test", "word_perplexity"):
        (22.590788436, 20.160244194, 25.490858221, 2.554556491, 2.279711609, 2.882495115, 0.004987531),
}


def cells(parent, child):
    return [Cell("m", "fp32", open_run(parent)), Cell("m", "int8", open_run(child), open_run(parent))]


def table(parent, child, grid=GRID):
    return evidence(cells(parent, child), grid).table


def row(rows, **chosen):
    for name, value in chosen.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1, chosen
    return rows.iloc[0]


def test_every_cell_has_a_row_with_interval_change_and_corrected_p(runs):
    found = table(*runs())
    assert list(found.columns) == list(COLUMNS)  # of which the compare stage fills floors, noise and verdicts
    assert not found.duplicated(list(NAMES)).any()
    child = found[found["variant"] == "int8"]
    assert child[["value", "parent", "change", "p_value", "p_adjusted", "p_holm"]].notna().all(axis=None)
    assert found.loc[found["variant"] == "fp32", ["parent", "change", "p_value"]].isna().all(axis=None)
    assert (child["value"] - child["parent"] - child["change"]).abs().max() < 1e-8
    held = child[child["ci_low"].notna()]
    assert ((held["ci_low"] <= held["value"]) & (held["value"] <= held["ci_high"])).all()
    assert set(child.loc[child["dataset"] == "crows_pairs", "category"]) == {"gender", "race", "religion", "overall"}


def test_flips_and_change_by_hand(tmp_path):
    # a, b turn away from the stereotype, c turns to it: 3 of 4 preferred before, 2 of 4 after.
    parent = write_run(tmp_path / "p", {"crows_pairs": pairs({"a": .1, "b": .1, "c": -.1, "d": .1})})
    child = write_run(tmp_path / "c", {"crows_pairs": pairs({"a": -.1, "b": -.1, "c": .1, "d": .1})})
    found = row(table(parent, child), variant="int8", category="overall", metric="score")
    assert (found["parent"], found["value"], found["change"]) == (75.0, 50.0, -25.0)
    assert (found["flips_more"], found["flips_less"], found["p_mcnemar"]) == (1, 2, 1.0)
    graded = row(table(parent, child), variant="int8", category="overall", metric="log_odds")
    # Margins moved by -.2, -.2, +.2, 0: mean -.05.
    assert graded["change"] == pytest.approx(-0.05)


def test_models_are_independent_of_each_other(runs, tmp_path):
    parent, child = runs()
    alone = table(parent, child)
    other = write_run(tmp_path / "other", world(9))
    grown = evidence([*cells(parent, child), Cell("n", "fp32", open_run(other))], GRID).table
    pd.testing.assert_frame_equal(grown[grown["model"] == "m"].reset_index(drop=True), alone)


def test_the_same_model_twice_has_nothing_to_find(runs, tmp_path):
    parent, _ = runs()
    same = write_run(tmp_path / "same", world(3))
    found = table(parent, same)
    child = found[found["variant"] == "int8"]
    assert (child["change"] == 0).all()
    assert (child["p_value"] == 1).all()


def test_false_positives_of_the_corrected_grid_under_score_noise():
    # The same model with independent noise on every score: nominally at most 5% of grids have any finding.
    rng = np.random.default_rng(0)
    rule = measured("pair_preference", measures.get("pair_preference").Options(), "masked")
    parent = rule.items(world(3)["crows_pairs"])
    categories = ["gender", "race", "religion", "overall"]
    grids = 0
    for _ in range(150):
        child = parent.copy()
        for role in ("stereo", "anti"):
            noise = rng.normal(0, 0.05, len(child))
            child[f"score_{role}"] += noise
            child[f"log_{role}"] += noise
        p_values = []
        for category in categories:
            chosen = parent["category"].isin([category] if category != "overall" else parent["category"])
            p_values += [change(metric, parent[chosen], child[chosen], GRID.compare, 0, category)["p_value"]
                         for metric in rule.metrics]
        grids += (benjamini_hochberg(np.array(p_values)) < 0.05).any()
    assert grids / 150 <= 0.10  # 5% with a standard error of 1.8%


def test_quality_stands_beside_every_row(runs):
    found = table(*runs())
    child = found[found["variant"] == "int8"]
    lm = row(child, dataset="stereoset_dev", category="overall", metric="lm")["change"]
    perplexity = row(child, dataset="corpus", metric="perplexity")["change"]
    assert (child["lm_change"] == lm).all()
    assert (child["perplexity_change"] == perplexity).all()
    assert found.loc[found["variant"] == "fp32", "lm_change"].isna().all()


def test_a_changed_item_is_refused_naming_file_side_and_item(runs):
    parent, child = runs()
    path = child / "p100" / "crows_pairs.parquet"
    records = read_records(path)
    write_records(path, records[records["item"] != "race-0007"])
    with pytest.raises(DataError, match=r"child/p100/crows_pairs\.parquet: only the parent has item race-0007"):
        table(parent, child)


def test_nan_scores_are_refused_naming_file_and_item(runs):
    parent, child = runs()
    path = child / "p100" / "stereoset_dev.parquet"
    records = read_records(path)
    records.loc[records["item"] == "race-0007", "score"] = np.nan
    write_table(path, pa.Table.from_pandas(records, schema=SCHEMA, preserve_index=False))
    with pytest.raises(DataError, match=r"child/p100/stereoset_dev\.parquet.*race-0007"):
        table(parent, child)


def test_a_parent_of_another_family_or_without_the_dataset_is_refused(runs):
    parent, child = runs()
    described = json.loads((parent / "run.json").read_text())
    (parent / "run.json").write_text(json.dumps({**described, "family": "causal"}))
    with pytest.raises(DataError, match="masked model and its parent a causal"):
        table(parent, child)
    described["datasets"].pop("seat")
    (parent / "run.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match="lacks the dataset seat"):
        table(parent, child)


def test_unscored_pairs_of_one_side_are_left_out_of_the_change_and_counted(tmp_path):
    child = pairs({"a": .1, "b": -.1, "c": .1})
    gone = child["item"] == "c"
    child.loc[gone, ["scored", "score", "logprob"]] = [0, np.nan, np.nan]
    found = row(table(write_run(tmp_path / "p", {"crows_pairs": pairs({"a": .1, "b": .1, "c": .1})}),
                      write_run(tmp_path / "c", {"crows_pairs": child})),
                variant="int8", category="overall", metric="score")
    assert (found["items"], found["paired_items"], found["parent"], found["value"]) == (2, 2, 100.0, 50.0)


def test_all_ties_and_one_cluster_are_stated(tmp_path):
    everywhere = dict.fromkeys("abcd", "he|she")
    parent = write_run(tmp_path / "p", {"crows_pairs": pairs(dict.fromkeys("abcd", 0.0), everywhere)})
    child = write_run(tmp_path / "c", {"crows_pairs": pairs(dict.fromkeys("abcd", 0.2), everywhere)})
    found = row(table(parent, child), variant="int8", category="overall", metric="score")
    # Ties are no stereotype: 0 of 4 before, 4 of 4 after. One cluster says nothing of others: no interval, p 1.
    assert (found["parent"], found["value"], found["change"], found["p_value"]) == (0.0, 100.0, 100.0, 1.0)
    assert found["ci_method"] == "none"
    assert np.isnan(found["ci_low"])
    assert found["wilson_high"] == 100.0


def test_all_the_same_preference_gets_an_interval_with_a_width(tmp_path):
    records = {"crows_pairs": pairs({f"i{n:02d}": 0.1 for n in range(20)})}
    run = write_run(tmp_path / "p", records)
    found = row(evidence([Cell("m", "fp32", open_run(run))], GRID).table, category="overall", metric="score")
    # Wilson for 20 of 20 clusters: 20 / (20 + 1.96^2) = .8389.
    assert (found["ci_method"], found["ci_high"]) == ("wilson", 100.0)
    assert found["ci_low"] == pytest.approx(83.89, abs=0.01)


def test_every_item_turned_is_a_change_of_a_hundred_points(tmp_path):
    names = [f"i{n:02d}" for n in range(12)]
    parent = write_run(tmp_path / "p", {"crows_pairs": pairs(dict.fromkeys(names, 0.1))})
    child = write_run(tmp_path / "c", {"crows_pairs": pairs(dict.fromkeys(names, -0.1))})
    found = row(table(parent, child), variant="int8", category="overall", metric="score")
    assert (found["change"], found["flips_less"], found["flips_more"]) == (-100.0, 12, 0)
    assert found["p_mcnemar"] == pytest.approx(2 / 2**12, abs=1e-9)
    # All differences of one sign: of 400 sampled sign patterns of 12 clusters hardly one is as extreme.
    assert found["p_value"] == pytest.approx(1 / 401, abs=1 / 401)
    assert (found["change_method"], found["p_equivalence"]) == ("unmoved", 1.0)
    assert np.isnan(found["minimum_detectable"])  # without any variation the power is not known


@pytest.mark.parametrize(("clusters", "p"), [(3, 0.97**3), (40, 0.97**40), (200, 0.97**200)])
def test_no_flips_in_few_clusters_are_no_equivalence(tmp_path, clusters, p):
    run = write_run(tmp_path / "p", {"crows_pairs": pairs({f"i{n:03d}": 0.1 for n in range(clusters)})})
    same = write_run(tmp_path / "c", {"crows_pairs": pairs({f"i{n:03d}": 0.2 for n in range(clusters)})})
    found = row(table(run, same), variant="int8", category="overall", metric="score")
    assert found["p_equivalence"] == pytest.approx(p, abs=1e-9)  # the margin is 3 points
    # A true change of h points leaves every cluster as it is with probability (1 - h/100)^n: .05 at the interval's end.
    assert found["change_method"] == "unmoved"
    assert found["change_high"] == -found["change_low"] == pytest.approx(100 * (1 - 0.05 ** (1 / clusters)))
    assert (1 - found["change_high"] / 100) ** clusters == pytest.approx(0.05)


def test_uneven_clusters_that_did_not_move_are_worth_fewer(tmp_path):
    # One cluster of 9 items and 9 of one: 18^2 / (81 + 9) = 3.6 clusters of equal weight.
    clusters = {f"i{n:02d}": "big" if n < 9 else str(n) for n in range(18)}
    runs = [write_run(tmp_path / name, {"crows_pairs": pairs(dict.fromkeys(clusters, margin), clusters)})
            for name, margin in (("p", 0.1), ("c", 0.2))]
    found = row(table(*runs), variant="int8", category="overall", metric="score")
    assert (found["clusters"], found["effective_items"]) == (10, pytest.approx(3.6))
    assert found["p_equivalence"] == pytest.approx(0.97**3.6)
    assert found["change_high"] == pytest.approx(100 * (1 - 0.05 ** (1 / 3.6)))
    # Wilson for 3.6 of 3.6 at z = 1.96: 3.6 / (3.6 + 3.8415).
    assert found["ci_low"] == pytest.approx(100 * 3.6 / (3.6 + 1.959964**2), abs=1e-4)


def test_every_mean_over_items_has_its_effective_number(runs):
    found = table(*runs())
    assert set(found.loc[found["effective_items"].notna(), "metric"]) == {"score", "ss", "lm", "log_odds"}
    graded = found[found["metric"] == "log_odds"]
    assert (graded["effective_items"] <= graded["items"]).all()
    # Clusters share an effect of sd .6 beside noise of .5: an item is worth well under one.
    pooled = row(found, variant="fp32", dataset="crows_pairs", category="overall", metric="log_odds")
    assert 67 < pooled["effective_items"] < 200  # 300 items in 67 clusters


def test_a_student_with_another_tokenizer_is_compared_on_items(tmp_path):
    teacher, student = world(3), world(3, 0.9)
    for name in ("crows_pairs", "stereoset_dev", "corpus"):
        records = student[name]
        more = records["scored"] + 1
        student[name] = records.assign(scored=more, tokens=records["tokens"] + 1,
                                       logprob=records["logprob"] / records["scored"] * more)
    gone = student["crows_pairs"]["item"].isin(["race-0001", "race-0002"])
    student["crows_pairs"].loc[gone, ["scored", "score", "logprob"]] = [0, np.nan, np.nan]
    found = table(write_run(tmp_path / "teacher", teacher), write_run(tmp_path / "student", student))
    race = row(found, variant="int8", dataset="crows_pairs", category="race", metric="score")
    assert (race["items"], race["paired_items"]) == (148, 148)
    # Tokens are other units in the two models, words are the same.
    tokens, words = (row(found, variant="int8", dataset="corpus", metric=metric)
                     for metric in ("perplexity", "word_perplexity"))
    assert tokens[["value"]].notna().all()
    assert tokens[["parent", "change", "p_value"]].isna().all()
    assert words[["change", "p_value"]].notna().all()
    assert found.loc[found["variant"] == "int8", "perplexity_change"].isna().all()
    assert found.loc[found["variant"] == "int8", "word_perplexity_ratio"].notna().all()


def test_seat_records_of_other_texts_are_refused_naming_the_file_and_the_item(runs):
    parent, child = runs()
    path = child / "p100" / "seat.parquet"
    records = read_records(path)
    one = records["item"] == "t2/X/0003"
    records.loc[one, "text_sha"] = records.loc[records["item"] == "t2/X/0004", "text_sha"].iloc[0]
    write_records(path, records)
    with pytest.raises(DataError, match=r"child/p100/seat\.parquet: parent and child have other.* item t2/X/0003"):
        table(parent, child)


def test_models_that_scored_no_item_in_common_are_refused(tmp_path):
    margins = {"a": 0.1, "b": 0.2}
    sides = []
    for gone in margins:
        records = pairs(margins)
        records.loc[records["item"] == gone, ["scored", "score", "logprob"]] = [0, np.nan, np.nan]
        sides.append(write_run(tmp_path / gone, {"crows_pairs": records}))
    with pytest.raises(DataError, match="parent and child have no scored item in common"):
        table(*sides)


def test_bins_are_of_the_children_and_of_preferences(runs):
    found = evidence(cells(*runs()), GRID).bins
    assert set(found["variant"]) == {"int8"}
    assert set(found["dataset"]) == {"crows_pairs", "stereoset_dev"}
    assert found.groupby("dataset")["items"].sum().to_dict() == {"crows_pairs": 300, "stereoset_dev": 264}


def test_numbers_stay_what_they_were(runs):
    # Of 400 resamples of synthetic records, by the first implementation, which resampled each cell and metric alone
    # (p-values since: patterns that tie with the observed one count half; changes of exactly 0: an interval).
    found = table(*runs())
    for (dataset, category, metric), expected in BEFORE.items():
        got = row(found, variant="int8", dataset=dataset, category=category, metric=metric)
        columns = ["value", "ci_low", "ci_high", "change", "change_low", "change_high", "p_value"]
        assert got[columns].tolist() == pytest.approx(expected, abs=2e-9), (dataset, category, metric)
