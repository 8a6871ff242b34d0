"""Writing the folder of a compressed model."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from stages.common.errors import MethodError
from stages.common.files import sha256_file
from stages.compression.artefact import SAME, persistent_buffers
from stages.compression.forms import Cast, Form, Sparse
from stages.compression.manifest import FORMAT, NAME, WEIGHTS, Manifest, Sizes, Step, write_manifest
from stages.compression.subject import Subject

_SMALL_FILES = {".json", ".txt", ".model", ".jinja"}
_DENSE_BITS, _HALF_BITS = 32, 16
_WORTH_IT = 0.9
"""A plain weight is stored in a smaller form without loss where that takes at most this share of the dense bits."""
_SAMPLE = 1024


def save_artefact(subject: Subject, target: Path, steps: Sequence[Step], parent: str) -> None:
    """Write a subject as an artefact into an existing, empty folder.

    Args:
        subject: The model after all steps.
        target: Folder to write to.
        steps: What was done.
        parent: Content hash of the folder it was done to.
    """
    tensors, facts, bits = _collect(subject)
    save_file(tensors, target / WEIGHTS, metadata={"format": "pt"})
    for path in _small_files(subject.folder):
        if path.name == "config.json" and subject.config_changes:
            config = json.loads(path.read_text(encoding="utf-8")) | subject.config_changes
            (target / path.name).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        else:
            shutil.copyfile(path, target / path.name)
    stored = (target / WEIGHTS).stat().st_size
    write_manifest(target, Manifest(
        format=FORMAT, method=_title(steps), steps=tuple(steps), family=subject.loaded.family, parent=parent,
        sizes=_sizes(subject, bits, stored), weights="artefact", weights_sha256=sha256_file(target / WEIGHTS),
        tensors=facts, modules=subject.modules,
    ))


def link_checkpoint(subject: Subject, target: Path, steps: Sequence[Step], parent: str) -> None:
    """Write an unchanged model as an artefact: its files hard-linked, or copied where links are refused."""
    weights = sorted(subject.folder.glob("*.safetensors"))
    for path in [*_small_files(subject.folder), *subject.folder.glob("*.index.json"), *weights]:
        try:
            os.link(path.resolve(), target / path.name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, target / path.name)
    write_manifest(target, Manifest(
        format=FORMAT, method=_title(steps), steps=tuple(steps), family=subject.loaded.family, parent=parent,
        sizes=_sizes(subject, _stored_bits(weights), sum(path.stat().st_size for path in weights)),
        weights="checkpoint", weights_sha256="", tensors={}, modules={},
    ))


def _collect(subject: Subject) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]], int]:
    """What goes into the weights file, what ``method.json`` says of it, and its logical bits."""
    tensors = persistent_buffers(subject.model)
    facts: dict[str, dict[str, Any]] = {}
    bits = 0
    first: dict[int, str] = {}
    for name, parameter in subject.model.named_parameters(remove_duplicate=False):
        if id(parameter) in first:
            facts[name] = {"form": SAME, "as": first[id(parameter)]}
            continue
        first[id(parameter)] = name
        form = subject.forms.get(name) or _smaller(parameter.detach())
        if form is None:
            tensors[name] = parameter.detach().contiguous()
            bits += _DENSE_BITS * parameter.numel()
        else:
            facts[name] = {"form": form.KIND, **form.facts}
            tensors.update({name + suffix: part for suffix, part in form.parts.items()})
            bits += form.logical_bits
    return tensors, facts, bits


def _smaller(values: Tensor) -> Form | None:
    """A smaller form that gives the same values: sparse for a pruned matrix, float16 for one that came in float16."""
    if values.dim() < 2:
        return None
    sparse_bits = _DENSE_BITS * int(values.count_nonzero()) + values.numel()
    if _is_half(values.flatten()[:_SAMPLE]) and _is_half(values) and sparse_bits > _HALF_BITS * values.numel():
        return Cast(values.half())
    return Sparse.of(values) if sparse_bits <= _WORTH_IT * _DENSE_BITS * values.numel() else None


def _is_half(values: Tensor) -> bool:
    return bool(torch.equal(values.half().float(), values))


def _stored_bits(paths: Sequence[Path]) -> int:
    """Bits of all tensors in some safetensors files, at the width they are stored in."""
    bits = 0
    for path in paths:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_tensor(name)
                bits += 8 * tensor.element_size() * tensor.numel()
    return bits


def _sizes(subject: Subject, bits: int, stored: int) -> Sizes:
    parameters = dict(subject.model.named_parameters())
    zeros = {name: value.numel() - int(subject.values(name).count_nonzero()) for name, value in parameters.items()}
    matrices = _matrices(subject, parameters)
    return Sizes(
        parameters=sum(value.numel() for value in parameters.values()) - subject.copies,
        parent_parameters=subject.loaded.parameters,
        compressed_parameters=sum(parameters[name].numel() for name in subject.changed),
        zeros=sum(zeros.values()),
        sparsity=round(sum(zeros[name] for name in matrices) / sum(parameters[name].numel() for name in matrices), 6),
        logical_bits=bits, stored_bytes=stored,
    )


def _matrices(subject: Subject, parameters: dict[str, Tensor]) -> list[str]:
    """Names of the matrices of the transformer's layers; of every matrix where these are in no one list."""
    try:
        return [matrix.name for matrix in subject.matrices("layers")]
    except MethodError:
        return [name for name, value in parameters.items() if value.dim() > 1]


def _small_files(folder: Path) -> list[Path]:
    """Config, tokenizer and checkpoint facts: all but the weights and what describes them."""
    return sorted(
        path for path in folder.iterdir()
        if path.is_file() and path.suffix in _SMALL_FILES and path.name != NAME
        and not path.name.endswith(".index.json")
    )


def _title(steps: Sequence[Step]) -> str:
    return "+".join(step.method for step in steps)
