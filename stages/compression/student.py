"""Students: smaller models of a teacher's architecture, made of its layers or of fresh weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError

from stages.common.errors import MethodError
from stages.compression import Context
from stages.compression.methods import drop_layers
from stages.compression.subject import Subject


def spaced_layers(depth: int, count: int) -> tuple[int, ...]:
    """Numbers of ``count`` of ``depth`` layers, evenly spaced from the first to the last; of one, the first.

    For 6 of 12 these are the layers 0, 2, 4, 7, 9 and 11 that DistilBERT was made of.
    """
    return (0,) if count == 1 else tuple(round(place * (depth - 1) / (count - 1)) for place in range(count))


def keep_layers(subject: Subject, kept: Sequence[int], context: Context) -> None:
    """Leave a model the layers of these numbers, which rise.

    Raises:
        MethodError: It has no such layer, or its layers are not all alike.
    """
    depth = subject.model.config.num_hidden_layers
    if kept[-1] >= depth:
        raise MethodError(f"the teacher has no layer {kept[-1]}", where=subject.folder,
                          fix=f"its layers are 0 to {depth - 1}")
    gone = tuple(number for number in range(depth) if number not in set(kept))
    if gone:
        drop_layers.compress(subject, drop_layers.Config(method="drop_layers", layers=gone), context)


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
        # transformers draws from torch's global stream; it is put back afterwards.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            student = type(subject.model)(config)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise MethodError(f"the student cannot be built: {str(error).strip().splitlines()[-1].strip()}",
                          where=subject.folder) from error
    subject.replace(student)
