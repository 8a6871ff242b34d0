"""One metric of several runs over the same items, and how all of them move when the items are resampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr

from stages.evidence.association import Resampled
from stages.evidence.intervals import Estimate, effective_clusters, interval
from stages.evidence.metrics import Metric
from stages.evidence.resampling import ClusterTotals, bootstrap_draws

_NOISE = 1e-9


@dataclass(frozen=True)
class Levels:
    """A metric of k runs."""

    observed: np.ndarray
    """Shape [k]."""
    replicates: np.ndarray
    """Under resampled clusters, the same ones for every run: shape [resamples, k]."""
    jackknife: tuple[np.ndarray, ...]
    """For each independently resampled set of clusters, without each of them in turn: shape [clusters, k]."""
    effective: tuple[float, ...]
    """Of each such set how many clusters of equal size it is worth, see ``effective_clusters``."""
    items: int
    clusters: int

    def only(self, columns: Sequence[int]) -> Levels:
        """The same of some of the runs."""
        chosen = list(columns)
        return Levels(self.observed[chosen], self.replicates[:, chosen],
                      tuple(part[:, chosen] for part in self.jackknife), self.effective, self.items, self.clusters)


def of_items(
    metric: Metric, tables: Sequence[pd.DataFrame], *, resamples: int, seed: int, names: Sequence[str],
    log: bool = False,
) -> Levels:
    """Levels of a metric over items.

    Args:
        metric: What to compute.
        tables: Of each run the same items (``stages.evidence.items``), all usable.
        resamples: How many.
        seed: The suite's seed.
        names: Dataset and category: the name of the random stream, as in ``stages.evidence.change``.
        log: Keep the mean itself where the metric is its exponential.
    """
    each = [metric.totals(items) for items in tables]
    totals = ClusterTotals(np.hstack([one.value for one in each]), np.hstack([one.weight for one in each]))
    of_mean: Any = (lambda mean: mean) if log else metric.of_mean
    draws = bootstrap_draws(totals.clusters, resamples, seed, *names)
    with np.errstate(invalid="ignore"):  # 0/0 where a resample drew nothing that counts (ties left out)
        return Levels(
            np.asarray(of_mean(totals.means())), np.asarray(of_mean(totals.resampled(draws))),
            (np.asarray(of_mean(totals.leave_one_out())),) if totals.clusters > 1 else (),
            (effective_clusters(totals.weight),) if totals.clusters > 1 else (), len(tables[0]), totals.clusters,
        )


def of_effects(runs: Sequence[Resampled], items: int) -> Levels:
    """Levels of the mean absolute effect size of a category's association tests.

    Runs are combined after the absolute value is taken: the mean of two noisy effect sizes is closer to 0
    than each of them, so that a match made of signed ones would look less biased than any checkpoint is.
    """
    def magnitude(effects: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack([np.abs(part).mean(axis=-1) for part in effects], axis=-1)

    keys = sorted(runs[0].jackknife)
    jackknife = tuple(magnitude([run.jackknife[key] for run in runs]) for key in keys)
    return Levels(magnitude([run.observed for run in runs]), magnitude([run.replicates for run in runs]),
                  jackknife, tuple(float(len(part)) for part in jackknife), items, sum(map(len, jackknife)))


def contrast_interval(
    value: float, replicates: np.ndarray, sources: Sequence[tuple[np.ndarray, float]], confidence: float
) -> Estimate:
    """Interval of a contrast that chance enters from several sides (``stages.evidence.intervals.interval``).

    Args:
        value: The contrast.
        replicates: Under resampled clusters of all sources, shape [resamples].
        sources: Of each source the contrast without each of its clusters, shape [clusters], and its effective
            clusters. Of a source with a single cluster nothing is known, so there is no interval.
        confidence: Level of the interval.
    """
    kept = [part[np.isfinite(part)] for part, _ in sources]
    known = all(len(part) > 1 for part in kept)
    return interval(value, replicates[np.isfinite(replicates)], kept if known else [], confidence,
                    effective=[effective for _, effective in sources])


def t_test(found: Estimate) -> float:
    """Two-sided p of no contrast, by Student's t with the jackknife's standard error and degrees of freedom.

    NaN where there is no standard error, or none of the resamples moves a contrast that is not zero.
    """
    if not np.isfinite(found.standard_error):
        return float("nan")
    if found.method == "constant" or found.standard_error <= _NOISE:
        return 1.0 if abs(found.value) <= _NOISE else float("nan")
    return float(2 * stdtr(found.freedom, -abs(found.value) / found.standard_error))
