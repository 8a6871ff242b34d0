"""Apply a variant's compression methods to every checkpoint of a model, or to one model folder.

A variant with a step that trains is made from the last checkpoint, and holds one artefact for each checkpoint
of that training; a killed one is taken up again where it was.

python -m stages.compress --params params.yaml --model MODEL --variant VARIANT
python -m stages.compress FOLDER --family masked --variant '{"method": "int8_dynamic"}' --out DIR
python -m stages.compress --list [--json]
"""

from __future__ import annotations

import argparse
import inspect
import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import compression
from stages.common.absent import write_absent
from stages.common.errors import ModelError, ParamsError, run
from stages.common.files import atomic_folder, sha256_file, sha256_folder
from stages.common.params import FAMILIES, Family, choose, load_params
from stages.compression import Context, MethodConfig, parse_variant, trains

WORK = Path(".cache/compression")
"""Where a training in the midst of compression keeps its checkpoints until it is done."""


def compress_checkpoints(params_file: str, model: str, variant: str) -> Path:
    """Compress every checkpoint of a suite's model, as one stage of the pipeline.

    Args:
        params_file: Params file of the suite.
        model: Slug of the model.
        variant: Slug of the variant.

    Returns:
        The folder written: one artefact a checkpoint, of the model's or of the variant's own training, put in
        place whole; or the mark of a cell that is not there.

    Raises:
        ParamsError: The params file does not know the model or variant.
        ModelError: A checkpoint is missing or damaged.
        MethodError: The variant makes no sense for the model.
    """
    params = load_params(params_file)
    family = choose(params.models, model, "model").family
    spec = choose(params.variants, variant, "variant")
    steps = parse_variant(spec.recipe, f"{params_file}: variants.{variant}")
    target = Path("models") / params.suite / "compressed" / model / variant
    if not params.applies(model, variant):
        write_absent(target, model, variant)
        return target
    source = Path("models") / params.suite / "checkpoints" / model
    checkpoints = sorted(path for path in source.glob("p*") if path.is_dir())
    if not checkpoints:
        raise ModelError("holds no checkpoint", where=source, fix=f"dvc repro checkpoint@{model}")
    if spec.checkpoints == "last" or any(step.from_last for step in steps):
        checkpoints = checkpoints[-1:]
    context = Context(params.seed, Path("data") / "clean" / params.suite / f"{params.corpus}.parquet")
    _set_threads(params.threads)
    if trains(steps):
        _compress_in_training(checkpoints[0], target, steps, family, context, f"{params.suite}.{model}.{variant}")
        return target
    with atomic_folder(target) as folder:
        for number, checkpoint in enumerate(checkpoints, 1):
            (folder / checkpoint.name).mkdir()
            label = f"{model} {variant} {checkpoint.name} ({number}/{len(checkpoints)})"
            _compress(checkpoint, folder / checkpoint.name, steps, family, context, label)
    return target


def compress_one(
    source: Path, target: Path, steps: Sequence[MethodConfig], family: Family, context: Context
) -> None:
    """Compress one model folder, outside a suite: the final product alone (see ``compress_folder`` for errors)."""
    with atomic_folder(target) as folder:
        _compress(source, folder, steps, family, context, str(source))


def describe_methods() -> list[dict[str, Any]]:
    """Name, version, summary and JSON schema of the settings of every method, sorted by name."""
    methods = [(name, compression.get(name)) for name in compression.names()]
    return [
        {
            "method": name,
            "version": module.VERSION,
            "summary": (inspect.getdoc(module) or "").splitlines()[0],
            "config": module.Config.model_json_schema(),
        }
        for name, module in methods
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m stages.compress", description="Compress a model.")
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="model folder to compress by itself")
    parser.add_argument("--params", help="params file of a suite")
    parser.add_argument("--model", help="model of the suite")
    parser.add_argument("--variant", help="variant of the suite; with FOLDER, a method (or list of methods) as JSON")
    parser.add_argument("--family", choices=FAMILIES, help="with FOLDER: what the model is scored as")
    parser.add_argument("--out", type=Path, help="with FOLDER: artefact folder to write")
    parser.add_argument("--corpus", type=Path, help="with FOLDER: parquet of texts to calibrate or train on")
    parser.add_argument("--seed", type=int, default=0, help="with FOLDER: seed of methods that draw (default 0)")
    parser.add_argument("--list", action="store_true", help="print every method")
    parser.add_argument("--json", action="store_true", help="with --list: with the schema of its settings, as JSON")
    given = parser.parse_args(arguments)
    if given.list:
        _print_methods(given.json)
    elif given.folder is not None:
        _require(parser, given, "family", "variant", "out")
        steps = parse_variant(_json(given.variant), "--variant")
        compress_one(given.folder, given.out, steps, given.family, Context(given.seed, given.corpus))
    else:
        _require(parser, given, "params", "model", "variant")
        compress_checkpoints(given.params, given.model, given.variant)
    return 0


def _compress_in_training(
    source: Path, target: Path, steps: Sequence[MethodConfig], family: Family, context: Context, name: str
) -> None:
    from stages.compression.manifest import read_manifest
    from stages.compression.pipeline import compress_in_training
    from stages.training.work import deliver, work_folder

    start = time.perf_counter()
    assert context.corpus is not None
    recipe = {
        "steps": [step.model_dump(mode="json") for step in steps], "family": family, "seed": context.seed,
        "parent": sha256_folder(source), "corpus": sha256_file(context.corpus) if context.corpus.is_file() else "",
    }
    here = Path(__file__).parent
    work = work_folder(WORK, name, recipe, [here / "training", here / "compression"])
    compress_in_training(source, work, steps, family, context)
    checkpoints = deliver(work, target)
    label = " ".join(name.split(".")[1:])
    for number, checkpoint in enumerate(checkpoints, 1):
        manifest = read_manifest(target / checkpoint)
        loss = json.loads((target / checkpoint / "checkpoint.json").read_text(encoding="utf-8"))["heldout_loss"]
        print(f"{label} {checkpoint} ({number}/{len(checkpoints)}): {manifest.method}, "
              f"{manifest.sizes.stored_bytes / 1e6:.1f} MB, held-out loss {loss}", flush=True)
    print(f"{label}: {time.perf_counter() - start:.1f} s, peak memory {_peak_memory():.0f} MiB", flush=True)


def _peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _compress(
    source: Path, target: Path, steps: Sequence[MethodConfig], family: Family, context: Context, label: str
) -> None:
    from stages.compression.pipeline import compress_folder

    start = time.perf_counter()
    manifest = compress_folder(source, target, steps, family, context)
    sizes = manifest.sizes
    # Printed only: time and memory are no property of the artefact, which must come out the same every time.
    print(f"{label}: {manifest.method}, {sizes.stored_bytes / 1e6:.1f} MB, {time.perf_counter() - start:.1f} s, "
          f"peak memory {_peak_memory():.0f} MiB", flush=True)


def _print_methods(as_json: bool) -> None:
    methods = describe_methods()
    if as_json:
        print(json.dumps(methods, indent=2, sort_keys=True))
    else:
        for method in methods:
            print(f"{method['method']:20} {method['summary']}")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ParamsError(f"not JSON: {error}", where="--variant",
                          fix="e.g. --variant '{\"method\": \"int8_dynamic\"}'") from error


def _require(parser: argparse.ArgumentParser, given: argparse.Namespace, *names: str) -> None:
    missing = [f"--{name}" for name in names if getattr(given, name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} needed (or FOLDER, or --list)" if given.folder is None
                     else f"{', '.join(missing)} needed with FOLDER")


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


if __name__ == "__main__":
    run(main)
