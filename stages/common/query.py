"""What a model is asked: token ids, the positions to read, and the tokens looked for there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Reduction = Literal["mean_logprob", "mean_probability", "geometric_mean_probability"]


@dataclass(frozen=True, slots=True)
class Query:
    """Read the log-probability of ``targets[k]`` from the logits at ``positions[k]`` of one sequence.

    The same form serves masked models (position of the mask, the hidden token) and causal
    models (position ``i - 1``, token ``i``). Positions rise strictly.
    """

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said to one query, one value for each of its positions."""

    logprobs: np.ndarray
    """Natural log-probability of each target, float64 of shape [positions]."""
    entropies: np.ndarray
    """Entropy in nats of the distribution at each position, float64 of shape [positions]."""


@dataclass(frozen=True, slots=True)
class Row:
    """One record to be: a text of an item, and what must be asked of the model to score it.

    ``queries`` together give the values that ``reduction`` turns into the score; a row
    without queries is recorded as not scored (``scored`` 0). ``sequence`` asks for an
    embedding of the text instead.
    """

    item: str
    category: str
    cluster: str
    role: str
    text: str
    tokens: int
    direction: str = ""
    queries: tuple[Query, ...] = ()
    reduction: Reduction = "mean_logprob"
    sequence: tuple[int, ...] = field(default=())

    @property
    def words(self) -> int:
        """Whitespace-separated words of the text: the unit in which models with other tokenizers compare."""
        return len(self.text.split())


def reduce(reduction: Reduction, logprobs: np.ndarray) -> float:
    """Turn the natural log-probabilities of a text's scored positions into its score.

    ``mean_logprob``: arithmetic mean of log-probabilities (CrowS-Pairs, masked).
    ``mean_probability``: arithmetic mean of probabilities (StereoSet, masked).
    ``geometric_mean_probability``: exp of the mean log-probability, which equals
    2 ** (mean log2 p) (CrowS-Pairs and StereoSet, causal).

    Args:
        reduction: Name of the reduction.
        logprobs: float64 of shape [positions], not empty.
    """
    return _REDUCTIONS[reduction](logprobs)


_REDUCTIONS: dict[str, Callable[[np.ndarray], float]] = {
    "mean_logprob": lambda values: float(np.mean(values)),
    "mean_probability": lambda values: float(np.mean(np.exp(values))),
    "geometric_mean_probability": lambda values: float(np.exp(np.mean(values))),
}


def concatenate(answers: Sequence[Answer]) -> Answer:
    """The answers to a row's queries as one."""
    return Answer(
        np.concatenate([a.logprobs for a in answers]), np.concatenate([a.entropies for a in answers])
    )
