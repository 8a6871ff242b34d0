"""Records of made-up models that say of a planted world's items what they are told to."""

import numpy as np
import pandas as pd

from stages.common.files import sha256_text
from stages.evidence.calibration_rows import CellRecords
from stages.lab.calibration import Spec
from stages.lab.result import COLUMNS, CellResult
from stages.lab.world import World

KINDS = ("gender", "race", "religion")
ITEMS = 32


def world(seed=1, **strengths):
    """A world; a strength may be a pair (group to proxy, proxy to attribute)."""
    kinds = {kind: {"strength": given[0], "proxy": given[1]} if isinstance(given, tuple) else {"strength": given}
             for kind, given in strengths.items()}
    return World.model_validate({"seed": seed, "associations": kinds})


def cell(planted, name="w", learner="neox", seed=1, slope=0.8, shift=0.0, variants=None, checkpoints=("p100",)):
    """A model whose mean sentence log-odds are ``shift + slope * planted``, and 0 for controls.

    ``variants`` maps a variant to the factor that its margins, of all kinds, have of the uncompressed model's.
    """
    rows, vectors = [], []
    for variant, factor in {"fp32": 1.0, **(variants or {})}.items():
        for checkpoint in checkpoints if variant == "fp32" else ("p100",):
            share = int(checkpoint[1:]) / 100
            for row in records(planted, slope * share, shift, factor, seed):
                rows.append({"variant": variant, "checkpoint": checkpoint, **row})
        vectors += [{"variant": variant, **row} for row in embeddings(planted, slope * factor)]
    table = pd.DataFrame(rows)[COLUMNS]
    return CellRecords(Spec(name, learner, seed), planted, "causal", CellResult(table, pd.DataFrame(vectors)))


def records(planted, slope, shift, factor, seed):
    noise = np.random.default_rng(seed)
    for dataset, roles in (("crows_pairs", ("stereo", "anti")), ("stereoset", ("stereo", "anti", "unrelated"))):
        for kind in KINDS:
            for control in (False, True):
                mean = 0.0 if control else shift + slope * planted.association(kind).log_odds
                spread = noise.permutation(np.linspace(-1, 1, ITEMS))
                for number in range(ITEMS):
                    margin = factor * (mean + spread[number])
                    logs = {"stereo": -10 + margin / 2, "anti": -10 - margin / 2, "unrelated": -10 - 4 * factor}
                    item = f"{dataset}-{kind}-{control}-{number:02d}"
                    for role in roles:
                        yield {
                            "dataset": dataset, "item": item, "category": kind + ("-control" if control else ""),
                            "cluster": f"{kind}{number % 8}", "role": role, "direction": "stereo",
                            "text_sha": sha256_text(item + role), "tokens": 5, "words": 5, "scored": 5,
                            "score": np.exp(logs[role] / 5), "logprob": logs[role], "entropy": 2 - factor,
                        }
    for number in range(10):
        yield {"dataset": "corpus", "item": str(number), "category": "test", "cluster": str(number), "role": "text",
               "direction": "", "text_sha": sha256_text(str(number)), "tokens": 5, "words": 5, "scored": 5,
               "score": 0.1, "logprob": -5 * (2 - factor), "entropy": 1.0}
    for item, category, cluster, role in stimuli():
        yield {"dataset": "seat", "item": item, "category": category, "cluster": cluster, "role": role,
               "direction": "", "text_sha": sha256_text(item), "tokens": 5, "words": 5, "scored": 0,
               "score": np.nan, "logprob": np.nan, "entropy": np.nan}


def stimuli():
    for kind in KINDS:
        for role in "XYAB":
            for number in range(8):
                yield f"{kind}-test/{role}/{number}", kind, f"{role}{number}", role


def embeddings(planted, slope):
    """X and A, and Y and B, lie apart by what is planted."""
    for item, kind, _, role in stimuli():
        noise = np.random.default_rng(int(sha256_text(item), 16)).normal(size=4)
        side = slope * planted.association(kind).log_odds * (1 if role in "XA" else -1)
        vector = np.array([side, 3.0, *noise], dtype=np.float32)
        yield {"text_sha": sha256_text(item), "vector": vector}
