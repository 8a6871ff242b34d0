"""The networks that a model is set beside: with fresh random weights, and trained alike from another seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stages.common.errors import ModelError
from stages.common.params import Family, TrainedModel
from stages.compression import Context
from stages.compression.methods import random_init
from stages.compression.subject import Subject
from stages.models.load import LoadedModel, load_model
from stages.training.from_corpus import run_from_corpus
from stages.training.loop import train

_LAST = "p100"


def last_checkpoint(folder: Path, model: str) -> Path:
    """The last checkpoint in a model's folder of them.

    Raises:
        ModelError: There is none.
    """
    found = sorted(path for path in folder.glob("p*") if path.is_dir())
    if not found:
        raise ModelError("holds no checkpoint", where=folder, fix=f"dvc repro checkpoint@{model}")
    return found[-1]


def random_network(folder: Path, family: Family, seed: int, number: int) -> LoadedModel:
    """A model of the folder's architecture and tokenizer with fresh weights.

    Args:
        folder: A checkpoint.
        family: Of the model.
        seed: The suite's.
        number: Of the network.
    """
    loaded = load_model(folder, family)
    random_init.compress(Subject(loaded, folder), random_init.Config(method="random_init", seed=number),
                         Context(seed=seed))
    return loaded


@contextmanager
def replicate(spec: TrainedModel, corpus: Path, seed: int) -> Iterator[LoadedModel]:
    """Train a model as the checkpoint stage does, and keep nothing of it but its last checkpoint, for as long as asked.

    Args:
        spec: The model's settings.
        corpus: Clean table of the suite's corpus.
        seed: In place of the suite's; with that one the result is the model itself.

    Raises:
        ParamsError: Settings that the architecture does not have.
        ModelError: The training diverged.
        DataError: The corpus is missing or too small.
    """
    last = spec.training.model_copy(update={"checkpoints": (100,)})
    with TemporaryDirectory(prefix="replicate-") as folder:
        train(run_from_corpus(spec.model_copy(update={"training": last}), corpus, seed), Path(folder))
        yield load_model(Path(folder, _LAST), spec.family)
