"""The quality-matched contrast: a compressed model against its parent's checkpoint of the same quality.

Quality q is a loss (smaller is better; by default the log of the perplexity a word). The two adjacent
checkpoints k and k+1 of the parent with q on either side of the compressed model's q* are interpolated,

    w = (q_k - q*) / (q_k - q_{k+1}),   matched bias = (1 - w) b_k + w b_{k+1},

item by item, which for means over items is the same as interpolating the means. The contrast, bias of
the compressed model less the matched bias, is the difference that quality does not explain. Every
resample of the quality items makes the match anew, so that its uncertainty is part of the interval's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from stages.evidence.contrast_levels import Levels, contrast_interval
from stages.evidence.intervals import Estimate

_NOISE = 1e-9
Kind = Literal["bracket", "last", "none"]


@dataclass(frozen=True)
class Match:
    """Where in its parent's training a model's quality lies."""

    kind: Kind
    """``bracket``: between two checkpoints. ``last``: at least as good as the last, which stands for it.
    ``none``: worse than every checkpoint."""
    position: float
    """Index among the checkpoints, e.g. 2.25: a quarter of the way from the third to the fourth."""
    replicates: np.ndarray
    """Position under resampled quality items, shape [resamples]."""
    jackknife: tuple[np.ndarray, ...]
    """Position without each cluster of quality items, shape [clusters]; without a single one if there is but one."""
    effective: tuple[float, ...]
    """``Levels.effective`` of the quality items."""


def match(quality: Levels) -> Match:
    """Match a compressed model's quality.

    Args:
        quality: Losses of the parent's checkpoints in order of training, then that of the compressed model.
    """
    return Match(
        _kind(quality.observed), float(positions(quality.observed[None])[0]), positions(quality.replicates),
        tuple(positions(part) for part in quality.jackknife), quality.effective,
    )


def positions(losses: np.ndarray) -> np.ndarray:
    """Position among checkpoints of the loss in the last column.

    Where training went back and forth across that loss, the latest crossing counts. A loss below all of them has
    the position of the last checkpoint, a loss above all of them 0.

    Args:
        losses: Shape [rows, checkpoints + 1].

    Returns:
        float64 of shape [rows].
    """
    path, target = losses[:, :-1], losses[:, -1:]
    steps = path.shape[1] - 1
    better = np.all(path > target, axis=1)
    if steps == 0:
        return np.zeros(len(losses))
    start, end = path[:, :-1] - target, path[:, 1:] - target
    crossed = start * end <= 0
    latest = steps - 1 - np.argmax(crossed[:, ::-1], axis=1)
    rows = np.arange(len(losses))
    above, below = start[rows, latest], end[rows, latest]
    width = above - below
    share = np.divide(above, width, out=np.ones_like(width), where=width != 0)
    return np.where(crossed.any(axis=1), latest + share, np.where(better, float(steps), 0.0))


def interpolate(values: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Values at fractional positions.

    Args:
        values: Shape [rows or 1, checkpoints].
        position: Shape [rows or 1].

    Returns:
        float64 of shape [rows].
    """
    values, position = np.atleast_2d(values), np.atleast_1d(position)
    rows = max(len(values), len(position))
    values = np.broadcast_to(values, (rows, values.shape[1]))
    lower = np.clip(np.floor(position).astype(int), 0, max(values.shape[1] - 2, 0))
    lower = np.broadcast_to(lower, rows)
    upper = np.minimum(lower + 1, values.shape[1] - 1)
    share = position - lower
    every = np.arange(rows)
    return np.asarray((1 - share) * values[every, lower] + share * values[every, upper])


def matched_fraction(found: Match, fractions: np.ndarray, confidence: float) -> Estimate:
    """The fraction of training that the match stands for.

    Args:
        found: A match that is not ``none``.
        fractions: Of the checkpoints, shape [checkpoints].
        confidence: Level of the interval.
    """
    estimate = contrast_interval(
        float(interpolate(fractions, np.array([found.position]))[0]), interpolate(fractions, found.replicates),
        [(interpolate(fractions, part), effective)
         for part, effective in zip(found.jackknife, found.effective, strict=True)], confidence,
    )
    low, high = np.clip([estimate.low, estimate.high], fractions[0], fractions[-1])
    return replace(estimate, low=float(low), high=float(high))


def against_match(bias: Levels, found: Match, confidence: float) -> tuple[float, Estimate]:
    """The matched bias, and the contrast with it.

    Args:
        bias: Levels of the parent's checkpoints in order, then of the compressed model, with as many resamples
            as the match has.
        found: A match that is not ``none``.
        confidence: Level of the interval.
    """
    def contrast(values: np.ndarray, position: np.ndarray) -> np.ndarray:
        rows = np.atleast_2d(values)
        return np.asarray(rows[:, -1] - interpolate(rows[:, :-1], position))

    here = np.array([found.position])
    value = float(contrast(bias.observed, here)[0])
    sources = [*((contrast(part, here), effective)
                 for part, effective in zip(bias.jackknife, bias.effective, strict=True)),
               *((contrast(bias.observed, part), effective)
                 for part, effective in zip(found.jackknife, found.effective, strict=True))]
    known = bool(bias.jackknife) and bool(found.jackknife)
    estimate = contrast_interval(value, contrast(bias.replicates, found.replicates), sources if known else [],
                                 confidence)
    return float(bias.observed[-1]) - value, estimate


def _kind(losses: np.ndarray) -> Kind:
    path, target = losses[:-1], losses[-1]
    if target > path.max() + _NOISE:
        return "none"
    return "last" if target <= path.min() + _NOISE else "bracket"
