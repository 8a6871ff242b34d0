"""Whether the engine's scores are those of the model run one sequence at a time, item by item and metric by metric."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from stages import benchmarks, measures
from stages.bench.samples import sample
from stages.common.metrics_file import clean, flatten
from stages.common.query import Answer, Query, Row
from stages.models.load import LoadedModel
from stages.scoring.engine import Scorer
from stages.scoring.grouped import GroupedRunner
from stages.scoring.plan import Plan
from stages.scoring.rows import score_rows

FP32, FLOAT64, INT8, INT8_SHARE = 5e-5, 1e-5, 1e-4, 0.999
_NUDGES = (-3e-6, -1e-6, 1e-6, 3e-6)
"""Relative changes of all weights of the embeddings, about float32's own precision."""


class OneByOne:
    """The model's own forward pass over one sequence at a time, in the shape of a ``Scorer``."""

    def __init__(self, model: Any) -> None:
        self._runner = GroupedRunner(model, 1, one_by_one=True)

    def read(self, queries: Sequence[Query], progress: Any = None) -> list[Answer]:
        """Answer queries."""
        with torch.inference_mode():
            return self._runner.read(Plan.of(queries), lambda finished: None).answers()

    def embed(self, sequences: Sequence[tuple[int, ...]], progress: Any = None) -> np.ndarray:
        """Embed sequences."""
        with torch.inference_mode():
            return self._runner.embed(sequences, lambda finished: None)


class Kept:
    """A side that computes what it is asked once, so that scores and metrics cost one pass."""

    def __init__(self, side: Any) -> None:
        self._side = side
        self._answers: dict[Query, Answer] = {}
        self._vectors: dict[tuple[int, ...], np.ndarray] = {}

    def read(self, queries: Sequence[Query], progress: Any = None) -> list[Answer]:
        """Answer queries."""
        new = [query for query in dict.fromkeys(queries) if query not in self._answers]
        self._answers.update(zip(new, self._side.read(new), strict=True))
        return [self._answers[query] for query in queries]

    def embed(self, sequences: Sequence[tuple[int, ...]], progress: Any = None) -> np.ndarray:
        """Embed sequences."""
        new = [ids for ids in dict.fromkeys(sequences) if ids not in self._vectors]
        self._vectors.update(zip(new, self._side.embed(new), strict=True) if new else ())
        return np.array([self._vectors[ids] for ids in sequences])


def in_float64(loaded: LoadedModel) -> OneByOne:
    """A copy of a model that computes in float64, one sequence at a time."""
    return OneByOne(copy.deepcopy(loaded.model).double())


def agree(
    loaded: LoadedModel, scorer: Scorer, double: OneByOne | None, name: str, rows: Sequence[Row], exact: int,
    about: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Compare the engine with batch 1 on whole items of a benchmark.

    Args:
        loaded: The model.
        scorer: The engine.
        double: The model in float64; None for an int8 model, which has no other arithmetic.
        name: The benchmark.
        rows: Rows of whole items, or whole tests.
        exact: How many of them are also computed in float64.
        about: What the result is labelled with.

    Returns:
        ``about`` with ``items`` and their largest difference in log-probability (of an embedding: relative
        to its largest entry), the share within the bound, of the others how many are ``ties``, the
        difference to float64, and which printed metrics are not equal.
    """
    sides = Kept(scorer), Kept(OneByOne(loaded.model))
    differences = _differences(*sides, rows)
    bound = INT8 if about["precision"] == "int8" else FP32
    off = [row for row, difference in zip(rows, differences, strict=True) if difference > bound]
    result = about | {
        "items": len(rows), "largest": max(differences), "within": 1 - len(off) / len(rows),
        "ties": sum(_is_tie(loaded, scorer, row) for row in off), "off": len(off), "float64": None,
    }  # fmt: skip
    ours, theirs = (_metrics(name, rows, side, loaded) for side in sides)
    result |= {"metrics": len(ours), "unequal": sorted(key for key in ours if ours[key] != theirs[key])}
    if double is not None:
        result["float64"] = max(_differences(scorer, double, sample(rows, exact)))
    return result


def _differences(scorer: Any, other: Any, rows: Sequence[Row]) -> list[float]:
    """Largest difference of each row's log-probabilities, or of its embedding relative to the largest entry."""
    found = []
    queries = [query for row in rows for query in row.queries]
    pairs = iter(zip(scorer.read(queries), other.read(queries), strict=True))
    sequences = [row.sequence for row in rows if row.sequence]
    vectors = iter(zip(scorer.embed(sequences), other.embed(sequences), strict=True) if sequences else ())
    for row in rows:
        parts = [float(np.abs(a.logprobs - b.logprobs).max()) for a, b in (next(pairs) for _ in row.queries)]
        if row.sequence:
            one, two = next(vectors)
            parts.append(float(np.abs(one - two).max() / np.abs(two).max()))
        found.append(max(parts))
    return found


def _is_tie(loaded: LoadedModel, scorer: Scorer, row: Row) -> bool:
    """Whether float noise alone moves batch 1 as far: an activation lies between two integers.

    The embeddings are changed by about float32's own precision, and batch 1 asked again.
    """
    difference = _differences(scorer, OneByOne(loaded.model), [row])[0]
    plain = OneByOne(loaded.model)
    for nudge in _NUDGES:
        nudged = copy.deepcopy(loaded.model)
        with torch.no_grad():
            nudged.get_input_embeddings().weight.mul_(1 + nudge)
        if _differences(OneByOne(nudged), plain, [row])[0] > difference / 2:
            return True
    return False


def _metrics(name: str, rows: Sequence[Row], side: Any, loaded: LoadedModel) -> dict[str, str]:
    """What would be printed of the rows, with two decimals; nothing where they are not whole tests."""
    tests = {row.item.split("/")[1] for row in rows if "/" in row.item}
    if tests and len(tests) < _ROLES:
        return {}
    module = measures.get(benchmarks.get(name).MEASURE)
    records, vectors = score_rows(name, rows, side)
    metrics = module.measure(records, module.Options(), vectors or None, family=loaded.family)
    return {key: f"{value:.2f}" if isinstance(value, float) else str(value)
            for key, value in flatten(clean(metrics)).items()}


_ROLES = 4
"""Sets of sentences in a SEAT test."""
