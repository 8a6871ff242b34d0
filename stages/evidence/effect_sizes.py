"""Effect sizes of association tests under thousands of resamples of their words, at the speed of a matrix product.

A test has two sets of target sentences (X, Y) and two of attribute sentences (A, B). Its effect
size (Caliskan et al. 2017, as the reference code computes it) is

    d = (mean of s over X - mean of s over Y) / std of s over X and Y,
    s(w) = mean cosine of w with A - mean cosine of w with B.

Sentences of a word are drawn together, so a resample is a weight a word. ``s`` is linear in the weights of
the attributes' words: for each target, one product of its cosines summed by attribute word (some 50 columns
instead of 500) with all resamples. Means and squares of ``s`` are then summed by target word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from stages.common.errors import DataError
from stages.common.files import sha256_text

_COLUMNS = 500
"""Resamples computed at one time: what a test needs of them fits in the processor's cache."""

Vectors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StimulusSet:
    """Sentences that play one role: their text keys, and the cluster (word) of each as a code from 0."""

    texts: tuple[str, ...]
    codes: np.ndarray

    @cached_property
    def sizes(self) -> np.ndarray:
        """Sentences of each cluster, int64 of shape [clusters]."""
        return np.bincount(self.codes)

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.sizes)

    @cached_property
    def order(self) -> np.ndarray:
        """Positions of the sentences, sorted by cluster."""
        return np.argsort(self.codes, kind="stable")

    @cached_property
    def key(self) -> str:
        """Name of the set's random streams: its content."""
        return sha256_text("\n".join(self.texts))

    def summed(self, rows: np.ndarray) -> np.ndarray:
        """Sums over the sentences of each cluster: shape [sentences, ...] gives [clusters, ...]."""
        return np.add.reduceat(rows[self.order], np.cumsum(self.sizes) - self.sizes)


@dataclass(frozen=True)
class AssociationTest:
    """One test: its name and its sets in the order X, Y, A, B."""

    name: str
    sets: tuple[StimulusSet, StimulusSet, StimulusSet, StimulusSet]


@dataclass(frozen=True)
class Cosines:
    """What one model says of one test, summed as far as its words are drawn together."""

    test: AssociationTest
    rows: np.ndarray
    """Of every target, sorted by set and cluster, the cosines summed by cluster of A and of B, less their means over
    all targets (which changes no effect size): float64 of shape [X + Y, clusters of A + clusters of B]."""
    starts: np.ndarray
    """Where the targets of each cluster begin, shape [clusters of X + clusters of Y]."""

    def effect_sizes(self, weights: Sequence[np.ndarray], ddof: int = 1) -> np.ndarray:
        """Effect sizes under several weightings of the words.

        Args:
            weights: For X, Y, A, B how often each cluster counts, float64 of shape [clusters, resamples].
            ddof: Of the standard deviation, as in ``stages.measures.association``.

        Returns:
            float64 of shape [resamples]; 0 where s does not vary at all.
        """
        count = weights[0].shape[1]
        return np.concatenate([
            self._effect_sizes([part[:, start : start + _COLUMNS] for part in weights], ddof)
            for start in range(0, count, _COLUMNS)
        ])

    def standardised(self, ddof: int) -> np.ndarray:
        """z(w) = (s(w) - mean of s) / std of s of the targets, summed by cluster: shape [clusters of X + of Y].

        Raises:
            DataError: All targets have the same association, so that the test has no effect size.
        """
        s = self.rows @ self._contrast([np.ones((part.clusters, 1)) for part in self.test.sets])[:, 0]
        spread = s.std(ddof=ddof)
        if spread < 1e-12:
            raise DataError("all targets have the same association, so the effect size is not defined",
                            where=f"SEAT test {self.test.name}", fix="the model tells no text from another")
        return np.asarray(np.add.reduceat((s - s.mean()) / spread, self.starts))

    def _contrast(self, weights: Sequence[np.ndarray]) -> np.ndarray:
        """The weights that make s of the rows."""
        _, _, a, b = self.test.sets
        return np.vstack([weights[2] / (a.sizes @ weights[2]), -weights[3] / (b.sizes @ weights[3])])

    def _effect_sizes(self, weights: Sequence[np.ndarray], ddof: int) -> np.ndarray:
        contrast = self._contrast(weights)
        x, y, _, _ = self.test.sets
        split = x.clusters
        sums = self._summed @ contrast
        s = self.rows @ contrast
        np.square(s, out=s)
        squares = np.add.reduceat(s, self.starts, axis=0)
        of_x, of_y = x.sizes @ weights[0], y.sizes @ weights[1]
        over_x = np.einsum("cr,cr->r", weights[0], sums[:split])
        over_y = np.einsum("cr,cr->r", weights[1], sums[split:])
        total = (np.einsum("cr,cr->r", weights[0], squares[:split])
                 + np.einsum("cr,cr->r", weights[1], squares[split:]))
        count = of_x + of_y
        variance = (total - (over_x + over_y) ** 2 / count) / (count - ddof)
        spread = np.sqrt(np.maximum(variance, 0.0))
        gap = over_x / of_x - over_y / of_y
        return np.asarray(np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 1e-12))

    @cached_property
    def _summed(self) -> np.ndarray:
        return np.add.reduceat(self.rows, self.starts, axis=0)


def cosines(test: AssociationTest, vectors: Vectors) -> Cosines:
    """Cosines of every target with every attribute, summed by attribute word.

    Raises:
        DataError: A text has no vector, or one that is zero or not finite.
    """
    x, y, a, b = test.sets
    units = [_unit_vectors(stimuli, vectors, test.name) for stimuli in test.sets]
    attributes = np.vstack([a.summed(units[2]), b.summed(units[3])])
    rows = np.vstack([units[0][x.order], units[1][y.order]]) @ attributes.T
    sizes = np.concatenate([x.sizes, y.sizes])
    return Cosines(test, rows - rows.mean(axis=0), np.cumsum(sizes) - sizes)


def _unit_vectors(stimuli: StimulusSet, vectors: Vectors, name: str) -> np.ndarray:
    missing = [text for text in stimuli.texts if text not in vectors]
    if missing:
        raise DataError(f"no vector for {len(missing)} texts, the first is {missing[0]}",
                        where=f"SEAT test {name}", fix="score again")
    rows = np.asarray([vectors[text] for text in stimuli.texts], dtype=np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    broken = np.flatnonzero(~np.isfinite(norms[:, 0]) | (norms[:, 0] == 0))
    if len(broken):
        raise DataError(f"the vector of text {stimuli.texts[broken[0]]} is zero or not finite",
                        where=f"SEAT test {name}", fix="the model gives no direction for this text")
    return np.asarray(rows / norms)
