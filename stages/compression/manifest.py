"""``method.json``: what was done to a model, from which parent, and how each weight is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from stages import compression
from stages.common.errors import ModelError, ParamsError
from stages.common.files import write_text
from stages.common.params import Family, Frozen

NAME = "method.json"
WEIGHTS = "weights.safetensors"
FORMAT = 2


class Step(Frozen):
    """One method that was applied."""

    method: str
    version: int
    config: dict[str, Any]


class Sizes(Frozen):
    """How much there is of the model, before and after."""

    parameters: int
    """Parameters of the model; tied ones count once, also where one of them became an int8 copy."""
    parent_parameters: int
    """Parameters of the parent, tied ones counted once."""
    compressed_parameters: int
    """Parameters that a method changed the value or the storage of, copies of tied ones included."""
    zeros: int
    """Parameters that are exactly zero."""
    sparsity: float
    """Share of zeros, 0 to 1, in the matrices of the transformer's layers, which is what methods prune by default
    (in every matrix of an architecture that keeps its layers in no one list)."""
    logical_bits: int
    """Bits of all weights at the width their format names, scales and zero points included."""
    stored_bytes: int
    """Bytes of the weights file."""


class Manifest(Frozen):
    """The content of ``method.json``."""

    format: int
    method: str
    """Names of the steps, joined by ``+``."""
    steps: tuple[Step, ...]
    family: Family
    parent: str
    """SHA-256 over the parent folder's file names and contents."""
    sizes: Sizes
    weights: Literal["checkpoint", "artefact"]
    """``checkpoint``: the parent's own files, unchanged; ``artefact``: ``weights.safetensors``."""
    weights_sha256: str
    """SHA-256 of ``weights.safetensors``; empty for a checkpoint's own files."""
    tensors: dict[str, dict[str, Any]]
    """How each tensor is stored that is not plain float32 (``stages.compression.forms``)."""
    modules: dict[str, dict[str, Any]]
    """Modules that compute otherwise than the architecture's own (``stages.compression.runtime``)."""


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``method.json`` with sorted keys."""
    write_text(folder / NAME, json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``method.json``.

    Raises:
        ModelError: It is no JSON, lacks a field, or names a method or version this code does not know.
    """
    path = folder / NAME
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"not readable as JSON: {error}", where=path, fix="compress the model again") from error
    if not isinstance(raw, dict):
        raise ModelError("not a JSON object", where=path, fix="compress the model again")
    if isinstance(raw.get("format"), int) and raw["format"] > FORMAT:
        raise ModelError(f"format {raw['format']} is newer than {FORMAT}, the newest this code reads", where=path,
                         fix="update this project, or compress the model again")
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{key}: {first['msg']}", where=path, fix="compress the model again") from None
    for step in manifest.steps:
        _check_step(step, path)
    return manifest


def _check_step(step: Step, path: Path) -> None:
    try:
        version = compression.get(step.method).VERSION
    except ParamsError as error:
        raise ModelError(error.what, where=path, fix="was it written by a newer version of this project?") from None
    if step.version != version:
        age = "newer" if step.version > version else "older"
        raise ModelError(f"written by version {step.version} of {step.method}, {age} than {version} here", where=path,
                         fix="compress the model again")
