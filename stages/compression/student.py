"""Students: smaller models of a teacher's architecture, of fresh weights or of a part of the teacher's."""

from __future__ import annotations

import copy
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor

from stages.common.errors import MethodError
from stages.compression.subject import Subject

# Architectures of which every tensor's first entries along each axis are a narrower model's, and the tensors that
# hold several maps side by side along their last axis, with how many: there the first entries of each map are.
_SIDE_BY_SIDE: dict[str, dict[str, int]] = {
    "bert": {}, "roberta": {}, "distilbert": {}, "gpt_neox": {}, "gpt2": {".attn.c_attn.": 3},
}


def spaced_layers(depth: int, count: int) -> tuple[int, ...]:
    """Numbers of ``count`` of ``depth`` layers, evenly spaced from the first to the last; of one, the first.

    For 6 of 12 these are the layers 0, 2, 4, 7, 9 and 11 that DistilBERT was made of.
    """
    return (0,) if count == 1 else tuple(round(place * (depth - 1) / (count - 1)) for place in range(count))


def fresh_model(kind: Any, config: Any, seed: int) -> Any:
    """A model with the weights that its architecture's own initialization draws.

    Args:
        kind: Class of the model.
        config: Its sizes; kept by the model.
        seed: Of the weights.
    """
    # transformers draws from torch's global stream; it is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(config)


def renew(subject: Subject, sizes: dict[str, int], seed: int) -> None:
    """Put a model of the same architecture with fresh weights in a subject's place.

    Args:
        subject: The model.
        sizes: Config fields that change, e.g. ``hidden_size``.
        seed: Of the weights.

    Raises:
        MethodError: The architecture has no such field, or the sizes do not fit together.
    """
    config: Any = copy.deepcopy(subject.model.config)
    for key, value in sizes.items():
        if not hasattr(config, key):
            raise MethodError(f"architecture {subject.loaded.architecture!r} has no {key}", where=subject.folder)
        setattr(config, key, value)
        subject.config_changes[config.attribute_map.get(key, key)] = value
    try:
        student = fresh_model(type(subject.model), config, seed)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise MethodError(f"the student cannot be built: {str(error).strip().splitlines()[-1].strip()}",
                          where=subject.folder) from error
    subject.replace(student)


def narrow(subject: Subject, sizes: dict[str, int]) -> None:
    """Put a narrower model in a subject's place, made of the first entries of each of its tensors.

    The student has the first hidden units, the first inner units and the first attention heads, which keep their
    width: head for head it begins as the teacher does, but for what the units left out brought in.

    Args:
        subject: The model.
        sizes: Some of ``hidden_size``, ``intermediate_size`` and ``num_attention_heads``.

    Raises:
        MethodError: A size is larger than the teacher's, the heads would not keep their width, or the architecture's
            tensors are not known to be made so.
    """
    teacher, architecture = subject.model, subject.loaded.architecture
    if architecture not in _SIDE_BY_SIDE:
        raise MethodError(f"how to narrow architecture {architecture!r} is not known", where=subject.folder,
                          fix=f"initial: random; known are {', '.join(sorted(_SIDE_BY_SIDE))}")
    for key, value in sizes.items():
        own = getattr(teacher.config, key, None)
        if own is not None and value > own:
            raise MethodError(f"a student with {key} {value} cannot begin with its teacher's weights, which have {own}",
                              where=subject.folder, fix="initial: random")
    hidden, heads = (sizes.get(key, getattr(teacher.config, key)) for key in ("hidden_size", "num_attention_heads"))
    width = teacher.config.hidden_size // teacher.config.num_attention_heads
    if hidden != heads * width:
        raise MethodError(f"a student of hidden_size {hidden} with {heads} heads cannot begin with its teacher's, "
                          f"which are {width} wide", where=subject.folder,
                          fix=f"choose hidden_size = {width} x num_attention_heads, or initial: random")
    renew(subject, sizes, seed=0)  # every weight is overwritten
    for name, parameter in subject.model.named_parameters():
        maps = next((count for part, count in _SIDE_BY_SIDE[architecture].items() if part in name), 1)
        parameter.data.copy_(first_entries(teacher.get_parameter(name).detach(), tuple(parameter.shape), maps))


def first_entries(values: Tensor, shape: tuple[int, ...], maps: int) -> Tensor:
    """The first entries of a tensor along each axis.

    Args:
        values: Tensor of as many axes as ``shape``, each at least as long.
        shape: What is left.
        maps: Into how many equal runs the last axis is cut, of each of which the first entries are left.
    """
    cut = values[tuple(slice(size) for size in shape[:-1])]
    return cut.unflatten(-1, (maps, -1))[..., : shape[-1] // maps].flatten(-2)
