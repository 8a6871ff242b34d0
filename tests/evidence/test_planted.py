"""What every measure says of models that were made to say it."""

import numpy as np
import pandas as pd
import pytest

from stages.evidence.calibration import Bounds
from stages.evidence.calibration_rows import Tables, tables
from stages.evidence.calibration_summary import Grid, summarise
from stages.evidence.planted import margins
from stages.evidence.retention import retention_rows, verdict
from stages.reporting.calibration_tables import calibration_text
from tests.evidence.planted_cells import KINDS, cell, world

GRID = Grid("fp32", [("a", "b", "gender")], resamples=100, confidence=0.95, seed=1)
LOGIT = {0.5: 0.0, 0.8: np.log(4), 0.9: np.log(9)}


def measured(*cells):
    return tables(cells, "fp32", {}, resamples=200, confidence=0.95, seed=1)


@pytest.fixture(scope="module")
def found():
    one, other = world(gender=0.5, race=0.8, religion=0.9), world(gender=0.9, race=0.8, religion=0.9)
    third = world(seed=2, gender=0.8, race=(0.9, 0.9), religion=0.5)
    variants = {"flat": 0.5, "same": 1.0}
    return measured(*(cell(planted, name, seed=seed, variants=variants, checkpoints=("p010", "p100"))
                      for name, planted in (("a", one), ("b", other), ("c", third)) for seed in (1, 2)))


@pytest.fixture(scope="module")
def summary(found):
    return summarise(found, GRID)["neox"]


def test_log_odds_are_the_mean_margin_and_know_their_truth(found):
    rows = found.levels[(found.levels["measure"] == "log_odds") & (found.levels["variant"] == "fp32")
                        & (found.levels["checkpoint"] == "p100") & ~found.levels["control"]]
    assert len(rows) == 3 * 3 * 2 * len(KINDS)  # pairs, triples, both
    assert rows["value"].to_numpy() == pytest.approx(0.8 * rows["planted"].to_numpy())
    truth = rows[rows["dataset"] == "crows_pairs"].set_index(["world", "seed", "kind"])["planted"]
    assert truth["a", 1, "race"] == pytest.approx(LOGIT[0.8])
    assert truth["c", 1, "race"] == pytest.approx(np.log(0.82 / 0.18))  # 0.9 x 0.9 + 0.1 x 0.1
    assert rows.loc[rows["proxy"], ["world", "kind"]].drop_duplicates().to_numpy().tolist() == [["c", "race"]]


def test_both_is_the_mean_of_pairs_and_triples_on_all_items():
    one = cell(world(gender=0.9))
    wide = one.result.records
    wide.loc[(wide["dataset"] == "stereoset") & (wide["role"] == "stereo"), "logprob"] += 1.0
    rows = measured(one).levels
    rows = rows[(rows["measure"] == "log_odds") & (rows["kind"] == "gender") & ~rows["control"]]
    found = rows.set_index("dataset")[["value", "items"]]
    assert found["value"].to_dict() == pytest.approx({
        "crows_pairs": 0.8 * LOGIT[0.9], "stereoset": 0.8 * LOGIT[0.9] + 1, "both": 0.8 * LOGIT[0.9] + 0.5})
    assert found["items"].to_dict() == {"crows_pairs": 32, "stereoset": 32, "both": 64}


def test_published_measures_are_theirs(found):
    last = found.levels[(found.levels["variant"] == "fp32") & (found.levels["checkpoint"] == "p100")
                        & (found.levels["world"] == "a") & (found.levels["seed"] == 1)]
    rows = last[~last["control"]].set_index(["measure", "kind"])["value"]
    # Margins of race lie evenly within 1 of 0.8 ln 4 = 1.109: all of them are above 0.
    assert rows["score", "race"] == rows["ss", "race"] == 100
    assert rows["score", "gender"] == 50
    assert rows["log_odds", "race"].to_numpy() == pytest.approx(0.8 * LOGIT[0.8])
    assert rows["effect_size", "religion"] > rows["effect_size", "race"] > 0.5
    assert abs(rows["effect_size", "gender"]) < 0.6


def test_nothing_is_planted_in_controls(found):
    controls = found.levels[found.levels["control"]]
    assert set(controls["dataset"]) == {"both", "crows_pairs", "stereoset"}
    assert (controls["planted"] == 0).all()
    assert controls.loc[controls["measure"] == "log_odds", "value"].abs().max() < 1e-9


def test_intervals_hold_the_value_and_a_unanimous_share_is_no_point(found):
    rows = found.levels[found.levels["low"].notna()]
    assert ((rows["low"] <= rows["value"] + 1e-9) & (rows["value"] <= rows["high"] + 1e-9)).all()
    # Wilson for 8 of 8 clusters, z = 1.96: 1 / (1 + 3.8416 / 8).
    sure = rows[(rows["measure"] == "score") & (rows["value"] == 100)]
    assert sure["low"].to_numpy() == pytest.approx(100 / (1 + 1.959964**2 / 8))


def test_the_summary_finds_the_slope_the_truth_has(summary):
    pairs = summary["measures"]["crows_pairs"]["log_odds"]
    assert pairs["slope"]["value"] == pytest.approx(0.8)
    assert pairs["intercept"]["value"] == pytest.approx(0, abs=1e-9)
    assert pairs["rank"] == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert pairs["saturation"] == pytest.approx(0.95 * LOGIT[0.9])
    assert pairs["specificity"] == pytest.approx(
        {"own": 0.8 * LOGIT[0.9], "others": 0, "floor": 0, "within": 1}, abs=1e-9)
    assert pairs["checkpoints"] == pytest.approx({"p010": 0.08, "p100": 0.8})
    assert pairs["proxy"]["value"] == pytest.approx(pairs["proxy"]["direct"])
    assert summary["measures"]["crows_pairs"]["score"]["saturation"] <= LOGIT[0.8]


def test_seeds_that_differ_take_small_findings_away():
    # Two seeds 0.4 apart: variance 0.08, so a level must be 1.96 x sqrt(0.08) = 0.554 from 0 to be found.
    planted = world(gender=0.8, race=0.7, religion=0.6)
    cells = [cell(planted, "w", seed=seed, slope=1.0, shift=shift) for seed, shift in ((1, 0.0), (2, 0.4))]
    pairs = summarise(measured(*cells), GRID)["neox"]["measures"]["crows_pairs"]["log_odds"]
    assert pairs["specificity"]["floor"] == pytest.approx(1.96 * np.sqrt(2 * 0.08))
    shares = {level: share["value"] for level, share in pairs["detected_beyond_seeds"]["planted"].items()}
    # ln 1.5 = 0.41: 0.41 is nearer, 0.81 not; ln 7/3 = 0.85 and ln 4 = 1.39 are beyond it.
    assert shares == {"0_41": 0.5, "0_85": 1.0, "1_39": 1.0}


def test_false_positives_and_power_are_counted_apart(summary):
    shares = summary["measures"]["stereoset"]["log_odds"]["detected"]
    assert shares["unplanted"]["cells"] == 4  # gender of a, religion of c, two seeds
    assert shares["unplanted"]["value"] == shares["control"]["value"] == 0
    assert (shares["control"]["cells"], shares["none"]["cells"]) == (18, 22)
    assert {level: (share["value"], share["cells"]) for level, share in shares["planted"].items()} == {
        "1_39": (1.0, 6), "2_20": (1.0, 6)}
    assert {level: (share["value"], share["cells"]) for level, share in shares["proxied"].items()} == {"1_52": (1.0, 2)}


def test_the_text_tells_proxies_apart_and_where_seeds_are_not_known(found, summary):
    text = calibration_text({"neox": summary}, "g", worlds=3, models=6)
    assert "| found: 1.39 | found: 1.52 (proxy) | found: 2.20 |" in text
    assert "| 0% of 4 | 0% of 18 | 0% of 22 | 100% of 6 | 100% of 2 | 100% of 6 |" in text
    assert "one seed a world" not in text
    rows = found.levels[found.levels["seed"] == 1]
    alone = summarise(Tables(rows, found.retained[found.retained["seed"] == 1]), GRID)
    assert "Trained with one seed a world" in calibration_text(alone, "g", worlds=3, models=3)


def test_a_variant_that_halves_every_margin_has_lost_confidence_alone(summary):
    flat = summary["variants"]["flat"]
    assert (flat["slope"]["value"], flat["scale"], flat["meaning"]) == pytest.approx((0.5, 0.5, 0.5))
    assert (flat["correlation"], flat["flips"]) == pytest.approx((1, 0))
    assert flat["entropy"] == pytest.approx(0.5)
    assert flat["perplexity"] == pytest.approx(np.exp(0.5))
    assert flat["measures"]["crows_pairs"]["log_odds"] == pytest.approx(0.5)
    assert flat["verdict"] == "shrunk with confidence"


def test_a_variant_that_changes_nothing_keeps_the_association(summary):
    same = summary["variants"]["same"]
    assert same["slope"] == pytest.approx({"value": 1, "low": 1, "high": 1})
    assert same["verdict"] == "kept"


def test_the_order_of_cells_makes_no_difference():
    cells = [cell(world(gender=0.9), name, seed=seed, variants={"flat": 0.5}) for name in "ab" for seed in (1, 2)]
    one, other = measured(*cells), measured(*cells[::-1])
    assert one.levels.equals(other.levels)
    assert summarise(one, GRID) == summarise(other, GRID)


@pytest.mark.parametrize(
    ("slope", "low", "high", "meaning", "said"),
    [
        (1.0, 0.96, 1.04, 0.5, "kept"), (1.0, 0.9, 1.1, 1.0, "undecided"), (1.2, 1.1, 1.3, 1.0, "grown"),
        (0.97, 0.95, 0.99, 0.5, "kept"), (0.6, 0.5, 0.7, 0.65, "shrunk with confidence"),
        (0.5, 0.4, 0.6, 0.9, "shrunk beyond confidence"), (0.5, -0.1, 1.1, 0.9, "undecided"),
    ],
)
def test_the_verdict_follows_its_rule(slope, low, high, meaning, said):
    assert verdict(Bounds(slope, low, high), meaning) == said


def test_retention_tells_shrunken_from_scrambled_margins():
    def frame(values):
        return pd.DataFrame({"category": "gender", "margin": values, "meaning": [2.0, 3.0, 4.0, 5.0], "entropy": 1.0},
                            index=pd.Index(list("abcd"), name="item"))

    parent = frame([1.0, -1.0, 2.0, 0.5])
    (shrunken,) = retention_rows(parent, frame([0.5, -0.5, 1.0, 0.25])).to_dict("records")
    assert (shrunken["correlation"], shrunken["scale"], shrunken["flips"]) == pytest.approx((1, 0.5, 0))
    (turned,) = retention_rows(parent, frame([-1.0, 1.0, -2.0, 0.5]).iloc[::-1]).to_dict("records")
    # (-1 - 1 - 4 + 0.25) / (1 + 1 + 4 + 0.25)
    assert turned["scale"] == pytest.approx(-5.75 / 6.25)
    assert turned["flips"] == 0.75
    assert shrunken["meaning"] == 1


def test_margins_are_of_whole_texts():
    found = margins(cell(world(gender=0.9)).result.of("fp32", "stereoset"), ("stereo", "anti", "unrelated"))
    assert found["meaning"].to_numpy() == pytest.approx(np.full(len(found), 4.0))
    assert found.loc[found["category"] == "gender", "margin"].mean() == pytest.approx(0.8 * LOGIT[0.9])
