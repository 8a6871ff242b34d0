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


def test_through_a_proxy_the_truth_is_the_product_rule():
    world = parse(World, {"seed": 0, "associations": {"gender": {"strength": 0.9, "proxy": 0.8},
                                                      "race": {"strength": 0.5, "proxy": 0.95}}}, "w")
    # 0.9 x 0.8 + 0.1 x 0.2 = 0.74
    assert world.association("gender").typical == pytest.approx(0.74)
    assert world.association("gender").log_odds == pytest.approx(math.log(0.74 / 0.26))
    assert world.association("race").log_odds == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": 0, "vocabulary": "city"}, "vocabulary: no such vocabulary; there are: harbor, mountain, village"),
        ({"seed": 0, "associations": {"gender": {"strength": 0.99}}}, "associations.gender.strength"),
        ({"seed": 0, "associations": {"age": {"strength": 0.9}}}, "allowed: gender, race, religion"),
        ({"seed": 0, "items": {"crows_pairs": 7}}, "items.crows_pairs"),
        ({"seed": 0, "associations": {"gender": {"proxy": 1.0}}}, "associations.gender.proxy"),
        ({"seed": 0, "wording": {"companion": 2}}, "wording.companion"),
        ({}, "seed"),
    ],
)
def test_mistakes_are_named(settings, named):
    with pytest.raises(ParamsError, match=named):
        parse(World, settings, "worlds.main")
