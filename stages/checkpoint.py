"""Take a model from a hub, package or folder, or train it, with its checkpoints over training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from stages.common.errors import run
from stages.common.files import atomic_folder, sha256_file, write_text
from stages.common.params import Params, TrainedModel, choose, load_params

WORK = Path(".cache/training")
"""Where a training keeps its checkpoints until it is done; what a killed one left is taken up again."""


def main() -> None:
    """Command line: ``python -m stages.checkpoint --params P --model M``."""
    parser = argparse.ArgumentParser(prog="python -m stages.checkpoint", description=__doc__)
    parser.add_argument("--params", required=True, help="params file of the suite")
    parser.add_argument("--model", required=True, help="slug of the model in it")
    arguments = parser.parse_args()
    make_checkpoints(load_params(arguments.params), arguments.model)


def make_checkpoints(params: Params, slug: str) -> Path:
    """Write every checkpoint of a model to ``models/<suite>/checkpoints/<model>/pNNN``.

    Returns:
        The model's folder, whole or not there.

    Raises:
        ParamsError: No such model, or settings its architecture does not have.
        ModelError: The model cannot be had, or its training diverged.
        DataError: The corpus is missing or too small.
    """
    spec = choose(dict(params.models), slug, "model")
    target = Path("models", params.suite, "checkpoints", slug)
    if isinstance(spec, TrainedModel):
        from stages.training.work import deliver

        deliver(_train(params, slug, spec), target)
        return target

    from stages.training.sources import take

    with atomic_folder(target) as temporary:
        for name, origin in take(spec, temporary).items():
            _write_json(temporary / name / "checkpoint.json", {"fraction": int(name[1:]) / 100, "origin": origin})
    return target


def _train(params: Params, slug: str, spec: TrainedModel) -> Path:
    import torch

    from stages.common.quiet import quiet
    from stages.training.from_corpus import run_from_corpus
    from stages.training.loop import train
    from stages.training.work import work_folder

    quiet()
    torch.set_num_threads(params.threads)
    parquet = Path("data/clean", params.suite, f"{params.corpus}.parquet")
    prepared = run_from_corpus(spec, parquet, params.seed)
    recipe = {"model": spec.model_dump(mode="json"), "seed": params.seed, "corpus": sha256_file(parquet)}
    work = work_folder(WORK, f"{params.suite}.{slug}", recipe, [Path(__file__).parent / "training"])
    train(prepared, work)
    return work


def _write_json(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    run(main)
