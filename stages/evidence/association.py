"""How sure an association effect size is: a bootstrap over stimuli.

All four sets of a test (``stages.evidence.effect_sizes``) are samples of the words that might have
been chosen, so all four are resampled, by word; a set of a single word stays as it is. Tests of one
category share sets: a set has one stream of resamples wherever it occurs, and all models meet the same
ones, so that means over tests and changes have the right spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.evidence.effect_sizes import AssociationTest, StimulusSet, Vectors, cosines
from stages.evidence.resampling import bootstrap_draws, coin_tosses
from stages.measures.association import ROLES


@dataclass(frozen=True)
class Stimuli:
    """The tests of one category, with the resamples of their words that every model meets."""

    tests: tuple[AssociationTest, ...]
    sets: dict[str, StimulusSet]
    """By key; each once, however many tests it serves."""
    draws: dict[str, np.ndarray]
    """By key of a set how often each word is drawn, float64 of shape [words, resamples]."""
    coins: dict[str, np.ndarray]
    """By key of a set of targets fair coins, float64 of shape [resamples, words]."""


@dataclass(frozen=True)
class Resampled:
    """Effect sizes of one model over the tests of a category, and how they move with the stimuli."""

    observed: np.ndarray
    """Shape [tests]."""
    replicates: np.ndarray
    """Under resampled words, shape [resamples, tests]."""
    jackknife: dict[str, np.ndarray]
    """Without each word in turn of each set of two or more, by the set's key: shape [words, tests]."""
    standardised: tuple[np.ndarray, ...]
    """Of each test, ``Cosines.standardised``."""


def seat_tests(records: pd.DataFrame) -> dict[str, list[AssociationTest]]:
    """The tests of SEAT records (items ``<test>/<role>/<position>``), by category and name.

    Raises:
        DataError: A test lacks one of its four sets.
    """
    found: dict[str, list[AssociationTest]] = {}
    names = records["item"].str.split("/").str[0]
    for (category, name), stimuli in records.groupby([records["category"], names], sort=True):
        parts = {str(role): part.sort_values("item") for role, part in stimuli.groupby("role")}
        if set(parts) != set(ROLES):
            raise DataError(f"its sets are {', '.join(sorted(parts))}, not {', '.join(ROLES)}",
                            where=f"SEAT test {name}")
        x, y, a, b = (
            StimulusSet(tuple(parts[role]["text_sha"]),
                        np.unique(parts[role]["cluster"].to_numpy(dtype=str), return_inverse=True)[1])
            for role in ROLES
        )
        found.setdefault(str(category), []).append(AssociationTest(str(name), (x, y, a, b)))
    return found


def draw_stimuli(tests: Sequence[AssociationTest], *, resamples: int, seed: int) -> Stimuli:
    """Draw the resamples of a category's words once, for any number of models."""
    sets = {stimuli.key: stimuli for test in tests for stimuli in test.sets}
    targets = {stimuli.key for test in tests for stimuli in test.sets[:2]}
    return Stimuli(
        tuple(tests), sets,
        {key: np.ascontiguousarray(bootstrap_draws(stimuli.clusters, resamples, seed, key).T, dtype=np.float64)
         for key, stimuli in sets.items()},
        {key: coin_tosses(sets[key].clusters, resamples, seed, key).astype(np.float64) for key in sorted(targets)},
    )


def resample(stimuli: Stimuli, vectors: Vectors, *, ddof: int = 1) -> Resampled:
    """Effect sizes of a model, under the same resamples of the stimuli for every model.

    Raises:
        DataError: A text has no vector, or one that gives no direction; or all targets of a test have the
            same association, so that it has no effect size.
    """
    found = [cosines(test, vectors) for test in stimuli.tests]
    standardised = tuple(each.standardised(ddof) for each in found)

    observed = np.concatenate([each.effect_sizes([np.ones((part.clusters, 1)) for part in each.test.sets], ddof)
                               for each in found])
    replicates = np.column_stack([each.effect_sizes([stimuli.draws[part.key] for part in each.test.sets], ddof)
                                  for each in found])
    jackknife = {}
    for key, stimulus_set in stimuli.sets.items():
        words = stimulus_set.clusters
        if words > 1:
            without = np.tile(observed, (words, 1))
            for position, each in enumerate(found):
                if any(part.key == key for part in each.test.sets):
                    without[:, position] = each.effect_sizes(
                        [1.0 - np.eye(words) if part.key == key else np.ones((part.clusters, words))
                         for part in each.test.sets], ddof)
            jackknife[key] = without
    return Resampled(observed, replicates, jackknife, standardised)
