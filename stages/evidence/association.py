"""How sure an association effect size is: a bootstrap over stimuli, and a paired test between two models.

A test has two sets of target sentences (X, Y) and two of attribute sentences (A, B). Its effect
size (Caliskan et al. 2017, as the reference code computes it) is

    d = (mean of s over X - mean of s over Y) / std of s over X and Y,
    s(w) = mean cosine of w with A - mean cosine of w with B.

All four sets are samples of the words that might have been chosen, so all four are resampled, by
word; a set of a single word stays as it is. Tests of one category share sets: a set has one stream
of resamples wherever it occurs, and both models meet the same ones, so that means over tests and
changes have the right spread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.common.files import sha256_text
from stages.evidence.intervals import Estimate, interval
from stages.evidence.resampling import bootstrap_draws, coin_tosses
from stages.measures.association import ROLES

_ROWS = 1000
"""Resamples computed at one time."""

Vectors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StimulusSet:
    """Sentences that play one role: their text keys, and the cluster (word) of each as a code from 0."""

    texts: tuple[str, ...]
    codes: np.ndarray

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return int(self.codes.max()) + 1

    @property
    def key(self) -> str:
        """Name of the set's random streams: its content."""
        return sha256_text("\n".join(self.texts))


@dataclass(frozen=True)
class AssociationTest:
    """One test: its name and its sets in the order X, Y, A, B."""

    name: str
    sets: tuple[StimulusSet, StimulusSet, StimulusSet, StimulusSet]


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
    """Of each test, z(w) = (s(w) - mean of s) / std of s of its targets, shape [X + Y]."""


@dataclass(frozen=True, slots=True)
class AssociationChange:
    """What one test, or all tests of a category, say of a model and of its change from its parent."""

    name: str
    """Name of the test; ``""`` for the mean absolute effect size over the tests."""
    value: Estimate
    """Effect size of the child."""
    parent: float
    change: Estimate
    p_value: float
    """Paired permutation test of the change, see ``swapped``."""
    items: int
    """Sentences of all sets."""


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


def cosines(test: AssociationTest, vectors: Vectors) -> np.ndarray:
    """Cosines of every target with every attribute, float64 of shape [X + Y, A + B].

    Raises:
        DataError: A text has no vector, or one that is zero or not finite.
    """
    units = []
    for stimuli in test.sets:
        missing = [text for text in stimuli.texts if text not in vectors]
        if missing:
            raise DataError(f"no vector for {len(missing)} texts, the first is {missing[0]}",
                            where=f"SEAT test {test.name}", fix="score again")
        rows = np.asarray([vectors[text] for text in stimuli.texts], dtype=np.float64)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        broken = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
        if len(broken):
            raise DataError(f"the vector of text {stimuli.texts[broken[0]]} is zero or not finite",
                            where=f"SEAT test {test.name}", fix="the model gives no direction for this text")
        units.append(rows / norms)
    return np.asarray(np.vstack(units[:2]) @ np.vstack(units[2:]).T)


def effect_sizes(similarity: np.ndarray, weights: Sequence[np.ndarray], ddof: int = 1) -> np.ndarray:
    """Effect sizes of one test under several weightings of its stimuli.

    Args:
        similarity: ``cosines`` of the test.
        weights: For X, Y, A, B how often each sentence counts, shape [resamples, sentences].
        ddof: Of the standard deviation, as in ``stages.measures.association``.

    Returns:
        float64 of shape [resamples]; 0 where s does not vary at all.
    """
    x, y, a, b = weights
    to_a = similarity[:, : a.shape[1]] @ (a / a.sum(axis=1, keepdims=True)).T
    to_b = similarity[:, a.shape[1] :] @ (b / b.sum(axis=1, keepdims=True)).T
    s = (to_a - to_b).T
    targets = np.hstack([x, y])
    count = targets.sum(axis=1)
    centre = np.sum(targets * s, axis=1) / count
    spread = np.sqrt(np.sum(targets * (s - centre[:, None]) ** 2, axis=1) / (count - ddof))
    split = x.shape[1]
    gap = np.sum(x * s[:, :split], axis=1) / x.sum(axis=1) - np.sum(y * s[:, split:], axis=1) / y.sum(axis=1)
    return np.asarray(np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 1e-12))


def resample(
    tests: Sequence[AssociationTest], vectors: Vectors, *, resamples: int, seed: int, ddof: int = 1
) -> Resampled:
    """Effect sizes of a model, under the same resamples of the stimuli for every model.

    Raises:
        DataError: A text has no vector, or one that gives no direction; or all targets of a test have the
            same association, so that it has no effect size.
    """
    similarities = [cosines(test, vectors) for test in tests]
    sets = _sets(tests)

    def sizes(draws: Mapping[str, np.ndarray]) -> np.ndarray:
        """Effect sizes under cluster weights, shape [resamples, tests]."""
        weights = {key: draws[key][:, stimuli.codes].astype(np.float64) for key, stimuli in sets.items()}
        return np.column_stack([effect_sizes(similarity, [weights[stimuli.key] for stimuli in test.sets], ddof)
                                for test, similarity in zip(tests, similarities, strict=True)])

    ones = {key: np.ones((1, stimuli.clusters)) for key, stimuli in sets.items()}
    draws = {key: bootstrap_draws(stimuli.clusters, resamples, seed, key) for key, stimuli in sets.items()}
    return Resampled(
        sizes(ones)[0],
        np.concatenate([sizes({key: drawn[start : start + _ROWS] for key, drawn in draws.items()})
                        for start in range(0, resamples, _ROWS)]),
        {key: sizes({**{other: np.repeat(one, stimuli.clusters, axis=0) for other, one in ones.items()},
                     key: 1.0 - np.eye(stimuli.clusters)})
         for key, stimuli in sets.items() if stimuli.clusters > 1},
        tuple(_standardised(test, similarity, ddof) for test, similarity in zip(tests, similarities, strict=True)),
    )


def compare_association(
    tests: Sequence[AssociationTest], parent: Resampled, child: Resampled, *, confidence: float, seed: int
) -> list[AssociationChange]:
    """Effect sizes of a child and their change from the parent's: of each test, and their mean magnitude.

    Args:
        tests: The tests of one category.
        parent: Of ``resample`` with these tests.
        child: The same of the child, with as many resamples and the same seed.
        confidence: Level of the intervals.
        seed: The suite's seed.

    Returns:
        One entry a test (signed effect size), then one for the mean of the absolute effect sizes.
    """
    sets = _sets(tests)
    exchanged = swapped(tests, parent, child, seed=seed)

    def summarise(
        name: str, keys: Sequence[str], statistic: Callable[[np.ndarray], np.ndarray], *, folded: bool = False
    ) -> AssociationChange:
        before, after = float(statistic(parent.observed)), float(statistic(child.observed))
        old, new = statistic(parent.replicates), statistic(child.replicates)
        without = [(statistic(parent.jackknife[key]), statistic(child.jackknife[key]))
                   for key in keys if key in child.jackknife]
        null = statistic(exchanged[1]) - statistic(exchanged[0])
        extreme = np.abs(null) >= abs(after - before) - 1e-9
        return AssociationChange(
            name,
            interval(after, new, [part for _, part in without], confidence, folded=folded),
            before,
            interval(after - before, new - old, [part - other for other, part in without], confidence),
            float((1 + extreme.sum()) / (1 + len(null))),
            sum(len(sets[key].texts) for key in keys),
        )

    each = [summarise(test.name, sorted({stimuli.key for stimuli in test.sets}), itemgetter((..., position)))
            for position, test in enumerate(tests)]
    return [*each, summarise("", sorted(sets), lambda effects: np.abs(effects).mean(axis=-1), folded=True)]


def swapped(
    tests: Sequence[AssociationTest], parent: Resampled, child: Resampled, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Effect sizes of two models after random swaps of their associations.

    If the models do not differ, it does not matter which of them gave a target word its standardised
    association z(w). A swap moves the two effect sizes by the same amount in opposite directions.

    Returns:
        Of parent and child, float64 of shape [resamples, tests].
    """
    resamples = len(child.replicates)
    moved = np.zeros((resamples, len(tests)))
    for position, (test, old, new) in enumerate(zip(tests, parent.standardised, child.standardised, strict=True)):
        split = len(test.sets[0].texts)
        halves = ((new - old)[:split], (new - old)[split:])
        for stimuli, part, sign in zip(test.sets[:2], halves, (1, -1), strict=True):
            totals = np.bincount(stimuli.codes, weights=part) * sign / len(stimuli.texts)
            moved[:, position] += coin_tosses(stimuli.clusters, resamples, seed, stimuli.key) @ totals
    return parent.observed + moved, child.observed - moved


def _sets(tests: Sequence[AssociationTest]) -> dict[str, StimulusSet]:
    return {stimuli.key: stimuli for test in tests for stimuli in test.sets}


def _standardised(test: AssociationTest, similarity: np.ndarray, ddof: int) -> np.ndarray:
    split = len(test.sets[2].texts)
    s = similarity[:, :split].mean(axis=1) - similarity[:, split:].mean(axis=1)
    spread = s.std(ddof=ddof)
    if spread < 1e-12:
        raise DataError("all targets have the same association, so the effect size is not defined",
                        where=f"SEAT test {test.name}", fix="the model tells no text from another")
    return np.asarray((s - s.mean()) / spread)
