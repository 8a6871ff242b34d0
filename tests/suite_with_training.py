"""A small suite on disk: two models over training, compressed, with noise controls, and one without a head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from stages.common.params import load_params
from stages.common.records import arrow_schema, write_table
from stages.contrast import contrast_suite
from stages.evidence.entropy import BIN_COLUMNS
from stages.evidence.grid import Cell, Grid, evidence
from stages.evidence.runs import open_run
from stages.evidence.settings import compare_of
from stages.evidence.table import COLUMNS
from stages.evidence.verdict import with_verdicts
from stages.measure import measure_suite
from tests.evidence.synthetic import world
from tests.evidence.training_runs import write_checkpoints

INT8 = {"method": "int8_dynamic"}
PARAMS: dict[str, Any] = {
    "suite": "toy", "params_file": "params.yaml", "wdir": ".", "seed": 0, "threads": 1, "corpus": "corpus",
    "datasets": {slug: {"benchmark": benchmark, "source": f"data/sources/{benchmark}.yaml"} for slug, benchmark in
                 (("crows_pairs", "crows_pairs"), ("stereoset_dev", "stereoset"), ("seat", "seat"),
                  ("corpus", "corpus"))},
    "models": {"bert": {"source": "local", "family": "masked", "path": "x"},
               "gpt": {"source": "local", "family": "causal", "path": "y"},
               "sbert": {"source": "local", "family": "sentence", "path": "z"}},
    "variants": {"fp32": {"method": "none"}, "int8": INT8,
                 "noise-a": {"method": "noise", "like": INT8, "checkpoints": "last", "only": ["bert", "gpt"]},
                 "noise-b": {"method": "noise", "like": INT8, "seed": 1, "checkpoints": "last", "only": ["bert"]}},
    "measures": {"association": {"samples": 200}},
    "compare": {"resamples": 300},
    "contrast": {"resamples": 200},
}
STRENGTH = {"fp32": 1.0, "int8": 0.8, "noise-a": 0.9, "noise-b": 0.85}


def contrasted(factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole suite up to its contrasts, built once a session; not to be changed."""
    root = factory.getbasetemp() / "suite-with-training"
    if not root.exists():
        root.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(root)
            build(root)
            compare()
            contrast_suite("params.yaml")
    return root


def build(root: Path) -> None:
    """Write the params, the records and the metrics of every cell."""
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS, sort_keys=False))
    params = load_params("params.yaml")
    for model in params.models:
        points = {"p100": 1.0} if model == "sbert" else {"p010": 0.1, "p040": 0.4, "p100": 1.0}
        for variant in params.variants:
            if not params.applies(model, variant):
                continue
            last = params.variants[variant].checkpoints == "last"
            checkpoints = {name: (fraction, _records(model, STRENGTH[variant] * (0.2 + 0.8 * fraction)))
                           for name, fraction in points.items() if fraction == 1.0 or not last}
            write_checkpoints(root / "data/records/toy" / model / variant, checkpoints, params.models[model].family,
                              parameters={"bert": 10, "gpt": 20, "sbert": 5}[model])
            measure_suite("params.yaml", model, variant)


def compare() -> None:
    """Write the evidence as ``stages.compare`` does, with made-up floors."""
    params = load_params("params.yaml")
    rule = compare_of(params)
    root = Path("data/records/toy")
    parents = {model: open_run(root / model / rule.baseline) for model in params.models}
    cells = [Cell(model, variant, open_run(root / model / variant),
                  None if variant == rule.baseline else parents[model]) for model, variant in params.cells]
    table, bins = evidence(cells, Grid(rule, params.seed, params.measures))
    table = with_verdicts(table, rule)
    shares = table["metric"].isin(["score", "ss"])
    table.loc[shares, ["floor_low", "floor_high"]] = [41.0, 58.0]
    table.loc[shares, "inside_floor"] = table["value"].between(41, 58).astype(float)[shares]
    for name, frame, columns in (("toy", table, COLUMNS), ("toy.bins", bins, BIN_COLUMNS)):
        write_table(Path(f"data/evidence/{name}.parquet"),
                    pa.Table.from_pandas(frame, schema=arrow_schema(columns), preserve_index=False))


def _records(model: str, strength: float) -> dict[str, Any]:
    records = world({"bert": 3, "gpt": 4, "sbert": 5}[model], strength)
    if model == "sbert":
        return {name: part for name, part in records.items() if name.startswith("seat")}
    return records
