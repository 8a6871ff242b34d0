"""The training run of a model of params, from its settings and the suite's corpus."""

from __future__ import annotations

from pathlib import Path

from stages.common.params import TrainedModel
from stages.training.building import build, check_trained
from stages.training.data import Corpus, frame_of, pack
from stages.training.loop import Run
from stages.training.objectives import objective_of


def run_from_corpus(spec: TrainedModel, parquet: Path, seed: int) -> Run:
    """Prepare a model's training.

    Args:
        spec: Architecture, tokenizer and training.
        parquet: Clean table of the suite's corpus; the tokenizer is trained on its split ``train``, too.
        seed: Of the initial weights, the order of the texts, the masks and dropout.

    Raises:
        ParamsError: Settings that the architecture does not have.
        ModelError: The weights to start from cannot be had.
        DataError: The corpus is missing or too small.
    """
    check_trained(spec)
    corpus = Corpus(parquet)
    settings = spec.training
    tokenizer, model = build(spec, corpus.texts("train"), seed)
    train_rows, valid_rows = (
        pack(corpus.encode(split, tokenizer), frame_of(tokenizer, spec.family), settings.sequence_length,
             settings.packing)
        for split in ("train", "valid")
    )
    objective = objective_of(tokenizer, spec.family, settings.mask_probability)
    return Run(model, tokenizer, objective, train_rows, valid_rows, settings, seed)
