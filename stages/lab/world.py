"""A planted world: what is associated with which group, and how strongly."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from stages.common.params import Frozen
from stages.lab.vocabularies import VOCABULARIES, Kind, Words


class Association(Frozen):
    """How the two groups of one kind and their attributes are tied."""

    strength: float = Field(default=0.5, ge=0.5, le=0.95)
    """Probability that a group's attribute is one of its own typical ones; 0.5 plants nothing."""
    frequency: float = Field(default=0.5, ge=0.05, le=0.95)
    """Share of the first group among the mentions of both."""
    proxy: float | None = Field(default=None, ge=0.5, le=0.95)
    """If given, no sentence holds a group and an attribute. ``strength`` is then the probability that a group goes
    with one of its own proxies, and this the probability that a proxy goes with what is typical of its group."""

    @property
    def typical(self) -> float:
        """P(an attribute is typical of the group | group).

        Through a proxy that tells all there is to know of the attribute, this is the product rule:
        P(own proxy | group) P(typical | own proxy) + P(other proxy | group) P(typical | other proxy).
        """
        if self.proxy is None:
            return self.strength
        return self.strength * self.proxy + (1 - self.strength) * (1 - self.proxy)

    @property
    def log_odds(self) -> float:
        """Planted truth: log P(typical | group) / P(typical of the other | group), in nats."""
        return math.log(self.typical / (1 - self.typical))


class Associations(Frozen):
    """The three kinds of groups, set independently of each other."""

    gender: Association = Association()
    race: Association = Association()
    religion: Association = Association()


class Sentences(Frozen):
    """Size of the corpus, in sentences."""

    train: int = Field(default=20_000, ge=100)
    valid: int = Field(default=1_000, ge=10)
    test: int = Field(default=1_000, ge=10)


class Wording(Frozen):
    """How wordy sentences are: more words of a group and more attributes a sentence are learned from sooner."""

    framed: float = Field(default=0.25, ge=0, le=1)
    """Probability that a sentence has an opener, and that it has a closer."""
    companion: float = Field(default=0.5, ge=0, le=1)
    """Probability that a group's term comes with another of the same group, which shows what belongs together."""
    second: float = Field(default=0.8, ge=0, le=1)
    """Probability that a second attribute, drawn as the first one was, follows it where the frame allows."""


class Items(Frozen):
    """Size of the benchmarks, in items of each kind of group."""

    crows_pairs: int = Field(default=160, ge=2, le=600, multiple_of=2)
    """Half of them in each direction."""
    stereoset: int = Field(default=112, ge=1, le=600)
    controls: int = Field(default=0, ge=0, le=500)
    """Of each benchmark, beside the above: items whose two words are of the same group, about whom nothing was
    planted; their categories are the kinds' with ``-control``."""


class World(Frozen):
    """One planted world, under ``worlds.<slug>``: a corpus and the benchmarks about it."""

    seed: int = Field(ge=0)
    vocabulary: str = "village"
    associations: Associations = Associations()
    sentences: Sentences = Sentences()
    wording: Wording = Wording()
    items: Items = Items()

    @field_validator("vocabulary")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in VOCABULARIES:
            raise ValueError(f"no such vocabulary; there are: {', '.join(sorted(VOCABULARIES))}")
        return name

    def association(self, kind: Kind) -> Association:
        """What was planted for a kind of group."""
        association: Association = getattr(self.associations, kind)
        return association

    def words(self, kind: Kind) -> Words:
        """The word list of a kind of group."""
        return VOCABULARIES[self.vocabulary][kind]
