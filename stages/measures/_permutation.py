"""Permutation test of a difference between two groups' means: exact for small groups, else sampled at speed.

Under the null hypothesis every split of the pooled values into groups of the same sizes is
equally likely. A split is a pattern of bits, one a value. Independent coin tosses, kept only
where exactly as many heads fall as the first group has members, are uniform over all splits;
64 tosses are one random integer, so 100,000 splits of 512 values take some 60 ms, and a quarter
of that where the same splits serve another model or checkpoint.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, combinations

import numpy as np

_BLOCK = 32_768
"""Patterns tossed at one time: bounds the memory to a few MB."""
_TIE = 1e-12
"""Sums within this share of the total absolute deviation are ties: float sums depend on their order."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """P-values of one test."""

    one_sided: float
    """Share of splits whose first group's mean exceeds the second's by at least as much as observed."""
    two_sided: float
    """Share of splits whose means differ, in either direction, by at least as much as observed."""
    splits: int
    """Splits counted, the observed one included."""


def permutation_test(first: np.ndarray, second: np.ndarray, samples: int, seed: tuple[int, ...]) -> Permutation:
    """Test whether ``first`` has the larger mean; ties count as extreme.

    Exact over all splits if there are at most ``samples``; otherwise the observed split and
    ``samples - 1`` random ones (Caliskan et al. 2017; the counting of sent-bias and bias-bench).

    Args:
        first: float64 of shape [n], not empty.
        second: float64 of shape [m], not empty.
        samples: Number of splits.
        seed: Integers that name the random splits; equal ones give equal splits of equal sizes.
    """
    pooled = np.concatenate([first, second])
    # Group sizes are fixed, so the first group's sum orders splits as the difference of means
    # does. Centred values sum to zero over the whole: the difference is zero where the sum is.
    deviations = pooled - pooled.mean()
    observed = float(deviations[: len(first)].sum())
    if math.comb(len(pooled), len(first)) <= samples:
        sums = _all_sums(deviations, len(first))
        already = 0
    else:
        sums = _sums(deviations, _splits(len(pooled), len(first), samples - 1, seed))
        already = 1
    slack = _TIE * float(np.abs(deviations).sum())
    splits = len(sums) + already
    above = already + int(np.count_nonzero(sums >= observed - slack))
    beyond = already + int(np.count_nonzero(np.abs(sums) >= abs(observed) - slack))
    return Permutation(above / splits, beyond / splits, splits)


def _all_sums(values: np.ndarray, size: int) -> np.ndarray:
    """Sum of every subset of ``size`` values."""
    count = math.comb(len(values), size)
    places = np.fromiter(chain.from_iterable(combinations(range(len(values)), size)), np.intp, count * size)
    return np.asarray(values[places.reshape(count, size)].sum(axis=1))


@lru_cache(maxsize=32)
def _splits(total: int, size: int, count: int, seed: tuple[int, ...]) -> np.ndarray:
    """Random subsets of ``size`` of ``total``, as bits: uint8 of shape [ceil(total / 8), count]."""
    rng = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < count:
        parts.append(_subsets(total, size, rng))
    octets = np.concatenate(parts)[:count].view(np.uint8)
    return np.ascontiguousarray(octets[:, : -(-total // 8)].T)


def _sums(values: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Sum of the values in each of the subsets."""
    sums = np.zeros(splits.shape[1])
    for table, octets in zip(_byte_tables(values), splits, strict=True):
        sums += table[octets]
    return sums


def _byte_tables(values: np.ndarray) -> np.ndarray:
    """Sum of every subset of each eight consecutive values: shape [ceil(n / 8), 256], by the subset's bits."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    padded = np.zeros(-(-len(values) // 8) * 8)
    padded[: len(values)] = values
    return np.asarray(padded.reshape(-1, 8) @ bits.T)


def _subsets(total: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Some random subsets of exactly ``size`` of ``total``: little-endian uint64 of shape [some, ceil(total / 64)]."""
    words = -(-total // 64)
    tosses = _tosses(size / total, (words, _BLOCK), rng)
    if total % 64:
        tosses[-1] &= np.uint64((1 << total % 64) - 1)
    heads = np.bitwise_count(tosses).sum(axis=0, dtype=np.uint16)
    return np.ascontiguousarray(tosses[:, np.flatnonzero(heads == size)].T).astype("<u8", copy=False)


def _tosses(probability: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Independent coins packed in uint64, heads with about ``probability``.

    Any probability in (0, 1) serves, since the number of heads is conditioned on; one near
    ``size / total`` keeps more patterns. A coin of probability 0.b1b2... in binary is made of fair
    ones from the last digit, a 1, up: heads so far, OR a toss for a 1, AND for a 0.
    """
    digits = _binary(probability, tolerance=0.5 * math.sqrt(probability * (1 - probability) / (64 * shape[0])))
    coins = rng.integers(0, 2**64, size=shape, dtype=np.uint64)
    for digit in reversed(digits[:-1]):
        toss = rng.integers(0, 2**64, size=shape, dtype=np.uint64)
        (np.bitwise_or if digit == "1" else np.bitwise_and)(coins, toss, out=coins)
    return coins


def _binary(probability: float, tolerance: float) -> str:
    """Digits after the binary point of the shortest number within ``tolerance``, neither 0 nor 1."""
    length = 1
    while not (0 < (nearest := round(probability * 2**length)) < 2**length) or (
        abs(nearest / 2**length - probability) > tolerance
    ):
        length += 1
    return format(nearest, f"0{length}b").rstrip("0")
