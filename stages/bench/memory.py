"""Peak memory of loading and scoring, each side in a process of its own.

python -m stages.bench.memory FOLDER FAMILY PRECISION SIDE ROWS   prints one JSON object
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.common.query import Query, Row

_GIGABYTE = 10**9


def measure_memory(
    folder: Path, family: str, precision: str, sides: Sequence[str], rows: Sequence[Row], about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Peak memory of each side for a model folder, with what it may be at most for the engine.

    Args:
        folder: The model, in float32; int8 is made of it while it is loaded (by the engine) or after.
        family: What it is scored as.
        precision: ``fp32`` or ``int8``.
        sides: Of ``stages.bench.sides``.
        rows: What to score; no more tokens than the engine takes at a time (``Scorer``'s budget) are needed,
            since their memory is given back after them.
        about: What the results are labelled with.
    """
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "rows.json"
        path.write_text(json.dumps([
            [[[query.ids, query.positions, query.targets] for query in row.queries], row.sequence] for row in rows
        ]))
        for side in sides:
            command = [sys.executable, "-m", "stages.bench.memory", str(folder), family, precision, side, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            answer = json.loads(done.stdout.splitlines()[-1])
            shards = [file.stat().st_size for file in folder.glob("*.safetensors")]
            limit = {"fp32": sum(shards) + _GIGABYTE, "int8": answer["model_bytes"] + max(shards) + 1.5 * _GIGABYTE}
            found.append(about | {"precision": precision, "side": side, **answer,
                                  "limit_bytes": limit[precision] if side == "engine" else None})
    return found


def _child(folder: str, family: Any, precision: str, side: str, path: str) -> dict[str, int]:
    import torch

    from stages.bench.sides import batch1, engine, padded
    from stages.bench.subjects import quantize
    from stages.common.memory import peak_memory
    from stages.compression.artefact import open_model
    from stages.compression.while_loading import open_int8
    from stages.scoring.engine import Scorer

    torch.set_num_threads(1)
    rows = [
        Row("", "", "", "", "", 0, queries=tuple(Query(*map(tuple, query)) for query in queries),
            sequence=tuple(sequence))
        for queries, sequence in json.loads(Path(path).read_text())
    ]  # fmt: skip
    if side == "engine":
        loaded = (open_int8 if precision == "int8" else open_model)(folder, family)
        size = _bytes(loaded.model)
        engine(Scorer(loaded, consume=True), rows)
    else:
        loaded = open_model(folder, family)
        loaded = quantize(loaded) if precision == "int8" else loaded
        size = _bytes(loaded.model)
        {"batch1": batch1, "padded32": padded}[side](loaded, rows)
    return {"rss_bytes": peak_memory(), "model_bytes": size}


def _bytes(model: Any) -> int:
    """Bytes of a model's weights; a byte each in an int8 layer."""
    from stages.compression.int8 import is_dynamic

    dynamic = sum(layer.in_features * layer.out_features for layer in model.modules() if is_dynamic(layer))
    return int(dynamic + sum(tensor.numel() * tensor.element_size() for tensor in model.parameters()))


if __name__ == "__main__":
    print(json.dumps(_child(*sys.argv[1:])))
