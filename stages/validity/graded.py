"""Does the graded log-odds follow what was planted, and does it leave the other groups where they were?"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy.special import stdtrit
from scipy.stats import spearmanr

from stages.lab.vocabularies import KINDS
from stages.validity.planted import CHANGED, SEEDS, Architecture, Trained, name_of, world
from stages.validity.rows import Row
from stages.validity.trained_runs import run_of, values

RANK = (0.95, 1.0)
DATASETS = ("crows_pairs", "stereoset")
_CONFIDENCE = 0.95


def graded_rows(trained: Trained, architecture: Architecture, seed: int) -> list[Row]:
    """Rank correlation with the truth, and the largest move of a group that nothing was done to.

    A point of the correlation is a kind of group at a strength, its log-odds the mean over both benchmarks and all
    models that had it.
    """
    names = [name for name in trained if name.startswith(f"{architecture}.")]
    found = _log_odds(trained, architecture, names, seed)
    points = [(kind, world(name.split(".")[1]).association(kind).log_odds, *found[name][:, column])
              for name in names for column, kind in enumerate(KINDS)]
    means = pd.DataFrame(points, columns=["kind", "truth", *DATASETS]).groupby(["kind", "truth"], as_index=False).mean()
    log_odds = means[list(DATASETS)].mean(axis=1)
    return [
        Row(f"rank correlation of log-odds with what was planted, {architecture}",
            float(spearmanr(means["truth"], log_odds).statistic), *RANK),
        Row(f"largest move of another group, in units of its floor, {architecture}",
            _largest_move(found, architecture), 0.0, 1.0),
    ]


def _log_odds(trained: Trained, architecture: Architecture, names: list[str], seed: int) -> dict[str, np.ndarray]:
    """Mean log-odds by model: shape [benchmarks, kinds]."""
    table = values([run_of(name, architecture, trained[name]) for name in names], seed)
    chosen = table[(table["metric"] == "log_odds") & table["category"].isin(KINDS)]
    wide = chosen.pivot(index="variant", columns=["dataset", "category"], values="value")
    wide = wide[[(dataset, kind) for dataset in DATASETS for kind in KINDS]]
    return {name: row.reshape(len(DATASETS), len(KINDS)) for name, row in zip(names, wide.to_numpy(), strict=True)}


def _largest_move(found: dict[str, np.ndarray], architecture: Architecture) -> float:
    """The largest move among all groups but the changed one, over all changed worlds, relative to its bound.

    The bound holds all moves together with the confidence (Bonferroni): Student's t, the spread over the seeds of the
    base world, and sqrt(2), since a move is a difference of two trainings. The few seeds are pooled over the cells.
    """
    seeds = np.stack([found[name_of(architecture, "base", number)] for number in SEEDS[architecture]])
    freedom = (len(seeds) - 1) * seeds[0].size
    spread = math.sqrt(np.var(seeds, axis=0, ddof=1).mean())
    moves = [abs(found[name_of(architecture, changed)] - seeds[0])[:, column]
             for changed in CHANGED for column, kind in enumerate(KINDS) if kind != changed]
    count = sum(move.size for move in moves)
    bound = float(stdtrit(freedom, 1 - (1 - _CONFIDENCE) / (2 * count))) * math.sqrt(2) * spread
    return float(np.max(moves) / bound)
