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

    @property
    def log_odds(self) -> float:
        """Planted truth: log P(typical | group) / P(typical of the other | group), in nats."""
        return math.log(self.strength / (1 - self.strength))


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


class Items(Frozen):
    """Size of the benchmarks, in items of each kind of group."""

    crows_pairs: int = Field(default=160, ge=2, le=600, multiple_of=2)
    """Half of them in each direction."""
    stereoset: int = Field(default=112, ge=1, le=600)


class World(Frozen):
    """One planted world, under ``worlds.<slug>``: a corpus and the benchmarks about it."""

    seed: int = Field(ge=0)
    vocabulary: str = "village"
    associations: Associations = Associations()
    sentences: Sentences = Sentences()
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
