"""Two models' association effect sizes: their change with its interval, and a paired permutation test of it.

The two answer different questions: the interval takes the words for a sample of those that might have been chosen, the
test takes them as given, and asks whether the two models tell them apart otherwise than by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from stages.evidence.association import Resampled, Stimuli
from stages.evidence.intervals import Estimate, interval


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


def compare_association(
    stimuli: Stimuli, parent: Resampled, child: Resampled, *, confidence: float
) -> list[AssociationChange]:
    """Effect sizes of a child and their change from the parent's: of each test, and their mean magnitude.

    Args:
        stimuli: The tests of one category.
        parent: Of ``resample`` with these stimuli.
        child: The same of the child.
        confidence: Level of the intervals.

    Returns:
        One entry a test (signed effect size), then one for the mean of the absolute effect sizes.
    """
    exchanged = swapped(stimuli, parent, child)

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
            sum(len(stimuli.sets[key].texts) for key in keys),
        )

    each = [summarise(test.name, sorted({part.key for part in test.sets}), itemgetter((..., position)))
            for position, test in enumerate(stimuli.tests)]
    return [*each, summarise("", sorted(stimuli.sets), lambda effects: np.abs(effects).mean(axis=-1), folded=True)]


def swapped(stimuli: Stimuli, parent: Resampled, child: Resampled) -> tuple[np.ndarray, np.ndarray]:
    """Effect sizes of two models after random swaps of their associations.

    If the models do not differ, it does not matter which of them gave a target word its standardised
    association z(w). A swap moves the two effect sizes by the same amount in opposite directions.

    Returns:
        Of parent and child, float64 of shape [resamples, tests].
    """
    moved = np.zeros_like(child.replicates)
    for position, (test, old, new) in enumerate(
        zip(stimuli.tests, parent.standardised, child.standardised, strict=True)
    ):
        x, y, _, _ = test.sets
        totals = new - old
        moved[:, position] = (stimuli.coins[x.key] @ (totals[: x.clusters] / len(x.texts))
                              - stimuli.coins[y.key] @ (totals[x.clusters :] / len(y.texts)))
    return parent.observed + moved, child.observed - moved
