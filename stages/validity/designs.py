"""Simulated items whose clusters, and whose truth, are known.

An item's margin (log-odds of the stereotype, in nats) is its cluster's effect plus noise of its own:

    parent = a + e,  child = parent + shift + b + d,
    a ~ N(MEAN, spread), e ~ Logistic(0, 1), b ~ N(0, CHANGE_SPREAD * spread), d ~ N(0, ITEM_CHANGE),

with a and b drawn once a cluster. So the mean margin is ``MEAN`` and its change is ``shift``, and since a
logistic variable exceeds -a with probability expit(a), shares of preferred items are integrals of expit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit

MEAN = 0.4
CHANGE_SPREAD = 0.35
ITEM_CHANGE = 0.5
Quantity = Literal["share", "log-odds"]
QUANTITIES: tuple[Quantity, Quantity] = ("share", "log-odds")
"""The percentage of preferred items (0 to 100), and the mean margin in nats."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)


@dataclass(frozen=True)
class Design:
    """Sizes of clusters, and what is measured on their items."""

    name: str
    measure: Literal["pair_preference", "stereotype_triples"]
    sizes: tuple[int, ...]
    """Items of each cluster."""
    spread: float
    """Standard deviation of the clusters' effects, in nats."""

    def share(self, shift: float | None = None) -> float:
        """Expected percentage of preferred items: of the parent, or of the child with a shift."""
        moved = 0.0 if shift is None else shift
        spread = self.spread if shift is None else float(
            np.sqrt(self.spread**2 * (1 + CHANGE_SPREAD**2) + ITEM_CHANGE**2))
        values = expit(MEAN + moved + spread * _NODES)
        return 100 * float(values @ _WEIGHTS / _WEIGHTS.sum())

    def shift_for(self, quantity: Quantity, change: float) -> float:
        """The shift whose expected change of the quantity is ``change``.

        Raises:
            ValueError: No shift changes the percentage by so much.
        """
        if quantity == "log-odds":
            return change
        return float(brentq(lambda shift: self.share(shift) - self.share() - change, -50, 50))

    def draw(self, rng: np.random.Generator, shift: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Items of a parent and a child as ``stages.evidence.items`` gives them."""
        codes = np.repeat(np.arange(len(self.sizes)), self.sizes)
        clusters = np.array([f"{code:04d}" for code in range(len(self.sizes))], dtype=object)[codes]
        effects = rng.normal(MEAN, self.spread, len(self.sizes))
        parent = effects[codes] + rng.logistic(size=len(codes))
        moves = rng.normal(shift, CHANGE_SPREAD * self.spread, len(self.sizes))
        child = parent + moves[codes] + rng.normal(0, ITEM_CHANGE, len(codes))
        return items(parent, clusters), items(child, clusters)


def items(margins: np.ndarray, clusters: np.ndarray) -> pd.DataFrame:
    """Items of one model with the given margins."""
    return pd.DataFrame(
        {"category": "simulated", "cluster": clusters, "texts": "", "usable": True, "score_stereo": margins,
         "score_anti": 0.0, "score_unrelated": -np.inf, "log_stereo": margins, "log_anti": 0.0},
        index=pd.RangeIndex(len(margins)).astype(str))


DESIGNS = (
    Design("many small clusters", "pair_preference", (4,) * 200, 1.0),
    # The 267 clusters of CrowS-Pairs' 516 race pairs: one holds 158, and together they weigh like 10.
    Design("few unequal clusters", "pair_preference",
           (158, 18, *(6,) * 4, *(5,) * 3, *(4,) * 2, *(3,) * 8, *(2,) * 21, *(1,) * 227), 0.7),
    Design("macro average over targets", "stereotype_triples", tuple(20 + code % 12 for code in range(30)), 0.5),
)
"""As in all of CrowS-Pairs, its race pairs, and StereoSet's gender triples (30 targets of 20 to 31)."""
