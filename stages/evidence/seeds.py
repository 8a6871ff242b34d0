"""Random streams keyed by names: adding a model or a category does not change another's numbers."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """A numpy generator of its own for every seed and sequence of names.

    Args:
        seed: The suite's ``seed``.
        names: What the stream is for, e.g. ``("bootstrap", "crows_pairs", "gender")``.
    """
    words = np.frombuffer(hashlib.sha256("\0".join(names).encode("utf-8")).digest(), dtype="<u4")
    return np.random.default_rng(np.random.SeedSequence([seed, *words.tolist()]))
