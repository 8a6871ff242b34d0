"""A variant's steps applied to one checkpoint folder, giving an artefact, or one for each checkpoint of a training."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from stages import compression
from stages.common.errors import MethodError, ModelError
from stages.common.files import atomic_folder, sha256_folder, write_text
from stages.common.params import Family
from stages.compression import Context, MethodConfig
from stages.compression.artefact import open_model
from stages.compression.manifest import NAME, Manifest, Step, read_manifest
from stages.compression.subject import Subject
from stages.compression.write import link_checkpoint, save_artefact

_FACTS = "checkpoint.json"


def compress_folder(
    source: Path, target: Path, steps: Sequence[MethodConfig], family: Family, context: Context
) -> Manifest:
    """Compress a model folder.

    Args:
        source: Checkpoint folder.
        target: Existing, empty folder to write the artefact to.
        steps: The variant's methods, in order.
        family: What the model is scored as.
        context: Seed and corpus.

    Raises:
        ModelError: The source is no whole model.
        MethodError: A method's settings make no sense for the model, or leave NaN or infinity in a weight.
    """
    subject = open_subject(source, family)
    record = _apply(subject, steps, context)
    _write(subject, target, record, sha256_folder(source))
    return read_manifest(target)


def compress_in_training(
    source: Path, work: Path, steps: Sequence[MethodConfig], family: Family, context: Context,
    written: Callable[[str], object] = lambda name: None,
) -> None:
    """Compress a model folder by steps of which one trains, with an artefact for each checkpoint of that training.

    Where several steps train, those before the last one have their results alone. The steps after it are
    applied to each checkpoint, so that every artefact is a final product.

    Args:
        source: Checkpoint folder.
        work: Folder for the artefacts, ``pNNN``, and for what a later call needs to go on after a kill.
        steps: The variant's methods, in order.
        family: What the model is scored as.
        context: Seed and corpus.
        written: Called with the name of each artefact once it is there.

    Raises:
        ModelError: The source is no whole model, or the training diverged.
        MethodError: A method's settings make no sense for the model, or leave NaN or infinity in a weight.
    """
    turn = max(index for index, step in enumerate(steps) if step.trains)
    subject = open_subject(source, family)
    record = []
    for index, step in enumerate(steps[:turn]):
        own = replace(context, work=work / f"step{index}" if step.trains else None)
        record += _apply(subject, [step], own, index)
    parent = sha256_folder(source)

    def snapshot(folder: Path) -> None:
        product = copy.deepcopy(subject)
        _refuse_not_finite(product, f"step {turn + 1} ({steps[turn].method})")
        done = [*record, _step(steps[turn], product), *_apply(product, steps[turn + 1 :], context, turn + 1)]
        with atomic_folder(folder) as temporary:
            _write(product, temporary, done, parent)
        written(folder.name)

    _apply(subject, [steps[turn]], replace(context, work=work, snapshot=snapshot), turn)


def open_subject(source: Path, family: Family) -> Subject:
    """Load a model folder to compress it.

    Raises:
        ModelError: No such folder, no whole model, or an artefact.
    """
    if not source.is_dir():
        raise ModelError("no such model folder", where=source, fix="give a local folder with config.json and weights")
    if (source / NAME).is_file() and read_manifest(source).weights == "artefact":
        raise ModelError("is compressed already", where=source, fix="give its parent a list of methods")
    return Subject(open_model(source, family), source)


def _apply(subject: Subject, steps: Sequence[MethodConfig], context: Context, before: int = 0) -> list[Step]:
    """Take steps that come after ``before`` others; what is no number stops with the step that made it so."""
    record = []
    for number, config in enumerate(steps, before + 1):
        subject.resolved = {}
        compression.get(config.method).compress(subject, config, context)
        _refuse_not_finite(subject, f"step {number} ({config.method})")
        record.append(_step(config, subject))
    return record


def _refuse_not_finite(subject: Subject, step: str) -> None:
    for name in sorted(subject.changed):
        if not torch.isfinite(subject.values(name).sum(dtype=torch.float64)):
            raise MethodError(f"weight {name} became NaN or infinite in {step}", where=subject.folder)


def _step(config: MethodConfig, subject: Subject) -> Step:
    settings = config.model_dump(mode="json") | subject.resolved
    return Step(method=config.method, version=compression.get(config.method).VERSION, config=settings)


def _write(subject: Subject, target: Path, record: Sequence[Step], parent: str) -> None:
    write = save_artefact if subject.changed or subject.reshaped else link_checkpoint
    write(subject, target, record, parent)
    if subject.facts:
        write_text(target / _FACTS, json.dumps(subject.facts, indent=2, sort_keys=True) + "\n")
