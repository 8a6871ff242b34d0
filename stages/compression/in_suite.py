"""A suite's cell compressed: every checkpoint of a model by a variant, or the checkpoints of the variant's training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from stages.common.errors import ModelError
from stages.common.files import atomic_folder, sha256_file, sha256_folder
from stages.common.params import Family, load_params
from stages.compression import Context, MethodConfig, parse_variant, trains
from stages.compression.cost import Cost, Meter, write_costs
from stages.compression.manifest import Manifest, read_manifest

CACHE = Path(".cache/compression")
"""Where a training in the midst of compression keeps its checkpoints until it is done; and what each cell took."""


def compress_checkpoints(params_file: str, model: str, variant: str) -> Path:
    """Compress every checkpoint of a suite's model, as one stage of the pipeline.

    What each took is written to ``.cache/compression`` (``stages.compression.cost``).

    Args:
        params_file: Params file of the suite.
        model: Slug of the model.
        variant: Slug of the variant.

    Returns:
        The folder written: one artefact a checkpoint, of the model's or of the variant's own training, put in
        place whole.

    Raises:
        ParamsError: The params file does not know the model or variant, or does not apply the one to the other.
        ModelError: A checkpoint is missing or damaged.
        MethodError: The variant makes no sense for the model.
    """
    params = load_params(params_file)
    chosen, spec = params.cell(model, variant)
    family = chosen.family
    steps = parse_variant(spec.recipe, f"{params_file}: variants.{variant}")
    target = Path("models") / params.suite / "compressed" / model / variant
    source = Path("models") / params.suite / "checkpoints" / model
    checkpoints = sorted(path for path in source.glob("p*") if path.is_dir())
    if not checkpoints:
        raise ModelError("holds no checkpoint", where=source, fix=f"dvc repro checkpoint@{model}")
    if spec.checkpoints == "last" or any(step.from_last for step in steps):
        checkpoints = checkpoints[-1:]
    context = Context(params.seed, Path("data") / "clean" / params.suite / f"{params.corpus}.parquet")
    _set_threads(params.threads)
    label = f"{model} {variant}"
    if trains(steps):
        name = f"{params.suite}.{model}.{variant}"
        costs = _compress_in_training(checkpoints[0], target, steps, family, context, name, label)
    else:
        costs = _compress_each(checkpoints, target, steps, family, context, label)
    write_costs(CACHE / params.suite / model / f"{variant}.json", costs)
    return target


def compress_one(
    source: Path, target: Path, steps: Sequence[MethodConfig], family: Family, context: Context
) -> None:
    """Compress one model folder, outside a suite: the final product alone (see ``compress_folder`` for errors)."""
    from stages.compression.pipeline import compress_folder

    meter = Meter()
    with atomic_folder(target) as folder:
        manifest = compress_folder(source, folder, steps, family, context)
        _show(str(source), manifest, meter.lap(source.name))


def _compress_each(
    checkpoints: Sequence[Path], target: Path, steps: Sequence[MethodConfig], family: Family, context: Context,
    label: str,
) -> dict[str, Cost]:
    from stages.compression.pipeline import compress_folder

    meter = Meter()
    with atomic_folder(target) as folder:
        for number, checkpoint in enumerate(checkpoints, 1):
            (folder / checkpoint.name).mkdir()
            manifest = compress_folder(checkpoint, folder / checkpoint.name, steps, family, context)
            cost = meter.lap(checkpoint.name)
            _show(f"{label} {checkpoint.name} ({number}/{len(checkpoints)})", manifest, cost)
    return meter.costs


def _compress_in_training(
    source: Path, target: Path, steps: Sequence[MethodConfig], family: Family, context: Context, name: str, label: str
) -> dict[str, Cost]:
    from stages.compression.pipeline import compress_in_training
    from stages.training.work import deliver, work_folder

    assert context.corpus is not None
    recipe = {
        "steps": [step.model_dump(mode="json") for step in steps], "family": family, "seed": context.seed,
        "parent": sha256_folder(source), "corpus": sha256_file(context.corpus) if context.corpus.is_file() else "",
    }
    here = Path(__file__).parent
    work = work_folder(CACHE, name, recipe, [here.with_name("training"), here])
    meter = Meter(work / "cost.json")
    compress_in_training(source, work, steps, family, context, written=meter.lap)
    checkpoints = deliver(work, target)
    for number, checkpoint in enumerate(checkpoints, 1):
        manifest = read_manifest(target / checkpoint)
        loss = json.loads((target / checkpoint / "checkpoint.json").read_text(encoding="utf-8"))["heldout_loss"]
        print(f"{label} {checkpoint} ({number}/{len(checkpoints)}): {manifest.method}, "
              f"{manifest.sizes.stored_bytes / 1e6:.1f} MB, held-out loss {loss}", flush=True)
    seconds = sum(cost.seconds for cost in meter.costs.values())
    peak = max(cost.peak_memory_bytes for cost in meter.costs.values())
    print(f"{label}: {seconds:.1f} s, peak memory {peak / 2**20:.0f} MiB", flush=True)
    return meter.costs


def _show(label: str, manifest: Manifest, cost: Cost) -> None:
    # Time and memory are no property of the artefact, which must come out the same every time.
    print(f"{label}: {manifest.method}, {manifest.sizes.stored_bytes / 1e6:.1f} MB, {cost.seconds:.1f} s, "
          f"peak memory {cost.peak_memory_bytes / 2**20:.0f} MiB", flush=True)


def _set_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
