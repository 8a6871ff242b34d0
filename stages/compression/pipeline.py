"""A variant's steps applied to one checkpoint folder, giving one artefact folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages import compression
from stages.common.errors import ModelError
from stages.common.files import sha256_folder
from stages.common.params import Family
from stages.compression import Context, MethodConfig
from stages.compression.artefact import open_model
from stages.compression.manifest import NAME, Manifest, Step, read_manifest
from stages.compression.subject import Subject
from stages.compression.write import link_checkpoint, save_artefact


def compress_folder(
    source: Path, target: Path, steps: Sequence[MethodConfig], family: Family, context: Context
) -> Manifest:
    """Compress a model folder.

    Args:
        source: Checkpoint folder.
        target: Existing, empty folder to write the artefact to.
        steps: The variant's methods, in order.
        family: What the model is scored as.
        context: Seed and calibration corpus.

    Raises:
        ModelError: The source is no whole model.
        MethodError: A method's settings make no sense for the model.
    """
    subject = open_subject(source, family)
    record = []
    for config in steps:
        method = compression.get(config.method)
        method.compress(subject, config, context)
        record.append(Step(method=config.method, version=method.VERSION, config=config.model_dump(mode="json")))
    parent = sha256_folder(source)
    write = save_artefact if subject.changed or subject.reshaped else link_checkpoint
    write(subject, target, record, parent)
    return read_manifest(target)


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
