"""Trained models that were never trained: what a model that learned exactly what was planted would say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.common.files import sha256_text
from stages.lab.result import CellResult
from stages.lab.vocabularies import KINDS
from stages.validity.planted import world

_CLUSTERS, _PER_CLUSTER, _WIDTH = 10, 3, 6


def learned(world_name: str, seed: int, *, slope: float = 0.1, noise: float = 0.02, quality: float = -1.0,
            control: float = 0.0, random: int = 0) -> CellResult:
    """Records whose margins are ``slope`` times the planted log-odds, with a seed's own noise on every cluster.

    Control items have the margin ``control``, and the ``random`` networks beside the model none but noise.
    """
    parts = [_model(world_name, seed, "fp32", slope, noise, quality, control)]
    parts += [_model(world_name, 1000 + number, f"random-{number}", 0.0, noise, quality, 0.0)
              for number in range(random)]
    return CellResult(*(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)))


def _model(world_name, seed, variant, slope, noise, quality, control):
    own = np.random.default_rng(seed)
    rows, vectors = [], {}
    for kind in KINDS:
        truth = slope * world(world_name).association(kind).log_odds
        for category, centre in ((kind, truth), (f"{kind}-control", control)):
            items = np.random.default_rng(len(category))  # the same items for every model
            for dataset, roles in (("crows_pairs", ("stereo", "anti")),
                                   ("stereoset", ("stereo", "anti", "unrelated"))):
                for cluster in range(_CLUSTERS):
                    moved = own.normal(0, noise)
                    for item in range(_PER_CLUSTER):
                        margin = centre + moved + items.normal(0, 0.1)
                        for role, logprob in zip(roles, (margin - 1, -1.0, -9.0), strict=False):
                            rows.append((dataset, f"{category}-{cluster}-{item}", category, f"{category} {cluster}",
                                         role, 1, logprob))
        for role in "XYAB":
            for word in range(6):
                item = f"test-{kind}/{role}/{word:04d}"
                rows.append(("seat", item, kind, f"{role}{word}", role, 0, np.nan))
                vectors[sha256_text(f"{item}/{role}")] = own.normal(size=_WIDTH).astype(np.float32)
    rows += [("corpus", f"line-{line}", "test", f"{line}", "text", 6, 6 * quality) for line in range(20)]
    table = pd.DataFrame(rows, columns=["dataset", "item", "category", "cluster", "role", "scored", "logprob"])
    texts = [sha256_text(f"{item}/{role}") for item, role in zip(table["item"], table["role"], strict=True)]
    records = table.assign(variant=variant, checkpoint="p100", direction="", text_sha=texts, tokens=8, words=6,
                           score=np.exp(table["logprob"]), entropy=1.0)
    return records, pd.DataFrame({"variant": variant, "text_sha": list(vectors), "vector": list(vectors.values())})
