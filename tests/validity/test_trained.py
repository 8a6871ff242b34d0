from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stages.lab.result import COLUMNS
from stages.validity import noise, planted
from stages.validity.controls import called, control_rows
from stages.validity.graded import graded_rows
from stages.validity.pool import here
from stages.validity.seed_pairs import seed_rows
from stages.validity.trained_runs import run_of
from stages.validity.worlds_apart import worlds_rows
from tests.validity.synthetic import learned

EMPTY = pd.DataFrame(columns=COLUMNS)


def noised(whole, faint):
    """The noise controls, by name."""
    return {name: run_of(name, "neox", result) for name, result in ((noise.WHOLE, whole), (noise.FAINT, faint))}


def test_worlds_differ_from_the_base_in_one_kind_alone(kinds):
    for changed in kinds:
        world = planted.world(changed)
        assert {kind for kind in kinds
                if world.association(kind) != planted.world("base").association(kind)} == {changed}
        assert world.seed == planted.world("base").seed
    assert all(planted.world(planted.UNPLANTED).association(kind).log_odds == 0 for kind in kinds)


def test_everything_is_trained_once_and_the_pair_for_the_noise_control_first():
    jobs = planted.jobs()
    assert [cell.name for cell in jobs[0]] == ["neox.base.1", "neox.gender.1"]
    names = [cell.name for job in jobs for cell in job]
    assert sorted(names) == sorted(cell.name for cell in planted.cells())
    assert len(set(names)) == len(names)


def test_a_model_that_learned_what_was_planted_has_perfect_ranks_and_leaves_others_alone(trained):
    rows = graded_rows(trained(noise=0.005), "neox", 1)
    assert [row.holds for row in rows] == [True, True]


def test_ranks_fail_where_what_was_planted_was_not_learned(trained):
    assert not graded_rows(trained(slope=0.0), "bert", 1)[0].holds


def test_specificity_fails_where_another_group_moves(trained):
    found = trained()
    moved = found["neox.gender.1"].records
    race = (moved["category"] == "race") & (moved["role"] == "stereo") & moved["logprob"].notna()
    moved.loc[race, "logprob"] += 0.3
    assert graded_rows(found, "neox", 1)[1].value > 1


def test_seeds_alone_give_no_finding(trained):
    [row] = seed_rows(trained(), here, 1)
    assert row.holds
    assert row.value == 0


def test_a_seed_that_stands_apart_is_a_finding(trained):
    found = trained()
    found["neox.base.2"] = learned("base", 7, slope=0.4)
    [row] = seed_rows(found, here, 1)
    # As the child of the one model before it; where it is the parent, it widens the spread of the seeds.
    assert row.value == pytest.approx(1 / 6)
    assert not row.holds


def test_controls_are_called_biased_where_they_are(trained):
    neutral = control_rows(trained(noise=0.1), 1)
    names = [row.name.removeprefix("unplanted controls called biased, ").partition(" (")[0] for row in neutral]
    assert names == ["log_odds of crows_pairs", "score of crows_pairs", "log_odds of stereoset", "ss of stereoset"]
    biased = control_rows(trained(noise=0.1, control=0.5), 1)
    assert not any(row.holds for row in biased)
    assert np.mean([row.value for row in neutral]) < 0.1 < 0.5 < np.mean([row.value for row in biased])


def test_control_groups_are_those_without_an_association(trained, kinds):
    table = called(trained(noise=0.1), False, 1)
    found = set(zip(table["variant"].str.split(".").str[1], table["category"], strict=True))
    assert found == {("gender", "gender"), *((planted.UNPLANTED, kind) for kind in kinds)}
    assert table["floor_low"].notna().all()


def test_less_is_found_where_less_was_planted(trained):
    found = trained()
    rows = worlds_rows(found, noised(learned("base", 9), learned("base", 8)), 1)
    assert [row.holds for row in rows] == [True] * 6


def test_a_control_that_loses_bias_and_a_pair_of_unequal_quality_are_shown(trained):
    found = trained()
    found["neox.gender.1"] = learned("gender", 301, quality=-1.4)
    rows = worlds_rows(found, noised(learned("gender", 9), learned("gender", 9)), 1)
    assert [row.holds for row in rows] == [False, True, True, False, True, False]
    assert rows[0].value == pytest.approx(np.exp(0.4))


def test_lost_quality_hides_a_loss_of_bias_only_under_the_louder_noise(trained):
    damaged = learned("gender", 9, quality=-1.4)
    rows = worlds_rows(trained(), noised(damaged, damaged), 1)
    assert [row.holds for row in rows[3:]] == [True, False, False]
    assert rows[4].value == pytest.approx(np.exp(0.4))
    assert rows[5].value > 0


def test_noise_controls_have_the_norm_of_the_distance_or_a_share_of_it(monkeypatch):
    cells = [replace(cell, model=cell.model.model_copy(update={"training": cell.model.training.model_copy(
        update={"steps": 2, "batch_size": 4, "warmup_steps": 0})})) for cell in planted.jobs()[0]]
    weights = []

    def score(cell, tables, loaded, embed):
        weights.append({name: weight.detach().double().clone() for name, weight in loaded.model.named_parameters()})
        return EMPTY, {}

    monkeypatch.setattr(noise, "score_model", score)
    found = noise.with_noise_controls(*cells)
    assert list(found) == [cells[0].name, cells[1].name, noise.WHOLE, noise.FAINT]
    before, other, *controls = weights
    for control, share in zip(controls, (1.0, 0.4), strict=True):
        for name, weight in before.items():
            distance = float((other[name] - weight).norm())
            assert float((control[name] - weight).norm()) == pytest.approx(share * distance, rel=1e-3, abs=1e-6)
