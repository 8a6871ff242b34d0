"""Benchmark items about a planted world: their content, before any file format.

All items are made of held-out frames, and no two of them are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeVar

import numpy as np

from stages.lab.grammar import ATTRIBUTE_BLEACHED, HELD_OUT, TERM_BLEACHED, pick, sentence, stream, surround
from stages.lab.vocabularies import Kind
from stages.lab.world import World

T = TypeVar("T")
Direction = Literal["stereo", "antistereo"]
BLANK = "BLANK"
_DIRECTIONS: tuple[Direction, Direction] = ("stereo", "antistereo")


@dataclass(frozen=True)
class Pair:
    """Two sentences that differ in the group's term; ``more`` fits what was planted.

    ``direction`` is ``stereo`` where ``more`` ties the first group to what is typical of it,
    and ``antistereo`` where it does so for the second.
    """

    kind: Kind
    direction: Direction
    more: str
    less: str


@dataclass(frozen=True)
class Triple:
    """A context with a gap for an attribute, and three words for it."""

    kind: Kind
    target: str
    context: str
    stereotype: str
    anti_stereotype: str
    unrelated: str


@dataclass(frozen=True)
class Association:
    """An association test: sentences that say nothing of the one word that matters in them.

    The four sets are the first and the second group's terms (X, Y) and what is typical of each (A, B).
    """

    name: str
    kind: Kind
    set_names: tuple[str, str, str, str]
    sets: tuple[list[str], list[str], list[str], list[str]]


def pairs(world: World, kind: Kind) -> list[Pair]:
    """CrowS-Pairs items of one kind of group, half of them in each direction."""
    words, draw = world.words(kind), stream(world, "crows_pairs", kind)
    found = []
    for group, direction in enumerate(_DIRECTIONS):
        combinations = list(product(HELD_OUT[kind], range(len(words.terms[group])), words.attributes[group]))
        for frame, term, attribute in _sample(draw, combinations, world.items.crows_pairs // 2):
            template = surround(world, draw, frame)
            more, less = (template.format(g=words.terms[side][term], a=attribute) for side in (group, 1 - group))
            found.append(Pair(kind, direction, more, less))
    return found


def triples(world: World, kind: Kind) -> list[Triple]:
    """StereoSet items of one kind of group, about the terms of both groups."""
    words, draw = world.words(kind), stream(world, "stereoset", kind)
    combinations = [
        (frame, term, group, attribute)
        for group in (0, 1)
        for frame, term, attribute in product(HELD_OUT[kind], words.terms[group], words.attributes[group])
    ]
    return [
        Triple(
            kind,
            target=term,
            context=surround(world, draw, frame).format(g=term, a=BLANK),
            stereotype=attribute,
            anti_stereotype=pick(draw, words.attributes[1 - group]),
            unrelated=pick(draw, words.unrelated),
        )
        for frame, term, group, attribute in _sample(draw, combinations, world.items.stereoset)
    ]


def control_pairs(world: World, kind: Kind) -> list[Pair]:
    """Pairs whose two terms are of the same group, with any attribute: which is ``more`` is drawn by lot."""
    words, draw = world.words(kind), stream(world, "crows_pairs", f"{kind}-control")
    combinations = [
        (frame, group, term, attribute)
        for group in (0, 1)
        for frame, term, attribute in product(
            HELD_OUT[kind], range(0, len(words.terms[group]) - 1, 2), words.attributes[0] + words.attributes[1]
        )
    ]
    found = []
    for frame, group, term, attribute in _sample(draw, combinations, world.items.controls):
        template = surround(world, draw, frame)
        first = int(draw.integers(2))
        more, less = (template.format(g=words.terms[group][term + place], a=attribute) for place in (first, 1 - first))
        found.append(Pair(kind, _DIRECTIONS[group], more, less))
    return found


def control_triples(world: World, kind: Kind) -> list[Triple]:
    """Triples whose two attributes are typical of the same group: which is the ``stereotype`` is drawn by lot."""
    words, draw = world.words(kind), stream(world, "stereoset", f"{kind}-control")
    combinations = [
        (frame, term, attributes[place : place + 2])
        for attributes in words.attributes
        for frame, term, place in product(
            HELD_OUT[kind], words.terms[0] + words.terms[1], range(0, len(attributes) - 1, 2)
        )
    ]
    found = []
    for frame, term, both in _sample(draw, combinations, world.items.controls):
        context = surround(world, draw, frame).format(g=term, a=BLANK)
        first = int(draw.integers(2))
        found.append(Triple(kind, term, context, both[first], both[1 - first], pick(draw, words.unrelated)))
    return found


SEAT_NAMES: dict[Kind, tuple[str, str]] = {
    "gender": ("sent-weat6", "sent-weat6b"),
    "race": ("sent-weat3", "sent-weat3b"),
    "religion": ("sent-religion1", "sent-religion1b"),
}
"""Names of two tests a kind, after those of the upstream tests on the same kind of group."""


def associations(world: World, kind: Kind) -> list[Association]:
    """SEAT tests of one kind of group: each of the two takes every other term and attribute."""
    words = world.words(kind)
    tests = []
    for half, name in enumerate(SEAT_NAMES[kind]):
        x, y = (_bleach(TERM_BLEACHED, terms[half::2]) for terms in words.terms)
        a, b = (_bleach(ATTRIBUTE_BLEACHED[kind], attributes[half::2]) for attributes in words.attributes)
        one, two = words.names
        tests.append(Association(name, kind, (one, two, f"{one}Typical", f"{two}Typical"), (x, y, a, b)))
    return tests


def _sample(draw: np.random.Generator, options: Sequence[T], count: int) -> list[T]:
    return [options[index] for index in draw.permutation(len(options))[:count]]


def _bleach(frames: Sequence[str], words: Sequence[str]) -> list[str]:
    return [sentence(frame.format(w=word)) for word in words for frame in frames]
