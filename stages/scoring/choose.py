"""How a model is run: packed where that gives the model's own numbers, and otherwise as it is."""

from __future__ import annotations

import copy
import gc
import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch

from stages.common.encoder import Encoder
from stages.common.errors import ModelError
from stages.common.query import Query
from stages.compression.int8 import is_dynamic
from stages.scoring.attention import Unsupported
from stages.scoring.grouped import Advance, GroupedRunner
from stages.scoring.packed import PackedRunner
from stages.scoring.plan import Plan, Values
from stages.scoring.quantized import is_quantized

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["float32", "bfloat16"]

_TOLERANCE = {"cpu": 5e-5, "cuda": 1e-3}
# What an architecture raises that packing does not suit: missing arguments, other shapes, missing parts.
_MISFITS = (Unsupported, TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError, NotImplementedError)
_told: set[str] = set()


class Runner(Protocol):
    """Something that runs a model over sequences."""

    def read(self, plan: Plan, advance: Advance) -> Values:
        """Answer every row of a plan."""

    def embed(self, sequences: list[tuple[int, ...]], advance: Advance) -> np.ndarray:
        """Mean of the last hidden state over all positions, float32 of shape [sequences, hidden]."""


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
        ModelError: There is no such device or type, or the model cannot run on it.
    """
    model = loaded.model
    quantized = is_quantized(model)
    place = _place(device, quantized)
    kind = _kind(dtype, quantized)
    causal = loaded.family == "causal"
    with torch.inference_mode():
        probe = _Probe(loaded.encoder, headless=loaded.family == "sentence")
        expected = probe.ask(GroupedRunner(model, 1, one_by_one=True))
        for narrow in (True, False):
            try:
                runner = PackedRunner(
                    model, token_budget, context=loaded.encoder.context, causal=causal,
                    position_padding=loaded.position_padding, narrow=narrow, device=place,
                )  # fmt: skip
                found = probe.ask(runner)
            except _MISFITS:
                continue
            if _agree(found, expected, _TOLERANCE[place], quantized):
                if consume:
                    _take_apart(model)
                    gc.collect()  # twins that did not suit hold weights too, in a ring of references
                runner.settle(kind, release=consume)
                return runner
    if loaded.architecture not in _told:
        _told.add(loaded.architecture)
        instead = "one sequence at a time" if quantized else "in batches of equal length"
        print(f"{loaded.location}: architecture {loaded.architecture!r} cannot be packed; scoring {instead}",
              file=sys.stderr)
    if place != "cpu" or kind != torch.float32:
        model = (model if consume else copy.deepcopy(model)).to(place, kind)
    return GroupedRunner(model, token_budget, one_by_one=quantized)


def _take_apart(model: Any) -> None:
    """Empty the modules of a model, so that what else holds a weight is its only holder; int8 layers stay whole."""
    for child in model._modules.values():
        if child is not None and not is_dynamic(child):
            _take_apart(child)
    for parts in (model._modules, model._parameters, model._buffers):
        parts.clear()


class _Probe:
    """A few sequences of ids spread over the vocabulary, some sharing a prefix and some a length.

    They are read at most of their positions and again at one each, where a runner may leave out work.
    """

    def __init__(self, encoder: Encoder, *, headless: bool) -> None:
        generator = np.random.default_rng(0)
        ids = [int(token) for token in generator.integers(0, encoder.vocabulary, 24)]
        longest = min(9, encoder.context)
        runs = [ids[:5], ids[5:10], ids[:3] + ids[10:13], ids[13 : 13 + longest]]
        self._sequences = [tuple(run[:longest]) for run in runs]
        self._headless = headless
        queries = []
        for sequence in self._sequences:
            positions = tuple(range(len(sequence)))[:-1] or (0,)
            queries += [Query(sequence, positions, sequence[: len(positions)])]
            queries += [Query(sequence[:-1], (0,), sequence[-1:])] if len(sequence) > 1 else []
        few = [Query(sequence, (len(sequence) // 2,), sequence[:1]) for sequence in self._sequences]
        self._plans = [Plan.of(queries), Plan.of(few)]

    def ask(self, runner: Runner) -> list[np.ndarray]:
        """Answers of a runner, one array a sequence."""
        vectors = list(runner.embed(self._sequences, _ignore))
        if self._headless:
            return vectors
        answers = [answer for plan in self._plans for answer in runner.read(plan, _ignore).answers()]
        return vectors + [np.concatenate([answer.logprobs, answer.entropies]) for answer in answers]


def _agree(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float, quantized: bool) -> bool:
    """Whether two runners gave the same answers, but for float noise.

    In int8 that noise can tip an activation over to the next integer, so a quarter of the
    sequences may be off; a packing that does not suit the architecture puts all off.
    """
    close = [
        bool(np.all(np.abs(one - two) <= tolerance * np.maximum(1.0, np.abs(two))))
        for one, two in zip(found, expected, strict=True)
    ]
    return sum(close) >= 0.75 * len(close) if quantized else all(close)


def _place(device: Device, quantized: bool) -> str:
    if device not in ("auto", "cpu", "cuda"):
        raise ModelError(f"unknown device {device!r}", fix="use auto, cpu or cuda")
    if device == "cuda" and quantized:
        raise ModelError("int8 layers of torch.ao run on the CPU only", fix="use --device cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device here", fix="use device cpu or auto")
    if device == "cpu" or quantized or not torch.cuda.is_available():
        return "cpu"
    # TensorFloat-32 keeps 10 bits of a product's factors, too few for scores to be comparable.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return "cuda"


def _kind(dtype: Dtype, quantized: bool) -> torch.dtype:
    if dtype not in ("float32", "bfloat16"):
        raise ModelError(f"unknown dtype {dtype!r}", fix="use float32 or bfloat16")
    if dtype == "bfloat16" and quantized:
        raise ModelError("int8 layers compute with float32 activations", fix="use --dtype float32")
    return torch.float32 if dtype == "float32" else torch.bfloat16


def _ignore(finished: int) -> None:
    """Report no progress."""
