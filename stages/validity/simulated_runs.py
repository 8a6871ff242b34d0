"""Whole runs of models that were never there: records of three benchmarks, with score noise and nothing else.

A model is a truth (what it would say without noise) and each reading of it adds noise: to every text's
log-probability a part of its own and one that it shares with its cluster; to every vector, the same two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.files import sha256_text
from stages.evidence.runs import Run

_CATEGORIES = {"gender": (12, 5, 3, *(2,) * 8), "race": (40, 9, *(4,) * 4, *(1,) * 20), "religion": (6,) * 8}
"""Sizes of the clusters of a category, uneven as in CrowS-Pairs."""
_TARGETS = {"gender": 8, "race": 14, "religion": 5}
_PER_TARGET = 8
_TESTS = {"test1": "gender", "test2": "gender", "test3": "race"}
_WORDS, _SENTENCES, _WIDTH = 8, 3, 12
_SHARED, _OWN = 0.15, 0.3
"""Standard deviations of a reading's noise: of a cluster, and of a text."""


@dataclass(frozen=True, eq=False)
class SimulatedRun(Run):
    """A run whose records are in memory."""

    tables: Mapping[str, pd.DataFrame]
    embeddings: Mapping[str, np.ndarray]

    def records(self, dataset: str) -> pd.DataFrame:
        """Records of a dataset."""
        return self.tables[dataset]

    def vectors(self, dataset: str) -> dict[str, np.ndarray]:
        """Embeddings, by text."""
        return dict(self.embeddings)


@dataclass(frozen=True)
class Truth:
    """What a model would say without noise: records of each benchmark, and vectors by text."""

    tables: Mapping[str, pd.DataFrame]
    vectors: Mapping[str, np.ndarray]
    words: Mapping[str, str]
    """The word (cluster) of each text that has a vector."""

    def read(self, name: str, rng: np.random.Generator) -> SimulatedRun:
        """Score the model once."""
        tables = {"seat": self.tables["seat"]}
        for dataset in ("crows_pairs", "stereoset"):
            table = self.tables[dataset]
            groups = table.groupby(["category", "cluster", "role"], sort=False).ngroup().to_numpy()
            noise = rng.normal(0, _SHARED, groups.max() + 1)[groups] + rng.normal(0, _OWN, len(table))
            logprob = table["logprob"].to_numpy() + noise
            tables[dataset] = table.assign(logprob=logprob, score=np.exp(logprob))
        moved = {word: rng.normal(0, _SHARED, _WIDTH) for word in dict.fromkeys(self.words.values())}
        vectors = {text: vector + moved[self.words[text]] + rng.normal(0, _OWN, _WIDTH)
                   for text, vector in self.vectors.items()}
        measures = {"crows_pairs": "pair_preference", "stereoset": "stereotype_triples", "seat": "association"}
        return SimulatedRun(Path("simulated", name), "causal", measures, tables, vectors)


def truth(rng: np.random.Generator) -> Truth:
    """A model at random, with preferences that its clusters share."""
    pairs = []
    for category, sizes in _CATEGORIES.items():
        for cluster, size in enumerate(sizes):
            margins = rng.normal(0.3, 0.7) + rng.normal(0, 0.7, size)
            pairs += [(category, f"{category} {cluster}", f"{category}-{cluster}-{number}", role, value)
                      for number, margin in enumerate(margins) for role, value in (("stereo", margin), ("anti", 0.0))]
    triples = []
    for category, targets in _TARGETS.items():
        for target in range(targets):
            means = rng.normal((0.3, 0.0, -1.5), 0.5)
            triples += [(category, f"{category} {target}", f"{category}-{target}-{number}", role, value)
                        for number in range(_PER_TARGET)
                        for role, value in zip(("stereo", "anti", "unrelated"), rng.normal(means, 0.7), strict=True)]
    stimuli, vectors, words = [], {}, {}
    for test, category in _TESTS.items():
        for role, sign in (("X", 1), ("Y", -1), ("A", 1), ("B", -1)):
            for word in range(_WORDS):
                centre = rng.normal(0.3 * sign, 1.0, _WIDTH)
                for sentence in range(_SENTENCES):
                    item = f"{test}/{role}/{word * _SENTENCES + sentence:04d}"
                    stimuli.append((category, f"word {word}", item, role, np.nan))
                    vectors[sha256_text(f"{item}/{role}")] = centre + rng.normal(0, 0.3, _WIDTH)
                    words[sha256_text(f"{item}/{role}")] = f"{test}/{role}/{word}"
    tables = {"crows_pairs": _records("crows_pairs", pairs), "stereoset": _records("stereoset", triples),
              "seat": _records("seat", stimuli).assign(scored=0)}
    return Truth(tables, vectors, words)


def _records(dataset: str, rows: list[tuple[str, str, str, str, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["category", "cluster", "item", "role", "logprob"])
    texts = [sha256_text(f"{item}/{role}") for item, role in zip(table["item"], table["role"], strict=True)]
    return table.assign(dataset=dataset, direction="stereo", text_sha=texts, tokens=8, words=6, scored=1, score=np.nan,
                        entropy=1.0, ids=pd.Series([[]] * len(table), dtype=object))
