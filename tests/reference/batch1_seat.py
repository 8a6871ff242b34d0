"""SEAT as the specification has it, one text and one split at a time: slow, literal, and independent of ``stages``."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def embed(model: Any, tokenizer: Any, text: str) -> np.ndarray:
    """Mean over all positions of the last hidden state, special tokens included, scaled to length 1."""
    import torch

    with torch.no_grad():
        output = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
    vector = output.hidden_states[-1][0].mean(dim=0).numpy()
    return np.asarray(vector / np.linalg.norm(vector))


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.dot(one, two)) / math.sqrt(float(np.dot(one, one)) * float(np.dot(two, two)))


def association(w: np.ndarray, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    return sum(cosine(w, v) for v in a) / len(a) - sum(cosine(w, v) for v in b) / len(b)


def effect_size(x: Sequence[float], y: Sequence[float]) -> float:
    """From the associations of the targets: difference of means over the deviation (ddof 1) of all targets."""
    together = [*x, *y]
    mean = sum(together) / len(together)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in together) / (len(together) - 1))
    return (sum(x) / len(x) - sum(y) / len(y)) / deviation


def p_value(x: Sequence[float], y: Sequence[float], samples: int, seed: int) -> float:
    """One-sided: all splits if there are no more than ``samples``, else the observed one and shuffles."""
    together, observed = [*x, *y], sum(x)
    if math.comb(len(together), len(x)) <= samples:
        sums = [math.fsum(chosen) for chosen in itertools.combinations(together, len(x))]
        return sum(value >= math.fsum(x) for value in sums) / len(sums)
    shuffler, as_extreme = random.Random(seed), 1
    for _ in range(samples - 1):
        shuffler.shuffle(together)
        as_extreme += sum(together[: len(x)]) >= observed
    return as_extreme / samples


def measure(sets: Mapping[str, Sequence[np.ndarray]], samples: int, seed: int = 0) -> tuple[float, float]:
    """Effect size and one-sided p-value of a test, given the vectors of its sets X, Y, A and B."""
    x, y = ([association(w, sets["A"], sets["B"]) for w in sets[role]] for role in "XY")
    return effect_size(x, y), p_value(x, y, samples, seed)
