"""SEAT's effect sizes and permutation tests (May et al. 2019; Caliskan et al. 2017), from stored embeddings.

For targets X, Y and attributes A, B, with s(w) the mean cosine of w with A less that with B:

    d = (mean of s over X - mean of s over Y) / std of s over X and Y together.

The defaults are those of the code that arXiv 2312.05662 ran (bias-bench): ddof 1, a one-sided test
with 100,000 samples, alpha 0.01. Its equation 3 writes the deviation over A and B, which is a misprint.
Unlike there, a test's random splits depend on its name and not on which tests came before it.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from stages.common.errors import DataError
from stages.common.params import Family, Frozen
from stages.measures._permutation import permutation_test

ROLES = ("X", "Y", "A", "B")


class Options(Frozen):
    """How effect sizes and p-values are computed; the defaults are the paper's."""

    ddof: Literal[0, 1] = 1
    """Delta degrees of freedom of the standard deviation in the effect size."""
    samples: int = Field(default=100_000, ge=100)
    """Splits of the targets in a permutation test; all of them, if there are no more than this."""
    seed: int = Field(default=0, ge=0)
    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Tests with a p-value below it are counted as significant."""
    tail: Literal["one_sided", "two_sided"] = "one_sided"
    """Which p-value ``significant`` goes by. One-sided, a large negative effect never is."""


def measure(
    records: pd.DataFrame, options: Options, vectors: dict[str, np.ndarray] | None = None, *, family: Family
) -> dict[str, Any]:
    """Metrics of every test, and of every category over its tests.

    Args:
        records: SEAT records; an item is ``<test>/<role>/<position>``.
        options: See ``Options``.
        vectors: Embedding of each text, by its key.
        family: Family of the model; makes no difference here.

    Returns:
        By test: ``effect_size``, ``p_one_sided``, ``p_two_sided``, ``splits`` (of the
        permutation test) and ``significant`` (0 or 1). By category: ``mean_abs_effect`` (the
        paper's figure), ``mean_effect``, ``tests`` and how many are ``significant``.

    Raises:
        DataError: There are no embeddings, one is missing, of another size, zero or not finite, a
            test lacks a set, or all its targets have the same association, so that no effect is defined.
    """
    if vectors is None:
        raise DataError("no embeddings beside the records", fix="run: dvc repro score")
    metrics: dict[str, Any] = {}
    tests = records["item"].str.split("/").str[0]
    for category, of_category in records.groupby("category", sort=True):
        found = {}
        for test, stimuli in of_category.groupby(tests, sort=True):
            found[str(test)] = _test(str(test), stimuli.sort_values("item"), vectors, options)
        effects = np.array([test["effect_size"] for test in found.values()])
        metrics[str(category)] = {
            "mean_abs_effect": float(np.abs(effects).mean()),
            "mean_effect": float(effects.mean()),
            "tests": len(found),
            "significant": sum(test["significant"] for test in found.values()),
        }
        metrics.update(found)
    return metrics


def effect_size(first: np.ndarray, second: np.ndarray, ddof: int) -> float:
    """Difference of two groups' mean associations in standard deviations of both together.

    Raises:
        DataError: The associations do not vary.
    """
    both = np.concatenate([first, second])
    # Associations are differences of mean cosines: of order 1, exact to about 1e-16.
    if len(both) <= ddof or both.std(ddof=ddof) < 1e-12:
        raise DataError(
            "all targets have the same association, so the effect size is not defined",
            fix="the model tells no text from another; leave this variant or dataset out",
        )
    return float((first.mean() - second.mean()) / both.std(ddof=ddof))


def _test(name: str, stimuli: pd.DataFrame, vectors: dict[str, np.ndarray], options: Options) -> dict[str, Any]:
    try:
        sets = [_unit_vectors(stimuli[stimuli["role"] == role], role, vectors) for role in ROLES]
        if len({members.shape[1] for members in sets}) > 1:
            raise DataError("embeddings of its sets differ in size", fix="score again")
        x, y, a, b = sets
        # The mean cosine with a set is the product with the mean of its unit vectors.
        direction = a.mean(axis=0) - b.mean(axis=0)
        first, second = x @ direction, y @ direction
        effect = effect_size(first, second, options.ddof)
    except DataError as error:
        raise DataError(error.what, where=f"SEAT test {name}", fix=error.fix) from error
    p = permutation_test(first, second, options.samples, _seed(options.seed, name))
    return {
        "effect_size": effect,
        "p_one_sided": p.one_sided,
        "p_two_sided": p.two_sided,
        "splits": p.splits,
        "significant": int(getattr(p, options.tail) < options.alpha),
    }


def _unit_vectors(stimuli: pd.DataFrame, role: str, vectors: dict[str, np.ndarray]) -> np.ndarray:
    """The set's embeddings scaled to length 1, float64 of shape [stimuli, hidden]."""
    if stimuli.empty:
        raise DataError(f"the set {role} is empty", fix="score the whole dataset again")
    keys = list(stimuli["text_sha"])
    missing = [key for key in keys if key not in vectors]
    if missing:
        raise DataError(f"{len(missing)} texts of {role} have no embedding, the first is {missing[0]}",
                        fix="records and vectors are not of one run; score again")
    sizes = {vectors[key].shape for key in keys}
    if len(sizes) > 1:
        raise DataError(f"embeddings of {role} differ in shape: {sorted(sizes)}", fix="score again")
    matrix = np.stack([vectors[key] for key in keys]).astype(np.float64)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    broken = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if broken.size:
        raise DataError(f"the embedding of text {keys[broken[0]]} in {role} is zero or not finite",
                        fix="the model gives no direction for this text")
    return np.asarray(matrix / lengths)


def _seed(seed: int, test: str) -> tuple[int, ...]:
    """Seed of a test's own random splits, whichever other tests there are."""
    digest = hashlib.sha256(test.encode("utf-8")).digest()
    return (seed, *np.frombuffer(digest, dtype="<u4").tolist())
