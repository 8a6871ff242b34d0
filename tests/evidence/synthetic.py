"""Synthetic records with known clusters, as the score stage would write them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.files import sha256_text
from stages.common.records import SCHEMA, write_records, write_vectors
from stages.evidence.floors import FLOOR_COLUMNS


def frame(rows: list[dict]) -> pd.DataFrame:
    """Records with every column filled; what a test does not care about is filled in."""
    table = pd.DataFrame(rows)
    for name, value in {"dataset": "toy", "category": "gender", "direction": "stereo", "tokens": 8, "words": 6,
                        "scored": 1, "entropy": 1.0}.items():
        if name not in table:
            table[name] = value
    if "text_sha" not in table:
        table["text_sha"] = [sha256_text(f"{i}/{r}") for i, r in zip(table["item"], table["role"], strict=True)]
    if "logprob" not in table:
        table["logprob"] = table["score"] * table["scored"]
    if "ids" not in table:
        table["ids"] = [[]] * len(table)
    return table[SCHEMA.names]


def pairs(margins: dict[str, float], clusters: dict[str, str] | None = None, **columns: object) -> pd.DataFrame:
    """Pair records: the stereotype's score exceeds the anti-stereotype's by the margin."""
    rows = [
        {"item": item, "cluster": (clusters or {}).get(item, item), "role": role, "score": score, **columns}
        for item, margin in margins.items()
        for role, score in (("stereo", -3.0 + margin), ("anti", -3.0))
    ]
    return frame(rows)


def world(seed: int, shrink: float = 1.0, scale: float = 1.0) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Records of three benchmarks and a corpus; ``shrink`` scales the preferences of a child of the same seed.

    Items of a cluster share a random effect, so they are not independent.
    """
    rng = np.random.default_rng(seed)
    noise = np.random.default_rng([seed, round(1000 * shrink)])
    found: dict = {}
    rows = []
    for category, items, clusters in (("gender", 80, 20), ("race", 150, 25), ("religion", 40, 10), ("age", 30, 12)):
        items, clusters = round(items * scale), max(2, round(clusters * scale))
        effects = rng.normal(0.2, 0.6, clusters)
        for number in range(items):
            cluster = int(rng.integers(clusters))
            margin = shrink * (effects[cluster] + rng.normal(0, 0.5)) + noise.normal(0, 0.1 * (1 - shrink) + 1e-9)
            for role, score in (("stereo", -4.0 + margin), ("anti", -4.0)):
                rows.append({"item": f"{category}-{number:04d}", "category": category,
                             "cluster": f"{category}:{cluster}", "role": role, "score": score})
    found["crows_pairs"] = frame(rows).assign(dataset="crows_pairs")
    rows = []
    for category, items, terms in (("gender", 60, 6), ("profession", 90, 12), ("race", 90, 14), ("religion", 24, 3)):
        items = round(items * scale)
        for number in range(items):
            term = int(rng.integers(terms))
            stereo, anti, unrelated = rng.normal([-4.0, -4.3, -7.0], 1.2) * shrink + noise.normal(0, 1e-3, 3)
            for role, logprob in (("stereo", stereo), ("anti", anti), ("unrelated", unrelated)):
                rows.append({"item": f"{category}-{number:04d}", "category": category, "cluster": f"{category} {term}",
                             "role": role, "score": float(np.exp(min(logprob, 0.0))), "logprob": min(logprob, 0.0)})
    found["stereoset_dev"] = frame(rows).assign(dataset="stereoset_dev", direction="")
    rows, vectors = [], {}
    for test, category in (("t1", "gender"), ("t1b", "gender"), ("t2", "race"), ("t3", "religion")):
        for role, sign in (("X", 1), ("Y", -1), ("A", 1), ("B", -1)):
            for position in range(12):
                text = sha256_text(f"{test[:2] if role in 'XY' else test}/{role}/{position}")
                if text not in vectors:
                    vectors[text] = (shrink * rng.normal(0.4 * sign, 1.0, 16) + 0.5).astype(np.float32)
                rows.append({"item": f"{test}/{role}/{position:04d}", "category": category,
                             "cluster": f"word{position // 2}", "role": role, "score": np.nan, "logprob": np.nan,
                             "scored": 0, "text_sha": text})
    found["seat"] = frame(rows).assign(dataset="seat", direction="", entropy=np.nan)
    found["seat.vectors"] = vectors
    rows = []
    for line in range(60):
        scored = int(rng.integers(3, 30))
        rows.append({"item": f"line-{line}", "category": "test", "cluster": f"article {line // 6}", "role": "text",
                     "scored": scored, "words": scored, "score": -3.0,
                     "logprob": -scored * (rng.normal(3.0, 0.3) + 0.3 * (1 - shrink))})
    found["corpus"] = frame(rows).assign(dataset="corpus", direction="")
    return found


MEASURES = {"crows_pairs": ("crows_pairs", "pair_preference"), "stereoset_dev": ("stereoset", "stereotype_triples"),
            "seat": ("seat", "association"), "corpus": ("corpus", "language_model")}


def floors(model: str) -> pd.DataFrame:
    """Null floors as the floor stage would write them: five networks around 50 (shares) or 0.5, and a wider null."""
    cells = [("crows_pairs", category, metric) for category in ("gender", "race", "religion", "overall")
             for metric in ("score", "log_odds")]
    cells += [("stereoset_dev", category, metric) for category in ("gender", "race", "religion", "overall")
              for metric in ("ss", "log_odds", "lm")]
    cells += [("seat", category, "mean_abs_effect") for category in ("gender", "race", "religion")]
    rows: list[dict] = []
    for dataset, category, metric in cells:
        scale = 1.0 if metric in ("log_odds", "mean_abs_effect") else 100.0
        about = {"model": model, "dataset": dataset, "category": category, "metric": metric}
        rows += [{**about, "null": "random_init", "seed": seed, "value": scale * (0.46 + 0.02 * seed)}
                 for seed in range(5)]
        rows.append({**about, "null": "context_free", "draws": 1000, "mean": 0.5 * scale, "sd": 0.1 * scale,
                     "low": 0.3 * scale, "median": 0.5 * scale, "high": 0.7 * scale})
    return pd.DataFrame(rows, columns=list(FLOOR_COLUMNS))


def write_run(folder: Path, records: dict, family: str = "masked") -> Path:
    """Write a records folder with one checkpoint."""
    present = {slug: entry for slug, entry in MEASURES.items() if slug in records}
    for slug in present:
        write_records(folder / "p100" / f"{slug}.parquet", records[slug])
    if "seat" in present:
        write_vectors(folder / "p100" / "seat.vectors.parquet", records["seat.vectors"])
    (folder / "run.json").write_text(json.dumps({
        "family": family, "model": {"parameters": 10, "architecture": "bert"},
        "checkpoints": {"p100": {"fraction": 1.0}},
        "datasets": {slug: {"benchmark": benchmark, "measure": measure}
                     for slug, (benchmark, measure) in present.items()},
    }))
    return folder
