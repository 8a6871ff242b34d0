"""How a model is run: packed where that gives the model's own numbers, and otherwise as it is."""

from __future__ import annotations

import copy
import gc
import sys
from functools import partial
from typing import TYPE_CHECKING

import torch

from stages.common.errors import ModelError
from stages.scoring.grouped import GroupedRunner
from stages.scoring.packed import PackedRunner
from stages.scoring.place import Device, Dtype, kind_of, place_of
from stages.scoring.quantized import is_quantized
from stages.scoring.runner import Runner
from stages.scoring.trial import Trial
from stages.scoring.twin import cast, take_apart

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

_TOLERANCE = {"cpu": 5e-5, "cuda": 1e-3}
_told: set[str] = set()


def choose_runner(
    loaded: LoadedModel, token_budget: int, device: Device, dtype: Dtype = "float32", *, consume: bool = False
) -> Runner:
    """The fastest runner that agrees with the model run one sequence at a time, on a handful of sequences.

    Whether an architecture can be packed is found out and not looked up, so that a new one needs
    no entry here. It is found out in float32, whatever is computed in afterwards. One that cannot
    is run in exact-length batches, and that is said once.

    Args:
        loaded: The model.
        token_budget: Tokens in one forward pass.
        device: Where to run it.
        dtype: What to compute in.
        consume: Take the model apart, so that no weight is held twice; it is of no use afterwards.

    Raises:
        ModelError: There is no such device or type, no token fits the budget, or the model cannot run.
    """
    if token_budget < 1:
        raise ModelError(f"a budget of {token_budget} tokens in a forward pass holds none",
                         fix="use a token_budget of at least 1; 1024 is a good one")
    model = loaded.model
    quantized = is_quantized(model)
    place = place_of(device, quantized)
    kind = kind_of(dtype, quantized)
    with torch.inference_mode():
        trial = Trial(loaded, quantized)
        for narrow in (True, False):
            build = partial(
                PackedRunner, model, token_budget, context=loaded.encoder.context, causal=loaded.family == "causal",
                position_padding=loaded.position_padding, narrow=narrow, device=place,
            )  # fmt: skip
            runner = trial.passed(build, _TOLERANCE[place])
            if runner is not None:
                if consume:
                    take_apart(model)
                    gc.collect()  # twins that did not suit hold weights too, in a ring of references
                runner.settle(kind, release=consume)
                return runner
        gather = trial.gathers
    if loaded.architecture not in _told:
        _told.add(loaded.architecture)
        instead = "one sequence at a time" if quantized else "in batches of equal length"
        print(f"{loaded.location}: architecture {loaded.architecture!r} cannot be packed; scoring {instead}",
              file=sys.stderr)
    if place != "cpu" or kind != torch.float32:
        model = (model if consume else copy.deepcopy(model)).to(place)
        if kind != torch.float32:
            cast(model, kind)
    return GroupedRunner(model, token_budget, one_by_one=quantized, gather=gather)
