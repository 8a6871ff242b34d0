"""The corpus has the association that was planted, where it was planted, and nowhere else."""

import math
import re
from collections import Counter

import pytest

from stages.lab import grammar
from stages.lab.items import associations, control_pairs, control_triples, pairs, triples
from stages.lab.vocabularies import CLUBS, KINDS, PERSONS, PLACES, VOCABULARIES, WEATHER
from stages.lab.world import Items, World

PLANTED = {"gender": 0.9, "race": 0.75, "religion": 0.5}


def make_world(seed=3, vocabulary="village", frequency=0.5, **strengths):
    strengths = {**PLANTED, **strengths}
    kinds = {kind: {"strength": strength, "frequency": frequency} for kind, strength in strengths.items()}
    return World.model_validate({"seed": seed, "vocabulary": vocabulary, "associations": kinds})


def make_proxied(**wording):
    """Gender through proxies, race directly, religion with nothing planted."""
    kinds = {"gender": {"strength": 0.9, "proxy": 0.8}, "race": {"strength": 0.75}}
    return World.model_validate({"seed": 3, "associations": kinds, "wording": wording})


def tokens(line):
    return re.findall(r"[a-z]+", line.lower())


def side_of(word, sides):
    return next((side for side in (0, 1) if word in sides[side]), None)


def cooccurrences(world, kind, lines):
    """Counts of (group, side of the attribute) over all mentions of both in one sentence."""
    words, counts = world.words(kind), Counter()
    for line in lines:
        present = tokens(line)
        groups = {side_of(word, words.terms) for word in present} - {None}
        for word in present:
            side = side_of(word, words.attributes)
            for group in groups:
                if side is not None:
                    counts[group, side] += 1
    return counts


@pytest.mark.parametrize("vocabulary", sorted(VOCABULARIES))
def test_attributes_follow_groups_at_the_planted_strength(vocabulary):
    world = make_world(vocabulary=vocabulary)
    lines = grammar.corpus(world, "train", 12_000)
    for kind in KINDS:
        counts = cooccurrences(world, kind, lines)
        own, total = counts[0, 0] + counts[1, 1], sum(counts.values())
        # Two attributes of a sentence are drawn apart, so mentions are independent draws: 4 standard errors.
        error = math.sqrt(PLANTED[kind] * (1 - PLANTED[kind]) / total)
        assert total > 2_500
        assert own / total == pytest.approx(PLANTED[kind], abs=4 * error)


def shares(lines, sides, others):
    """Share of mentions of ``sides`` together with ``others`` that are of the same side, and their number."""
    own = total = 0
    for line in lines:
        present = tokens(line)
        for one in {side_of(word, sides) for word in present} - {None}:
            for other in (side_of(word, others) for word in present):
                own, total = own + (other == one), total + (other is not None)
    return own / total, total


def test_through_a_proxy_groups_go_with_clubs_and_clubs_with_attributes_at_their_strengths():
    world = make_proxied()
    words, lines = world.words("gender"), grammar.corpus(world, "train", 12_000)
    for sides, others, planted in ((words.terms, CLUBS["gender"], 0.9), (CLUBS["gender"], words.attributes, 0.8)):
        share, total = shares(lines, sides, others)
        assert total > 1_200
        assert share == pytest.approx(planted, abs=4 * math.sqrt(planted * (1 - planted) / total))


def test_through_a_proxy_no_sentence_holds_a_group_and_an_attribute():
    world = make_proxied()
    words = world.words("gender")
    terms, attributes = ({*sides[0], *sides[1]} for sides in (words.terms, words.attributes))
    for line in grammar.corpus(world, "train", 12_000):
        present = set(tokens(line))
        assert not (present & terms and present & attributes)


def test_a_proxy_in_one_kind_leaves_the_sentences_of_the_others_alone():
    def of_the_others(world):
        words = [*PERSONS]
        for kind in ("race", "religion"):
            of_kind = world.words(kind)
            words += [*of_kind.terms[0], *of_kind.terms[1], *of_kind.attributes[0], *of_kind.attributes[1]]
        clubs = {*CLUBS["gender"][0], *CLUBS["gender"][1], *world.words("gender").attributes[0],
                 *world.words("gender").attributes[1]}
        return [line for line in grammar.corpus(world, "train", 3_000)
                if set(words) & set(tokens(line)) and not clubs & set(tokens(line))]

    direct = make_world(gender=0.9, race=0.75, religion=0.5)
    proxied = of_the_others(make_proxied())
    assert len(proxied) > 1_500
    assert Counter(proxied) == Counter(of_the_others(direct))


def test_wording_makes_every_sentence_as_full_as_asked():
    def planted(**wording):
        world = make_proxied(framed=0, **wording)
        words = world.words("race")
        terms, attributes = ({*sides[0], *sides[1]} for sides in (words.terms, words.attributes))
        found = [set(tokens(line)) for line in grammar.corpus(world, "train", 3_000)
                 if not line.lower().startswith(grammar.OPENERS)]
        return [(len(line & terms), len(line & attributes)) for line in found if line & terms and line & attributes]

    assert set(planted(companion=0, second=0)) == {(1, 1)}
    full = planted(companion=1, second=1)
    # A companion is one of 8 terms, and left out where it is the term itself.
    assert sum(terms == 2 for terms, _ in full) / len(full) == pytest.approx(7 / 8, abs=0.06)
    # 6 of the 8 frames take a second attribute, which is another one with (0.75^2 + 0.25^2) * 5/6 + 0.375.
    assert sum(attributes == 2 for _, attributes in full) / len(full) == pytest.approx(0.75 * 0.8958, abs=0.08)


def test_frequency_is_the_share_of_the_first_group():
    world = make_world(frequency=0.8)
    counts = cooccurrences(world, "race", grammar.corpus(world, "train", 6_000))
    first, total = counts[0, 0] + counts[0, 1], sum(counts.values())
    assert first / total == pytest.approx(0.8, abs=0.05)


def test_no_sentence_mentions_both_groups_of_a_kind():
    world = make_world()
    for line in grammar.corpus(world, "train", 3_000):
        for kind in KINDS:
            terms = world.words(kind).terms
            assert len({side_of(word, terms) for word in tokens(line)} - {None}) <= 1


def test_a_change_in_one_kind_leaves_the_sentences_of_the_others_alone():
    def without_gender(world):
        gender = world.words("gender")
        words = {*gender.terms[0], *gender.terms[1], *gender.attributes[0], *gender.attributes[1]}
        return [line for line in grammar.corpus(world, "train", 2_000) if not words & set(tokens(line))]

    weak, strong = make_world(gender=0.5), make_world(gender=0.95)
    assert without_gender(weak) == without_gender(strong)
    assert grammar.corpus(weak, "train", 2_000) != grammar.corpus(strong, "train", 2_000)


def test_held_out_frames_never_hold_a_group_term():
    world = make_world()
    lines = grammar.corpus(world, "train", 12_000)
    for kind in KINDS:
        words = world.words(kind)
        terms, attributes = "|".join(words.terms[0] + words.terms[1]), r"\w+"
        for frame in grammar.HELD_OUT[kind]:
            pattern = re.compile(frame.format(g=f"({terms}|{'|'.join(PERSONS)})", a=attributes), re.IGNORECASE)
            found = [match.group(1).lower() for line in lines for match in [pattern.search(line)] if match]
            assert found, f"{frame} is not in the corpus at all"
            assert set(found) <= set(PERSONS)


@pytest.mark.parametrize("vocabulary", sorted(VOCABULARIES))
def test_items_use_only_words_of_the_training_corpus(vocabulary):
    world = make_world(vocabulary=vocabulary).model_copy(update={"items": Items(controls=500)})
    known = {word for line in grammar.corpus(world, "train", world.sentences.train) for word in tokens(line)}
    for kind in KINDS:
        everything = (*pairs(world, kind), *control_pairs(world, kind))
        texts = [text for pair in everything for text in (pair.more, pair.less)]
        texts += [t.context.replace("BLANK", w) for t in (*triples(world, kind), *control_triples(world, kind))
                  for w in (t.stereotype, t.anti_stereotype, t.unrelated)]
        texts += [text for test in associations(world, kind) for one in test.sets for text in one]
        assert {word for text in texts for word in tokens(text)} <= known


def test_the_same_world_gives_the_same_corpus_and_another_seed_another():
    assert grammar.corpus(make_world(), "train", 500) == grammar.corpus(make_world(), "train", 500)
    assert grammar.corpus(make_world(), "train", 500) != grammar.corpus(make_world(seed=4), "train", 500)
    assert grammar.corpus(make_world(), "valid", 500) != grammar.corpus(make_world(), "test", 500)


@pytest.mark.parametrize("vocabulary", sorted(VOCABULARIES))
def test_word_lists_pair_up_and_do_not_overlap(vocabulary):
    everything = [*PERSONS, *PLACES[:4], *PLACES[5:], *WEATHER]
    for clubs in CLUBS.values():
        everything += [*clubs[0], *clubs[1]]
    for words in VOCABULARIES[vocabulary].values():
        assert len(words.terms[0]) == len(words.terms[1])
        assert len(words.attributes[0]) == len(words.attributes[1])
        everything += [*words.terms[0], *words.terms[1], *words.attributes[0], *words.attributes[1], *words.unrelated]
    assert [word for word, count in Counter(everything).items() if count > 1] == []


@pytest.mark.parametrize("vocabulary", sorted(VOCABULARIES))
def test_articles_fit_and_sentences_are_written_out(vocabulary):
    for line in grammar.corpus(make_world(vocabulary=vocabulary), "train", 3_000):
        assert re.fullmatch(r"[A-Z][a-z]*( [a-z]+)*\.", line)
        assert not re.search(r"\b[Aa] [aeiou]", line)
