"""How a model is run: packed where that gives the model's own numbers, and otherwise as it is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch

from stages.common.encoder import Encoder
from stages.common.errors import ModelError
from stages.common.query import Query
from stages.scoring.attention import Unsupported
from stages.scoring.grouped import Advance, GroupedRunner
from stages.scoring.packed import PackedRunner
from stages.scoring.plan import Plan, Values
from stages.scoring.quantized import is_quantized

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

Device = Literal["auto", "cpu", "cuda"]

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


def choose_runner(loaded: LoadedModel, token_budget: int, device: Device) -> Runner:
    """The fastest runner that agrees with the model run one sequence at a time, on a handful of sequences.

    Whether an architecture can be packed is found out and not looked up, so that a new one needs
    no entry here. One that cannot is run in exact-length batches, and that is said once.

    Raises:
        ModelError: There is no such device, or the model cannot run on it.
    """
    model = loaded.model
    quantized = is_quantized(model)
    place = _place(device, quantized)
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
                return runner
    if loaded.architecture not in _told:
        _told.add(loaded.architecture)
        instead = "one sequence at a time" if quantized else "in batches of equal length"
        print(f"{loaded.location}: architecture {loaded.architecture!r} cannot be packed; scoring {instead}",
              file=sys.stderr)
    return GroupedRunner(model.to(place), token_budget, one_by_one=quantized)


class _Probe:
    """A few sequences of ids spread over the vocabulary, some sharing a prefix and some a length."""

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
        self._plan = Plan.of(queries)

    def ask(self, runner: Runner) -> list[np.ndarray]:
        """Answers of a runner, one array a sequence."""
        vectors = list(runner.embed(self._sequences, _ignore))
        if self._headless:
            return vectors
        values = runner.read(self._plan, _ignore)
        return vectors + [np.concatenate([answer.logprobs, answer.entropies]) for answer in values.answers()]


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


def _ignore(finished: int) -> None:
    """Report no progress."""
