"""Runs of the size of suite ``mini``'s, on disk: records of all its benchmarks with as many items and clusters.

What they say is noise; only the time that it takes to compare them is of interest.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.files import sha256_text, write_text
from stages.common.records import write_records, write_vectors

_PAIRS = {"age": (87, 54), "disability": (60, 46), "gender": (262, 170), "nationality": (159, 126),
          "physical-appearance": (63, 47), "race": (516, 267), "religion": (105, 52), "sexual-orientation": (84, 39),
          "socioeconomic": (172, 102)}
_TRIPLES = {"stereoset_dev": {"gender": (255, 10), "profession": (810, 30), "race": (962, 36), "religion": (79, 3)},
            "stereoset_test": {"gender": (771, 30), "profession": (2398, 90), "race": (2976, 113),
                               "religion": (247, 9)}}
"""Items and clusters of each category, as the benchmarks have them."""
_TESTS = {"gender": (6, 80, 8), "race": (7, 140, 18), "religion": (4, 125, 11)}
"""SEAT's tests of each category; sentences and words of each of a test's four sets, on average."""
_LINES, _ARTICLES, _WIDTH = 200, 37, 256
_MEASURES = {"crows_pairs": "pair_preference", **dict.fromkeys(_TRIPLES, "stereotype_triples"), "seat": "association",
             "wikitext2": "language_model"}


def items_of(sizes: tuple[int, int]) -> np.ndarray:
    """The cluster of each item, as evenly spread as it goes."""
    items, clusters = sizes
    return np.arange(items) % clusters


def write_large_run(folder: Path, seed: int) -> None:
    """Write one run of a masked model; those of other seeds have the same items and other scores."""
    rng = np.random.default_rng(seed)
    tables = {"crows_pairs": _sentences(_PAIRS, ("stereo", "anti"))}
    tables |= {name: _sentences(sizes, ("stereo", "anti", "unrelated")) for name, sizes in _TRIPLES.items()}
    tables["wikitext2"] = pd.DataFrame({"category": "test", "item": [f"{line:04d}" for line in range(_LINES)],
                                        "cluster": [f"{code}" for code in items_of((_LINES, _ARTICLES))],
                                        "role": "text"})
    for name, table in tables.items():
        logprob = rng.normal(-4, 1, len(table))
        write_records(folder / "p100" / f"{name}.parquet", _filled(name, table).assign(logprob=logprob, score=logprob))
    stimuli = _filled("seat", _stimuli()).assign(scored=0, logprob=np.nan, score=np.nan, entropy=np.nan)
    write_records(folder / "p100" / "seat.parquet", stimuli)
    write_vectors(folder / "p100" / "seat.vectors.parquet",
                  {text: rng.normal(size=_WIDTH).astype(np.float32) for text in stimuli["text_sha"]})
    write_text(folder / "run.json", json.dumps({
        "family": "masked", "model": {}, "checkpoints": {"p100": {"fraction": 1.0}},
        "datasets": {name: {"benchmark": name, "measure": measure} for name, measure in _MEASURES.items()}}))


def _sentences(sizes: dict[str, tuple[int, int]], roles: tuple[str, ...]) -> pd.DataFrame:
    rows = [(category, f"{category}-{number:04d}", f"{category} {cluster}", role)
            for category, (items, clusters) in sizes.items()
            for number, cluster in enumerate(items_of((items, clusters))) for role in roles]
    return pd.DataFrame(rows, columns=["category", "item", "cluster", "role"])


def _stimuli() -> pd.DataFrame:
    rows = [(category, f"{category}{test}/{role}/{number:04d}", f"word {word}", role)
            for category, (tests, sentences, words) in _TESTS.items() for test in range(tests) for role in "XYAB"
            for number, word in enumerate(items_of((sentences, words)))]
    return pd.DataFrame(rows, columns=["category", "item", "cluster", "role"])


def _filled(dataset: str, table: pd.DataFrame) -> pd.DataFrame:
    texts = [sha256_text(f"{item}/{role}") for item, role in zip(table["item"], table["role"], strict=True)]
    return table.assign(dataset=dataset, direction="stereo", text_sha=texts, tokens=8, words=6, scored=1,
                        entropy=np.linspace(1, 2, len(table)), ids=pd.Series([[]] * len(table), dtype=object))
