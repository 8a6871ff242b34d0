"""How far a measure can be trusted, where the truth is known because it was planted: plain functions on tables.

All take rows of one measure of one kind of model at one variant and checkpoint, with the columns ``world``,
``seed``, ``kind``, ``planted`` (the truth, log-odds in nats) and ``value``, unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from stages.evidence.seeds import generator

LEVEL_DECIMALS = 6
"""To which planted values are told apart."""


@dataclass(frozen=True)
class Bounds:
    """A number with an interval; NaN where the data cannot give it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """A measure against the truth."""

    slope: Bounds
    """Units of the measure a planted nat."""
    intercept: Bounds
    """The measure where nothing is planted."""
    rank: Bounds
    """Spearman's correlation with the truth."""


@dataclass(frozen=True)
class Specificity:
    """What happens to a measure of one kind of group when another kind's association alone is changed."""

    own: float
    """Mean magnitude of the change where the planted association changed."""
    others: float
    """The same of the kinds that were left as they were."""
    floor: float
    """Change that two seeds of the same world exceed in 5% of cases; NaN with one seed a world."""
    within: float
    """Share of the others' changes no larger than the floor; NaN without one."""


def line(rows: pd.DataFrame, *, x: str = "planted", resamples: int, confidence: float, seed: int) -> Line:
    """Least-squares line and rank correlation over worlds, kinds and seeds.

    Intervals are percentiles of a bootstrap that draws worlds, and within each world its seeds. Resamples in which
    all planted values are the same have no line and are left out.
    """
    rows = rows.sort_values(["world", "seed", "kind"], ignore_index=True)
    truth, values = rows[x].to_numpy(dtype=np.float64), rows["value"].to_numpy(dtype=np.float64)
    draw = generator(seed, "calibration", "worlds")
    worlds = [[np.asarray(index) for index in part.groupby("seed").groups.values()]
              for _, part in rows.groupby("world")]
    found = []
    for _ in range(resamples):
        chosen = [worlds[place] for place in draw.integers(len(worlds), size=len(worlds))]
        taken = np.concatenate([seeds[place] for seeds in chosen
                                for place in draw.integers(len(seeds), size=len(seeds))])
        found.append(_fit(truth[taken], values[taken]))
    estimates = _fit(truth, values)
    replicates = np.array(found)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    bounds = []
    for position, value in enumerate(estimates):
        finite = replicates[np.isfinite(replicates[:, position]), position]
        low, high = np.quantile(finite, tails) if len(finite) else (np.nan, np.nan)
        bounds.append(Bounds(value, float(low), float(high)))
    return Line(*bounds)


def slope(rows: pd.DataFrame, *, x: str = "planted") -> float:
    """The slope of ``line`` alone, without an interval."""
    return _fit(rows[x].to_numpy(dtype=np.float64), rows["value"].to_numpy(dtype=np.float64))[0]


def saturation(rows: pd.DataFrame, share: float = 0.95) -> float:
    """Planted log-odds from which on a measure has covered a share of its range.

    The range is that of the means at each planted level; between levels it is interpolated. A measure in
    proportion to the truth gets there at that share of the largest planted value; one that saturates, long before.
    """
    levels = _by_level(rows)
    means = np.maximum.accumulate(levels.to_numpy())
    target = means[0] + share * (means[-1] - means[0])
    reached = int(np.argmax(means >= target))
    if reached == 0:
        return float(levels.index[0])
    before, after = levels.index[reached - 1], levels.index[reached]
    part = (target - means[reached - 1]) / (means[reached] - means[reached - 1])
    return float(before + part * (after - before))


def specificity(rows: pd.DataFrame, twins: Sequence[tuple[str, str, str]]) -> Specificity:
    """Compare worlds that differ in one kind of group alone.

    Args:
        rows: See the module.
        twins: Worlds as (one, other, the kind that differs).
    """
    own: list[float] = []
    others: list[float] = []
    for one, other, kind in twins:
        before, after = (rows[rows["world"] == world].set_index(["kind", "seed"])["value"] for world in (one, other))
        moved = (after - before).dropna().abs()
        changed = moved.index.get_level_values("kind") == kind
        own += moved[changed].tolist()
        others += moved[~changed].tolist()
    floor = seed_floor(rows)
    within = float(np.mean(np.array(others) <= floor)) if others and np.isfinite(floor) else np.nan
    return Specificity(_mean(own), _mean(others), floor, within)


def seed_floor(rows: pd.DataFrame) -> float:
    """Change between two seeds of one world that noise exceeds in 5% of cases, pooled over worlds and kinds.

    1.96 times the standard deviation of a difference of two seeds; NaN with one seed a world.
    """
    groups = rows.groupby(["world", "kind"])["value"]
    freedom = (groups.count() - 1).sum()
    if not freedom:
        return np.nan
    squares = (rows["value"] - groups.transform("mean")) ** 2
    return float(1.96 * np.sqrt(2 * squares.sum() / freedom))


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """Slope, intercept and rank correlation; NaN where x does not vary, the correlation also where y does not."""
    if np.ptp(x) < 1e-12:
        return np.nan, np.nan, np.nan
    slope = float(np.cov(x, y, bias=True)[0, 1] / np.var(x))
    rank = np.nan if np.ptp(y) < 1e-12 else float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
    return slope, float(y.mean() - slope * x.mean()), rank


def _by_level(rows: pd.DataFrame) -> pd.Series:
    return rows["value"].groupby(rows["planted"].round(LEVEL_DECIMALS)).mean().sort_index()


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else np.nan
