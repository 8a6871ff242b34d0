"""Score datasets with a model: per-item records, the primary result.

In the pipeline:  python -m stages.score --params params.yaml --model MODEL --variant VARIANT
On any model:     python -m stages.score MODEL --family masked --benchmarks crows_pairs,stereoset --data DIR --out DIR

MODEL is a model folder, a compressed artefact or a hub id. DIR of ``--data`` holds, for each
benchmark, ``<benchmark>.parquet`` (a clean table) or ``<benchmark>/`` (upstream's files).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from stages import benchmarks
from stages.benchmarks._source import find_source, sources_of
from stages.common.cells import repro
from stages.common.errors import ModelError, run
from stages.common.params import FAMILIES, Family, choose, load_params
from stages.scoring.record import record

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "bfloat16")


def score_suite(params_file: str, model: str, variant: str) -> Path:
    """Score every dataset of a suite with every checkpoint of a compressed model.

    Returns:
        The records folder written, put in place whole.

    Raises:
        ParamsError: The params file does not know the model or variant, or no dataset suits the family.
        DataError: A clean table is missing.
        ModelError: A checkpoint is missing, not whole, or gives no finite scores.
    """
    params = load_params(params_file)
    family = params.cell(model, variant)[0].family
    folder = Path("models") / params.suite / "compressed" / model / variant
    target = Path("data") / "records" / params.suite / model / variant
    sources = sources_of(params, family, params_file)
    checkpoints = {path.name: path for path in sorted(folder.glob("p*")) if path.is_dir()}
    if not checkpoints:
        raise ModelError("holds no checkpoint", where=folder, fix=repro(params_file, "compress", model, variant))
    record(checkpoints, family, sources, target, {"token_budget": params.scoring.token_budget}, threads=params.threads)
    return target


def score_model(
    model: str, family: Family, names: Sequence[str], data: Path, target: Path,
    revision: str | None = None, threads: int | None = None, device: str = "cpu", dtype: str = "float32",
    int8: bool = False,
) -> None:
    """Score benchmarks with one model outside a suite; the records lie in ``target`` as a suite's do.

    Args:
        model: Model folder, compressed artefact or hub id.
        family: What it is scored as.
        names: Benchmarks.
        data: Folder of clean tables or upstream's files.
        target: Records folder to write.
        revision: Hub revision of the model.
        threads: Threads of torch; its own choice if left out.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where present.
        dtype: ``float32``; or ``bfloat16``, which changes scores.
        int8: Apply ``int8_dynamic`` while loading; the float32 weights are never held whole.

    Either of the last two is noted in ``run.json``, as no artefact says it.

    Raises:
        ParamsError: Unknown family, benchmark, device or dtype, or a benchmark not defined for the family.
        DataError: ``data`` lacks a benchmark, or holds it malformed.
        ModelError: The model is not whole, or gives no finite scores.
    """
    choose(dict.fromkeys(FAMILIES), family, "family")
    choose(dict.fromkeys(DEVICES), device, "device")
    choose(dict.fromkeys(DTYPES), dtype, "dtype")
    sources = [find_source(name, family, data) for name in dict.fromkeys(names)]
    record({"p100": model}, family, sources, target, {"device": device, "dtype": dtype}, threads=threads,
           revision=revision, int8=int8)


def _names(text: str) -> Iterable[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main() -> None:
    """Read the command line and score."""
    parser = argparse.ArgumentParser(prog="python -m stages.score", description="Score datasets with a model.")
    parser.add_argument("location", nargs="?", metavar="MODEL", help="model folder, artefact or hub id")
    parser.add_argument("--params", help="params file of a suite (with --model and --variant)")
    parser.add_argument("--model", help="slug of the model in the params file")
    parser.add_argument("--variant", help="slug of the variant in the params file")
    parser.add_argument("--family", help=f"what MODEL is: {', '.join(FAMILIES)}")
    parser.add_argument("--benchmarks", help=f"of {', '.join(benchmarks.names())}; separated by commas")
    parser.add_argument("--data", type=Path, help="folder of clean tables or upstream's files")
    parser.add_argument("--out", type=Path, help="records folder to write; replaced whole")
    parser.add_argument("--revision", help="hub revision of MODEL")
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own)")
    parser.add_argument("--device", help="cpu (default), cuda, or auto for cuda where present")
    parser.add_argument("--dtype", help="float32 (default), or bfloat16: faster, and changes scores")
    parser.add_argument("--int8", action="store_true", help="apply int8_dynamic to MODEL while it is loaded")
    given = parser.parse_args()
    suite = (given.params, given.model, given.variant)
    alone = (given.location, given.family, given.benchmarks, given.data, given.out)
    options = (given.revision, given.threads is not None, given.device, given.dtype, given.int8)
    if all(suite) and not any((*alone, *options)):
        print(f"wrote {score_suite(given.params, given.model, given.variant)}")
    elif all(alone) and not any(suite):
        if given.threads is not None and given.threads < 1:
            parser.error("--threads must be at least 1")
        score_model(given.location, given.family, list(_names(given.benchmarks)), given.data, given.out,
                    given.revision, given.threads, given.device or "cpu", given.dtype or "float32", int8=given.int8)
        print(f"wrote {given.out}")
    else:
        parser.error("give --params, --model and --variant; or MODEL, --family, --benchmarks, --data and --out")


if __name__ == "__main__":
    run(main)
