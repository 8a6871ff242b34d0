"""Contrasts from records: the walk over datasets, noise controls, the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.common.errors import DataError
from stages.evidence.contrast import COLUMNS, contrast_table
from stages.evidence.contrast_grid import contrast_rows
from stages.evidence.contrast_levels import Levels, of_items
from stages.evidence.contrast_metrics import How
from stages.evidence.contrast_noise import against_noise
from stages.evidence.contrast_runs import ModelRuns, open_checkpoints
from stages.evidence.metrics import Metric
from stages.evidence.multiplicity import benjamini_hochberg
from stages.evidence.resampling import bootstrap_draws
from stages.evidence.runs import open_run
from stages.evidence.settings import Compare, Contrast
from tests.evidence.synthetic import pairs
from tests.evidence.training_runs import corpus, effects, write_checkpoints

MARGINS = {
    "p050": {"a": .4, "b": -.2, "c": .1, "d": -.1},  # mean .05
    "p100": {"a": .8, "b": .2, "c": .3, "d": -.1},  # mean .30
    "int8": {"a": .5, "b": .1, "c": .2, "d": -.4},  # mean .10
    "noise1": {"a": .3, "b": .1, "c": .2, "d": .2},  # mean .20
    "noise2": {"a": .6, "b": .1, "c": .2, "d": .3},  # mean .30
}
LOSSES = {"p050": 5.0, "p100": 4.0, "int8": 4.2, "noise1": 4.1, "noise2": 3.9}


def records(name: str) -> dict:
    seat, vectors = effects({"p050": 0.2, "p100": 1.0}.get(name, 0.6))
    return {"crows_pairs": pairs(MARGINS[name], dataset="crows_pairs"), "seat": seat, "seat.vectors": vectors,
            "corpus": corpus([LOSSES[name] + wobble for wobble in (-.2, -.1, 0, .1, .2)])}


@pytest.fixture
def runs(tmp_path):
    parent = write_checkpoints(tmp_path / "fp32", {"p050": (0.5, records("p050")), "p100": (1.0, records("p100"))})
    checkpoints, fractions = open_checkpoints(parent)
    variants = {name: open_run(write_checkpoints(tmp_path / name, {"p100": (1.0, records(name))}))
                for name in ("int8", "noise1", "noise2")}
    return ModelRuns("bert", checkpoints, fractions, variants, {"int8": ("noise1", "noise2")})


def found(runs, **settings):
    how = How(Contrast(resamples=300, **settings), Compare(), 0, "corpus")
    return contrast_table(contrast_rows(runs, how))


def row(table, **chosen):
    for name, value in chosen.items():
        table = table[table[name] == value]
    assert len(table) == 1, chosen
    return table.iloc[0]


def test_the_matched_contrast_by_hand(runs):
    table = found(runs)
    cell = row(table, analysis="matched", variant="int8", metric="log_odds", category="overall")
    # Loss 4.2 lies .8 of the way from 5 to 4: matched to .05 + .8 * .25 = .25, and .9 of training.
    assert cell["value"] == pytest.approx(0.10)
    assert cell["reference"] == pytest.approx(0.25)
    assert cell["estimate"] == pytest.approx(-0.15)
    assert cell["fraction"] == pytest.approx(0.9)
    assert cell["against"] == "p050-p100"
    score = row(table, analysis="matched", variant="int8", metric="score", category="gender")
    # 50% and 75% preferred at the checkpoints: 70 expected, 75 found.
    assert (score["value"], score["reference"], score["estimate"]) == pytest.approx((75, 70, 5))
    better = row(table, analysis="matched", variant="noise2", metric="log_odds", category="overall")
    assert (better["against"], better["note"]) == ("p100", "as good as the last checkpoint")
    assert better["estimate"] == pytest.approx(0.0)


def test_the_noise_contrast_by_hand(runs):
    table = found(runs)
    cell = row(table, analysis="noise", variant="int8", metric="log_odds", category="overall")
    assert (cell["against"], cell["seeds"]) == ("noise1+noise2", 2)
    assert (cell["reference"], cell["estimate"]) == pytest.approx((0.25, -0.15))
    assert cell["low"] < -0.15 < cell["high"]
    assert set(table.loc[table["analysis"] == "noise", "variant"]) == {"int8"}


def test_association_is_matched_by_its_magnitudes(runs):
    table = found(runs)
    cell = row(table, analysis="matched", variant="int8", dataset="seat")
    ends = [row(found(one), analysis="matched", dataset="seat")["value"] for one in (
        ModelRuns("bert", runs.checkpoints, runs.fractions, {"x": runs.checkpoints[name]}, {})
        for name in ("p050", "p100"))]
    assert cell["reference"] == pytest.approx(0.2 * ends[0] + 0.8 * ends[1])
    assert cell["estimate"] == pytest.approx(cell["value"] - cell["reference"])


def test_a_checkpoint_taken_for_a_compressed_model_has_no_contrast(runs):
    for name, fraction in (("p050", 0.5), ("p100", 1.0)):
        same = ModelRuns("bert", runs.checkpoints, runs.fractions, {"same": runs.checkpoints[name]}, {})
        table = found(same)
        assert table["estimate"].abs().max() < 1e-9
        assert table["fraction"].to_numpy() == pytest.approx(fraction)
        assert (table["p_value"] == 1).all()


def test_no_match_is_said_and_gives_no_number(runs, tmp_path):
    broken = {**records("int8"), "corpus": corpus([9.0, 9.1, 9.2, 9.0, 9.1])}
    variants = {"broken": open_run(write_checkpoints(tmp_path / "broken", {"p100": (1.0, broken)}))}
    table = found(ModelRuns("bert", runs.checkpoints, runs.fractions, variants, {}))
    assert set(table["note"]) == {"worse than every checkpoint"}
    assert table["value"].notna().all()
    assert table[["reference", "estimate", "low", "high", "p_value", "fraction"]].isna().all(axis=None)


def test_a_model_without_a_language_model_is_not_matched(tmp_path):
    seat, vectors = effects(0.4)
    only = {"seat": seat, "seat.vectors": vectors}
    folder = write_checkpoints(tmp_path / "fp32", {"p100": (1.0, only)}, "sentence")
    checkpoints, fractions = open_checkpoints(folder)
    table = found(ModelRuns("sbert", checkpoints, fractions, {"int8": open_run(folder)}, {}))
    assert list(table["note"]) == ["no measure of quality"]
    assert table["estimate"].isna().all()


def test_items_that_one_run_could_not_score_are_left_out_of_all(runs, tmp_path):
    partial = records("int8")
    unscored = partial["crows_pairs"]["item"] == "d"
    partial["crows_pairs"].loc[unscored, ["scored", "score", "logprob"]] = [0, np.nan, 0.0]
    variants = {"int8": open_run(write_checkpoints(tmp_path / "partial", {"p100": (1.0, partial)}))}
    cell = row(found(ModelRuns("bert", runs.checkpoints, runs.fractions, variants, {})), metric="log_odds",
               category="overall")
    # Without d: (.5 + .1 + .2) / 3 against .2 * .1 + .8 * 1.3 / 3.
    assert cell["items"] == 3
    assert cell["estimate"] == pytest.approx(0.8 / 3 - (0.2 * 0.1 + 0.8 * 1.3 / 3))


def test_runs_of_other_items_are_refused_by_name(runs, tmp_path):
    other = {**records("int8"), "crows_pairs": pairs({"a": .1, "b": .1, "c": .1, "z": .1}, dataset="crows_pairs")}
    variants = {"int8": open_run(write_checkpoints(tmp_path / "other", {"p100": (1.0, other)}))}
    with pytest.raises(DataError, match=r"other/p100/crows_pairs\.parquet.*only the parent has item d"):
        found(ModelRuns("bert", runs.checkpoints, runs.fractions, variants, {}))


def test_p_values_are_corrected_within_each_analysis():
    p = [0.001, 0.02, 0.03, 0.5]
    rows = [{"analysis": analysis, "model": str(place), "p_value": value}
            for analysis in ("matched", "noise") for place, value in enumerate(p)]
    table = contrast_table([*rows, {"analysis": "matched", "model": "none"}])
    assert list(table.columns) == list(COLUMNS)
    for analysis in ("matched", "noise"):
        part = table[(table["analysis"] == analysis) & table["p_value"].notna()]
        assert list(part["p_adjusted"]) == pytest.approx(list(benjamini_hochberg(np.array(p))))
    assert table["p_adjusted"].isna().sum() == 1


def test_one_control_leaves_the_noise_itself_out_and_several_add_its_spread():
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, (30, 1))

    def levels(*values: float) -> Levels:
        rows = base + np.array(values)
        draws = bootstrap_draws(30, 500, 0, "n").astype(float)
        return Levels(rows.mean(axis=0), draws @ rows / 30, ((rows.sum(axis=0) - rows) / 29,), (30.0,), 30, 30)

    _, alone = against_noise(levels(2.0, 1.0), 0.95, 0, "m")
    assert alone.value == pytest.approx(1.0)
    assert (alone.method, alone.standard_error) == ("constant", 0.0)  # the same items, and no chance in the noise
    _, several = against_noise(levels(2.0, 0.8, 1.0, 1.2), 0.95, 0, "m")
    # Of three controls .8, 1, 1.2 the mean has standard error .2 / sqrt(3), with two degrees of freedom.
    assert several.standard_error == pytest.approx(0.2 / 3**0.5)
    assert several.high - several.value == pytest.approx(4.3027 * 0.2 / 3**0.5, rel=1e-3)


def test_levels_of_a_metric_keep_the_log_of_a_perplexity():
    metric = Metric("word_perplexity", "quality", lambda items: -items["logprob"].to_numpy(),
                    lambda items: items["words"].to_numpy(dtype=float), of_mean=np.exp)
    tables = [pd.DataFrame({"cluster": ["a", "b"], "logprob": [-10.0 * k, -20.0 * k], "words": [5, 10]})
              for k in (1, 2)]
    one = of_items(metric, tables, resamples=100, seed=0, names=("c",), log=True)
    assert one.observed == pytest.approx([2.0, 4.0])
    assert of_items(metric, tables, resamples=100, seed=0, names=("c",)).observed == pytest.approx(np.exp([2.0, 4.0]))
