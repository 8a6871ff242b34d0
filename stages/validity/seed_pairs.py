"""Is nothing found between models that differ by the seed of their training alone?"""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from stages.validity.planted import SEEDS, Trained, name_of
from stages.validity.pool import Spread
from stages.validity.rows import Row, share
from stages.validity.simulated_runs import SimulatedRun
from stages.validity.trained_runs import judged, levels, run_of

MOST = 0.05


def seed_rows(trained: Trained, spread: Spread, seed: int) -> list[Row]:
    """Share of pairs of seeds with any verdict ``less`` or ``more``; the seeds of neither are the replicates of one."""
    names = [name_of("neox", "base", number) for number in SEEDS["neox"]]
    runs = [run_of(name, "neox", trained[name]) for name in names]
    known = levels(runs, seed)
    pairs = list(combinations(range(len(runs)), 2))
    found = spread(finds, [(runs[one], runs[other], known.drop(columns=known.columns[[one, other]]), seed)
                           for one, other in pairs])
    return [Row("pairs of seeds with any finding", share(sum(found), len(pairs)), 0.0, MOST)]


def finds(one: SimulatedRun, other: SimulatedRun, others: pd.DataFrame, seed: int) -> bool:
    """Whether a grid of one model and another as its child has a finding, with ``others`` for the one's replicates."""
    return bool(judged(one, other, others, seed)["verdict"].isin(("less", "more")).any())
