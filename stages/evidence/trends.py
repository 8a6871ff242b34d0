"""Do bias and quality move together over training? Kendall's tau-c, and a test that takes a run for one observation.

The study pools the checkpoints of all models and tests tau-c as if each checkpoint were an independent
draw. They are not: a checkpoint is its predecessor and a little more training, and two series that wander
independently of each other are correlated, one way or the other, within almost every run. At a level of 5% the
naive test finds something in about 40% of simulated sets of such runs.

What is independent is a run of training. If quality and bias of a run do not depend on each other, and
bias has no drift that all runs share, the correlation within a run is as likely positive as negative,
however its checkpoints depend on one another. So the test is a sign-flip permutation over runs of the
correlation within them: exact, and honest about few runs (with r of them no p is below 2 / 2**r). Shifting
series circularly within a run would give more permutations, but a training curve joined end to start is no
training curve: it assumes stationarity.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from stages.evidence.contrast import Row
from stages.evidence.paired import sign_flip
from stages.evidence.resampling import sign_patterns
from stages.evidence.trends_size import Size, size_rows

ALL = "all"
"""Every variant that was applied to each checkpoint of its parent's run, together."""
_FEWEST = 3
"""Checkpoints of a run below which there is no trend to speak of."""
_PERMUTATIONS = 10_000


@dataclass(frozen=True)
class Trend:
    """How two quantities move together over checkpoints."""

    tau_c: float
    """Stuart's tau-c over the checkpoints of all runs."""
    p_naive: float
    """Two-sided, with checkpoints as independent observations."""
    within: float
    """Mean over runs of the correlation within a run (tau-a)."""
    p_value: float
    """Two-sided, with runs as the observations."""
    points: int
    runs: int


def trend(
    x: np.ndarray, y: np.ndarray, runs: np.ndarray, lines: np.ndarray | None = None, *, seed: int = 0
) -> Trend:
    """Kendall's tau-c of two quantities over checkpoints, and the test over runs.

    Args:
        x: One value a checkpoint, shape [points].
        y: The same of the other quantity.
        runs: Label of the run that each checkpoint is of, shape [points].
        lines: Label of its variant. A run's correlation is the mean over its variants, which are not independent.
        seed: The suite's seed.
    """
    lines = np.zeros(len(x)) if lines is None else lines
    pooled = kendalltau(x, y, variant="c")
    each = np.array([
        np.mean([tau_a(x[of], y[of]) for line in np.unique(lines[runs == run])
                 for of in [(runs == run) & (lines == line)]])
        for run in np.unique(runs)
    ])
    signs = sign_patterns(len(each), _PERMUTATIONS, seed, "trend")
    return Trend(float(pooled.statistic), float(pooled.pvalue), float(each.mean()), sign_flip(each, signs), len(x),
                 len(each))


def tau_a(x: np.ndarray, y: np.ndarray) -> float:
    """Concordant less discordant pairs as a share of all pairs; a tie is neither."""
    agree = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    return float(agree.sum() / (len(x) * (len(x) - 1)))


def trend_rows(
    curves: pd.DataFrame, sizes: Mapping[str, Size], *, baseline: str, along: Collection[str],
    headlines: Sequence[tuple[str, str]], categories: Sequence[str], lm: str | None, seed: int,
) -> Iterator[Row]:
    """Trends of every bias metric with quality, with training and with size, for the contrast table.

    Args:
        curves: Rows of the trajectory files: model, variant, fraction, dataset, category, metric, value.
        sizes: Of each model.
        baseline: The variant without compression.
        along: The variants that are applied to each checkpoint of their parent's run. Others are trained: their
            fractions are of a training of their own, so that they are not pooled with these.
        headlines: Dataset and metric of the bias measures.
        categories: The categories to look at.
        lm: The dataset whose LM score, over all its items, is the quality, if there is one.
        seed: The suite's seed.
    """
    lines = curves.groupby(["model", "variant"])["fraction"].transform("nunique")
    moving = curves[lines >= _FEWEST]
    quality = moving[(moving["dataset"] == lm) & (moving["category"] == "overall") & (moving["metric"] == "lm")]
    keys = ["model", "variant", "fraction"]
    present = set(moving["variant"])
    groups = {ALL: present & set(along), **{name: {name} for name in sorted(present)}}
    for dataset, metric in headlines:
        for category in categories:
            bias = curves[(curves["dataset"] == dataset) & (curves["metric"] == metric)
                          & (curves["category"] == category)]
            where: Row = {"analysis": "trend", "dataset": dataset, "category": category, "metric": metric}
            over = bias[bias.index.isin(moving.index)].merge(quality[[*keys, "value"]], on=keys, suffixes=("", "_lm"),
                                                             how="left")
            for group, variants in groups.items():
                points = over[over["variant"].isin(variants)]
                for against, column in (("lm", "value_lm"), ("fraction", "fraction")):
                    chosen = points[points[column].notna()]
                    if len(chosen) and (group != ALL or len(variants) > 1):
                        found = trend(chosen[column].to_numpy(), chosen["value"].to_numpy(),
                                      chosen["model"].to_numpy(dtype=str), chosen["variant"].to_numpy(dtype=str),
                                      seed=seed)
                        yield where | _columns(found) | {"variant": group, "against": against}
            for row in size_rows(bias[bias["variant"] == baseline], sizes):
                yield where | {"variant": baseline} | row


def _columns(found: Trend) -> Row:
    return {"estimate": found.tau_c, "p_naive": found.p_naive, "reference": found.within, "p_value": found.p_value,
            "items": found.points, "clusters": found.runs}
