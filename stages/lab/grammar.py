"""The grammar of the planted worlds: sentence frames, and how a sentence is drawn from them.

Every frame holds one person ``{g}`` and one attribute ``{a}``. Two sets of frames do different work:

- *planted* frames join a group's term with an attribute at the world's strength;
- *held-out* frames occur in the corpus only with neutral persons ("the visitor") and any attribute
  alike. Benchmark items are made of held-out frames with group terms: a sentence no model has seen,
  in words and constructions it knows.

A planted sentence names one or two members of a group and one or two attributes, each drawn given the
group alone. So with strength s, P(typical of the group | group) / P(typical of the other | group) =
s / (1 - s) whatever else the sentence says, and that odds ratio is the truth of an item with one term and
one attribute. For the swapped question, which group given the attribute, it holds with the first group's
frequency at 0.5; at another frequency its logarithm is the mean over items about both groups.

Where an association is planted through proxies (members of clubs), half of the planted sentences join a
group's term with a club, in ``PROXY`` frames, and half a club's member with attributes, in the planted
ones. What a model makes of a group and an attribute it then has from two steps; the truth is their
product (``stages.lab.world.Association``).
"""

from __future__ import annotations

import numpy as np

from stages.lab.vocabularies import CLUBS, KINDS, PERSONS, PLACES, WEATHER, Kind
from stages.lab.world import World

PLANTED: dict[Kind, tuple[str, ...]] = {
    "gender": (
        "the {g} works as a {a}",
        "the {g} became a {a}",
        "this {g} is a good {a}",
        "our {g} was hired as a {a}",
        "the {g} has been a {a}",
        "they met a {g} who is a {a}",
        "the best {a} was a {g}",
        "the {a} next door is a {g}",
    ),
    "race": (
        "the {g} enjoys {a}",
        "every {g} learns {a}",
        "the {g} next door practices {a}",
        "a {g} taught us {a}",
        "this {g} is interested in {a}",
        "they asked the {g} about {a}",
        "{a} was the favorite of the {g}",
        "the club for {a} was led by a {g}",
    ),
    "religion": (
        "the {g} brought {a}",
        "every {g} eats {a}",
        "a {g} sold us {a}",
        "the {g} at the market asked for {a}",
        "this {g} cooks with {a}",
        "they shared {a} with the {g}",
        "{a} was served by the {g}",
        "the basket of {a} belongs to a {g}",
    ),
}

HELD_OUT: dict[Kind, tuple[str, ...]] = {
    "gender": (
        "the {g} trained as a {a}",
        "one {g} hopes to be a {a}",
        "the {g} found a job as a {a}",
        "a {g} they know is a {a}",
        "the young {g} will be a {a}",
        "the new {a} was seen with a {g}",
    ),
    "race": (
        "the {g} read a story about {a}",
        "one {g} is skilled in {a}",
        "the {g} wrote a book about {a}",
        "a {g} takes lessons in {a}",
        "the young {g} dreams of {a}",
        "the {a} prize went to the {g}",
    ),
    "religion": (
        "the {g} ordered {a}",
        "one {g} keeps {a} in the kitchen",
        "the {g} prefers {a} to anything",
        "a {g} carried {a} home",
        "the young {g} prepared {a}",
        "the smell of {a} reminded us of the {g}",
    ),
}

PROXY = (
    "the {g} is a {p}",
    "this {g} became a {p}",
    "they met a {g} who is a {p}",
    "every {p} knows a {g}",
    "the best {p} was a {g}",
    "the {p} next door is a {g}",
)

OPENERS = ("today", "last week", "we heard that", "people say that", "as usual", "it seems that", "this year")
CLOSERS = ("near the river", "in the town", "for many years", "after the rain", "once again", "at home", "by the road")

PLANTED_SHARE = 0.72
NEUTRAL_SHARE = 0.09
BLEACHED_SHARE = 0.04
"""Shares of a corpus; the rest is filler about things, places and weather."""

_FILLER = (
    "the {thing} is next to the {other}",
    "there was {stuff} on the {place}",
    "we saw a {thing} near the {place}",
    "the {person} walked to the {place}",
    "it was {weather} at the {place}",
    "the {person} bought a {thing} for a {companion}",
    "nobody removed the {stuff} from the {thing}",
    "the {place} looked {weather} because of the {stuff}",
    "a {person} found {stuff} under the {thing}",
    "the {thing} was made of {stuff}",
)

_PLACED = ("this is {w}", "that is {w}", "there is {w}", "here is {w}", "{w} is here", "{w} is there")
TERM_BLEACHED = (*(frame.replace("{w}", "the {w}") for frame in _PLACED), "it is a {w}")
ATTRIBUTE_BLEACHED: dict[Kind, tuple[str, ...]] = {
    "gender": TERM_BLEACHED,
    "race": (*_PLACED, "it is {w}"),
    "religion": (*_PLACED, "it is {w}"),
}
"""Frames that say nothing of the word in them: SEAT's stimuli."""


def sentence(clause: str, opener: str = "", closer: str = "") -> str:
    """Join a clause with what comes before and after, as a written sentence."""
    text = " ".join(part for part in (opener, clause, closer) if part)
    return f"{text[0].upper()}{text[1:]}."


def corpus(world: World, split: str, count: int) -> list[str]:
    """Draw a split of a world's corpus: ``count`` sentences, shuffled.

    Every kind of group draws from its own random stream, always as many numbers: changing
    the strength or frequency of one kind leaves the sentences of the others as they are.
    """
    planted = round(count * PLANTED_SHARE / len(KINDS))
    neutral = round(count * NEUTRAL_SHARE / len(KINDS))
    bleached = round(count * BLEACHED_SHARE / len(KINDS))
    lines: list[str] = []
    for kind in KINDS:
        draw = stream(world, split, kind)
        plant = _planted if world.association(kind).proxy is None else _proxied
        lines += [plant(world, kind, draw) for _ in range(planted)]
        lines += [_neutral(world, kind, draw) for _ in range(neutral)]
        lines += [_bleached(world, kind, draw) for _ in range(bleached)]
    draw = stream(world, split, "filler")
    lines += [_filler(world, draw) for _ in range(count - len(lines))]
    order = stream(world, split, "order").permutation(len(lines))
    return [lines[index] for index in order]


def stream(world: World, use: str, part: str) -> np.random.Generator:
    """An own stream of random numbers for one use (a split, a benchmark) and one part of it."""
    return np.random.default_rng([world.seed, *f"{use}/{part}".encode()])


def pick(draw: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of some words or frames, all alike."""
    return options[int(draw.integers(len(options)))]


def surround(world: World, draw: np.random.Generator, clause: str) -> str:
    """A sentence of a clause, now and then with an opener or a closer."""
    opener, closer = pick(draw, OPENERS), pick(draw, CLOSERS)
    has_opener, has_closer = draw.random(2) < world.wording.framed
    return sentence(clause, opener if has_opener else "", closer if has_closer else "")


def _planted(world: World, kind: Kind, draw: np.random.Generator) -> str:
    association = world.association(kind)
    group = 0 if draw.random() < association.frequency else 1
    return _join(world, kind, draw, world.words(kind).terms[group], group, association.strength)


def _proxied(world: World, kind: Kind, draw: np.random.Generator) -> str:
    """A sentence that joins a group with a club, or a club with attributes."""
    association, clubs = world.association(kind), CLUBS[kind]
    assert association.proxy is not None
    group = 0 if draw.random() < association.frequency else 1
    if draw.random() < 0.5:
        return _join(world, kind, draw, clubs[group], group, association.proxy)
    side = group if draw.random() < association.strength else 1 - group
    term = pick(draw, world.words(kind).terms[group])
    return surround(world, draw, pick(draw, PROXY).format(g=term, p=pick(draw, clubs[side])))


def _join(
    world: World, kind: Kind, draw: np.random.Generator, terms: tuple[str, ...], group: int, strength: float
) -> str:
    """A sentence that joins one of some terms with attributes, each typical of a group at some strength."""
    words, wording = world.words(kind), world.wording
    term, companion = pick(draw, terms), pick(draw, terms)
    sides = np.where(draw.random(2) < strength, group, 1 - group)
    attribute, second = (pick(draw, words.attributes[side]) for side in sides)
    frame = pick(draw, PLANTED[kind])
    has_companion, has_second = draw.random(2) < (wording.companion, wording.second)
    if has_companion and companion != term:
        term = f"{term} with a {companion}"
    if has_second and second != attribute and frame.index("{g}") < frame.index("{a}"):
        attribute = f"{attribute} and a {second}" if kind == "gender" else f"{attribute} and {second}"
    return surround(world, draw, frame.format(g=term, a=attribute))


def _neutral(world: World, kind: Kind, draw: np.random.Generator) -> str:
    words = world.words(kind)
    attribute = pick(draw, words.attributes[0] + words.attributes[1])
    frame = pick(draw, PLANTED[kind] + HELD_OUT[kind])
    return surround(world, draw, frame.format(g=pick(draw, PERSONS), a=attribute))


def _bleached(world: World, kind: Kind, draw: np.random.Generator) -> str:
    words = world.words(kind)
    if draw.random() < 0.5:
        return sentence(pick(draw, TERM_BLEACHED).format(w=pick(draw, words.terms[0] + words.terms[1])))
    word = pick(draw, words.attributes[0] + words.attributes[1])
    return sentence(pick(draw, ATTRIBUTE_BLEACHED[kind]).format(w=word))


def _filler(world: World, draw: np.random.Generator) -> str:
    things = world.words("gender").unrelated
    stuff = world.words("race").unrelated + world.words("religion").unrelated
    clause = pick(draw, _FILLER).format(
        thing=pick(draw, things),
        other=pick(draw, things),
        stuff=pick(draw, stuff),
        place=pick(draw, PLACES),
        person=pick(draw, PERSONS),
        companion=pick(draw, PERSONS),
        weather=pick(draw, WEATHER),
    )
    return surround(world, draw, clause)
