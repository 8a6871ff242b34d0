from collections import Counter

import pytest

from stages.lab.items import associations, control_pairs, control_triples, pairs, triples
from stages.lab.vocabularies import KINDS
from stages.lab.world import World

WORLD = World.model_validate({"seed": 5})


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_differ_in_the_group_alone_and_fit_the_planted_direction(kind):
    words, found = WORLD.words(kind), pairs(WORLD, kind)
    assert Counter(pair.direction for pair in found) == {"stereo": 80, "antistereo": 80}
    assert len({(pair.more, pair.less) for pair in found}) == len(found)
    for pair in found:
        more, less = pair.more.rstrip(".").split(), pair.less.rstrip(".").split()
        ((one, other),) = [(a, b) for a, b in zip(more, less, strict=True) if a != b]
        side = 0 if pair.direction == "stereo" else 1
        assert words.terms[1 - side][words.terms[side].index(one)] == other
        assert len(set(more) & set(words.attributes[side])) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_triples_offer_the_group_its_own_the_other_and_an_unfit_word(kind):
    words, found = WORLD.words(kind), triples(WORLD, kind)
    assert len({(item.context, item.stereotype) for item in found}) == len(found) == 112
    assert {item.target for item in found} == {*words.terms[0], *words.terms[1]}
    for item in found:
        side = 0 if item.target in words.terms[0] else 1
        assert item.stereotype in words.attributes[side]
        assert item.anti_stereotype in words.attributes[1 - side]
        assert item.unrelated in words.unrelated
        assert item.context.count("BLANK") == 1
        assert item.target in item.context.rstrip(".").lower().split()


CONTROLLED = World.model_validate({"seed": 5, "items": {"controls": 200}})


@pytest.mark.parametrize("kind", KINDS)
def test_control_pairs_swap_terms_of_the_same_group_either_way(kind):
    words, found = CONTROLLED.words(kind), control_pairs(CONTROLLED, kind)
    assert len({frozenset((pair.more, pair.less)) for pair in found}) == len(found) == 200
    first = 0
    for pair in found:
        more, less = pair.more.rstrip(".").lower().split(), pair.less.rstrip(".").lower().split()
        ((one, other),) = [(a, b) for a, b in zip(more, less, strict=True) if a != b]
        terms = words.terms[0 if pair.direction == "stereo" else 1]
        assert {one, other} <= set(terms)
        first += terms.index(one) < terms.index(other)
    # By lot: 100 of 200 within 4 standard deviations of sqrt(200)/2.
    assert first == pytest.approx(100, abs=28)


@pytest.mark.parametrize("kind", KINDS)
def test_control_triples_offer_two_words_of_the_same_side_either_way(kind):
    words, found = CONTROLLED.words(kind), control_triples(CONTROLLED, kind)
    assert len({(item.context, item.stereotype, item.anti_stereotype) for item in found}) == len(found) == 200
    first = 0
    for item in found:
        side = words.attributes[0 if item.stereotype in words.attributes[0] else 1]
        assert {item.stereotype, item.anti_stereotype} <= set(side)
        first += side.index(item.stereotype) < side.index(item.anti_stereotype)
    assert first == pytest.approx(100, abs=28)


def test_controls_leave_the_other_items_alone():
    assert pairs(CONTROLLED, "race") == pairs(WORLD, "race")
    assert triples(CONTROLLED, "race") == triples(WORLD, "race")
    assert control_pairs(WORLD, "race") == control_triples(WORLD, "race") == []


def test_association_tests_have_disjoint_sets_and_share_no_word():
    first, second = associations(WORLD, "gender")
    for test in (first, second):
        sentences = [sentence for one in test.sets for sentence in one]
        assert len(set(sentences)) == len(sentences)
    # 8 terms and 6 attributes a group, every other one, in 7 frames: 4 x 7 and 3 x 7.
    assert [len(one) for one in first.sets] == [len(one) for one in second.sets] == [28, 28, 21, 21]
    for one, other in zip(first.sets, second.sets, strict=True):
        assert not set(one) & set(other)


def test_items_change_with_the_seed_and_only_with_it():
    assert pairs(WORLD, "race") == pairs(World.model_validate({"seed": 5}), "race")
    assert pairs(WORLD, "race") != pairs(World.model_validate({"seed": 6}), "race")
    weaker = World.model_validate({"seed": 5, "associations": {"race": {"strength": 0.9}}})
    assert triples(WORLD, "race") == triples(weaker, "race")
