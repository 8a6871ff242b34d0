import math

import pytest

from stages.common.errors import ParamsError
from stages.common.params import parse
from stages.lab.world import World


def test_planted_log_odds_are_the_logit_of_the_strength():
    world = parse(World, {"seed": 0, "associations": {"gender": {"strength": 0.9}, "race": {"strength": 0.75}}}, "w")
    assert world.association("gender").log_odds == pytest.approx(math.log(9))
    assert world.association("race").log_odds == pytest.approx(math.log(3))
    assert world.association("religion").log_odds == 0.0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": 0, "vocabulary": "city"}, "vocabulary: no such vocabulary; there are: harbor, village"),
        ({"seed": 0, "associations": {"gender": {"strength": 0.99}}}, "associations.gender.strength"),
        ({"seed": 0, "associations": {"age": {"strength": 0.9}}}, "allowed: gender, race, religion"),
        ({"seed": 0, "items": {"crows_pairs": 7}}, "items.crows_pairs"),
        ({}, "seed"),
    ],
)
def test_mistakes_are_named(settings, named):
    with pytest.raises(ParamsError, match=named):
        parse(World, settings, "worlds.main")
