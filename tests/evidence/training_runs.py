"""Synthetic records of a model over training, and of its compressed variants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.common.records import write_records, write_vectors
from tests.evidence.synthetic import MEASURES, frame


def write_checkpoints(
    folder: Path, checkpoints: Mapping[str, tuple[float, dict]], family: str = "masked", **model: object
) -> Path:
    """Write a records folder: by name of a checkpoint its fraction of training and its records by dataset."""
    present = {}
    for name, (_, records) in checkpoints.items():
        for slug, table in records.items():
            if slug.endswith(".vectors"):
                write_vectors(folder / name / f"{slug}.parquet", table)
            else:
                write_records(folder / name / f"{slug}.parquet", table)
                present[slug] = MEASURES[slug]
    (folder / "run.json").write_text(json.dumps({
        "family": family, "model": {"parameters": 10, "architecture": "bert", **model},
        "checkpoints": {name: {"fraction": fraction} for name, (fraction, _) in checkpoints.items()},
        "datasets": {slug: {"benchmark": benchmark, "measure": measure}
                     for slug, (benchmark, measure) in present.items()},
    }))
    return folder


def corpus(losses: list[float], words: int = 10) -> object:
    """A corpus of one text a loss (nats a word), each text its own cluster."""
    return frame([{"dataset": "corpus", "item": f"line-{place}", "category": "test", "cluster": f"article {place}",
                   "role": "text", "scored": words, "words": words, "score": -loss, "logprob": -loss * words}
                  for place, loss in enumerate(losses)])


def effects(gap: float) -> tuple[object, dict[str, np.ndarray]]:
    """SEAT records of one test, whose targets X and Y lie further apart the larger the gap."""
    rows, vectors = [], {}
    for role, sign in (("X", 1), ("Y", -1), ("A", 1), ("B", -1)):
        for place in range(8):
            text = f"{role}{place}"
            wobble = np.cos(np.arange(4) * (place + 1) + ord(role))
            vectors[text] = (np.array([sign * gap, 1.0, 0.0, 0.0]) + wobble).astype(np.float32)
            rows.append({"dataset": "seat", "item": f"t1/{role}/{place:04d}", "category": "gender", "role": role,
                         "cluster": f"word {place}", "score": np.nan, "logprob": np.nan, "scored": 0, "text_sha": text,
                         "direction": "", "entropy": np.nan})
    return frame(rows), vectors
