"""Opening the folder of a compressed model: whole, without its parent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stages.common.errors import ModelError
from stages.common.files import sha256_file
from stages.common.params import Family
from stages.common.quiet import quiet
from stages.compression.factors import Factors
from stages.compression.forms import Cast, Form, Reader, Sparse
from stages.compression.int8_weights import DerivedInt8, Int8
from stages.compression.manifest import NAME, WEIGHTS, Manifest, read_manifest
from stages.compression.rounding import Integers
from stages.compression.runtime import INTEGER_KINDS, build_module
from stages.compression.scaled import ScaledIntegers
from stages.models import load
from stages.models.load import LoadedModel, load_model, load_tokenizer
from stages.models.memory import give_back

FORMS: dict[str, type[Form]] = {
    form.KIND: form for form in (Cast, Sparse, Factors, Integers, ScaledIntegers, Int8, DerivedInt8)
}
SAME = "same"
"""Form of a name that shares its parameter with another."""
_AGAIN = "compress the model again"


def open_model(folder: str | Path, family: Family, revision: str | None = None) -> LoadedModel:
    """Open a compressed artefact, or else a model folder or hub id as it is.

    Weights stored in few bits come back as float32 in the architecture's own modules, except
    where the variant computes in integers (``stages.compression.runtime``).

    Args:
        folder: Artefact folder (one with a ``method.json``), model folder or hub id.
        family: What the model is scored as.
        revision: Hub revision, where ``folder`` is a hub id.

    Raises:
        ModelError: The artefact is damaged, incomplete, or written by other code; or see ``load_model``.
    """
    if not (Path(folder) / NAME).is_file():
        return load_model(folder, family, revision=revision)
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.family != family:
        raise ModelError(f"was compressed as a {manifest.family} model, not as {family}", where=folder)
    if manifest.weights == "checkpoint":
        return load_model(folder, family)
    reader = Reader(_read_weights(folder, manifest), folder / WEIGHTS)
    model = _skeleton(folder, family)
    try:
        _fill(model, manifest, reader)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"does not describe the weights beside it ({error!r})", where=folder / NAME,
                         fix=_AGAIN) from error
    if reader.tensors:
        raise ModelError(f"holds tensors the model has not: {_few(reader.tensors)}", where=reader.where, fix=_AGAIN)
    return load.describe(model, load_tokenizer(folder), family, folder, parameters=manifest.sizes.parameters)


class _EmptyOnMeta(TorchFunctionMode):  # type: ignore[misc]
    """Layers allocate weights with ``torch.empty``: give these no memory, and compute the rest (position ids, ...)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.empty:
            kwargs = {**(kwargs or {}), "device": "meta"}
        return func(*args, **(kwargs or {}))


def _skeleton(folder: Path, family: Family) -> Any:
    """The model that ``config.json`` describes, its weights without memory."""
    quiet()
    config, model_class, options = load.resolve(folder, family)
    config.dtype = torch.float32
    with _EmptyOnMeta():
        return model_class(config, **options)


def _read_weights(folder: Path, manifest: Manifest) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.is_file():
        raise ModelError("no such file in the artefact", where=path, fix=_AGAIN)
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"not a whole safetensors file: {error}", where=path, fix=_AGAIN) from error
    if sha256_file(path) != manifest.weights_sha256:
        raise ModelError("is not the file that was written: its SHA-256 differs from method.json's", where=path,
                         fix=_AGAIN)
    return tensors


def _fill(model: Any, manifest: Manifest, reader: Reader) -> None:
    """Give every weight its stored value, and put in place the modules that compute otherwise."""
    expected = {name: tuple(value.shape) for name, value in model.named_parameters(remove_duplicate=False)}
    unknown = set(manifest.tensors) - set(expected) | set(manifest.modules) - {n for n, _ in model.named_modules()}
    if unknown:
        raise ModelError(f"names what the model has not: {_few(unknown)}", where=reader.where.with_name(NAME),
                         fix=_AGAIN)
    integers: dict[str, Form] = {}
    for name in sorted(expected, key=lambda name: (_late(manifest.tensors.get(name)), name)):
        facts = manifest.tensors.get(name, {"form": None})
        if facts["form"] == SAME:
            reader.weights[name] = reader.weights[facts["as"]]
        elif facts["form"] is None:
            reader.weights[name] = reader.take(name, torch.float32, expected[name])
        else:
            form = FORMS[facts["form"]].read(facts, name, expected[name], reader)
            if manifest.modules.get(_owner(name), {}).get("kind") in INTEGER_KINDS and name.endswith(".weight"):
                integers[_owner(name)] = form
            else:
                reader.weights[name] = form.weight()
    _assign(model, reader.weights, manifest)
    for name, buffer in persistent_buffers(model).items():
        setattr(model.get_submodule(_owner(name)), _leaf(name), reader.take(name, buffer.dtype, tuple(buffer.shape)))
    empty = [name for name, tensor in [*model.named_parameters(), *model.named_buffers()]
             if tensor.is_meta and _owner(name) not in integers]
    if empty:
        raise ModelError(f"has no value for {_few(empty)}", where=reader.where.parent, fix=_AGAIN)
    for name, facts in manifest.modules.items():
        model.set_submodule(name, build_module(model.get_submodule(name), facts, integers.get(name)))
        for part in integers[name].parts.values() if name in integers else ():
            give_back(part)


def persistent_buffers(model: Any) -> dict[str, Tensor]:
    """Buffers that belong to a model's state, by name; the others are computed by its constructor."""
    state = model.state_dict()
    return {name: buffer for name, buffer in model.named_buffers() if name in state}


def _assign(model: Any, weights: dict[str, Tensor], manifest: Manifest) -> None:
    parameters = {name: nn.Parameter(value, requires_grad=False) for name, value in weights.items()}
    for name, facts in manifest.tensors.items():
        if facts["form"] == SAME:
            parameters[name] = parameters[facts["as"]]
    for name, parameter in parameters.items():
        setattr(model.get_submodule(_owner(name)), _leaf(name), parameter)


def _late(facts: dict[str, Any] | None) -> bool:
    """Whether a weight is made from others, and so is read after them."""
    return facts is not None and facts["form"] in (SAME, DerivedInt8.KIND)


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]


def _few(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
