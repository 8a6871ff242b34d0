"""Trying out on a handful of sequences whether a way to run a model gives the model's own numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from stages.common.errors import ModelError
from stages.common.query import Query
from stages.models.guard import first_line
from stages.scoring.attention import Unsupported
from stages.scoring.grouped import GroupedRunner
from stages.scoring.length import longest_window
from stages.scoring.plan import Plan
from stages.scoring.runner import Runner, ignore

if TYPE_CHECKING:
    from stages.models.load import LoadedModel

AnyRunner = TypeVar("AnyRunner", bound=Runner)

# What an architecture raises that a way of running it does not suit: missing arguments, other shapes, missing parts.
_MISFITS = (Unsupported, TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError, NotImplementedError)
_SHORT, _IDS = 9, 24
_LONG = 2
"""Length of the long sequences in windows: then half of what a token could attend to lies outside."""


class Trial:
    """The answers of a model run one sequence at a time, against which other ways of running it are tried.

    Args:
        loaded: The model, in float32 on the CPU.
        quantized: It has int8 layers.

    Raises:
        ModelError: The model cannot be run over token ids at all.
    """

    def __init__(self, loaded: LoadedModel, quantized: bool) -> None:
        self._loaded, self._quantized = loaded, quantized
        self._headless = loaded.family == "sentence"
        self._literal = partial(GroupedRunner, loaded.model, 1, one_by_one=True)
        self._short = self._short_sequences()
        try:
            self._expected = self._ask(self._literal(), self._short)
        except _MISFITS as error:
            if is_out_of_memory(error):
                raise
            raise ModelError(
                f"architecture {loaded.architecture!r} cannot be run over token ids alone: {first_line(error)}",
                where=loaded.location, fix="score another architecture",
            ) from error  # fmt: skip

    def passed(self, build: Callable[[], AnyRunner], tolerance: float) -> AnyRunner | None:
        """Build a runner and return it if it gives the model's own numbers.

        Args:
            build: Makes the runner.
            tolerance: Largest difference that is float noise, relative where numbers are above 1.
        """
        try:
            runner = build()
            if not self._agree(self._ask(runner, self._short), self._expected, tolerance):
                return None
            if self._long and not self._agree(self._ask(runner, self._long), self._expected_long, tolerance):
                return None
        except _MISFITS as error:
            if is_out_of_memory(error):
                raise
            return None
        return runner

    @cached_property
    def gathers(self) -> bool:
        """Whether the model's head may be asked for the positions that are read only."""
        try:
            found = self._ask(self._literal(gather=True), self._short)
            return self._agree(found, self._expected, _EXACT)
        except _MISFITS as error:
            if is_out_of_memory(error):
                raise
            return False

    @cached_property
    def _expected_long(self) -> list[np.ndarray]:
        return self._ask(self._literal(gather=self.gathers), self._long)

    def _short_sequences(self) -> list[tuple[int, ...]]:
        """Ids spread over the vocabulary, some sequences sharing a prefix and some a length."""
        ids = self._ids(0, _IDS)
        longest = min(_SHORT, self._loaded.encoder.context)
        runs = [ids[:5], ids[5:10], ids[:3] + ids[10:13], ids[13 : 13 + longest]]
        return [tuple(run[:longest]) for run in runs]

    @cached_property
    def _long(self) -> list[tuple[int, ...]]:
        """Sequences longer than the windows that the config names: a handful where a quarter may be off."""
        context = self._loaded.encoder.context
        window = longest_window(self._loaded.model.config, context)
        if window is None:
            return []
        length = min(_LONG * window, context)
        return [tuple(self._ids(1 + k, length)) for k in range(4 if self._quantized else 1)]

    def _ids(self, seed: int, count: int) -> list[int]:
        return [int(token) for token in np.random.default_rng(seed).integers(0, self._loaded.encoder.vocabulary, count)]

    def _ask(self, runner: Runner, sequences: list[tuple[int, ...]]) -> list[np.ndarray]:
        """Answers of a runner: read at most positions, and again at one each, where it may leave out work."""
        vectors = list(runner.embed(sequences, ignore))
        if self._headless:
            return vectors
        queries = []
        for sequence in sequences:
            positions = tuple(range(len(sequence)))[:-1] or (0,)
            queries += [Query(sequence, positions, sequence[: len(positions)])]
            queries += [Query(sequence[:-1], (0,), sequence[-1:])] if len(sequence) > 1 else []
        few = [Query(sequence, (len(sequence) // 2,), sequence[:1]) for sequence in sequences]
        answers = [answer for asked in (queries, few) for answer in runner.read(Plan.of(asked), ignore).answers()]
        return vectors + [np.concatenate([answer.logprobs, answer.entropies]) for answer in answers]

    def _agree(self, found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> bool:
        """Whether two runners gave the same answers, but for float noise.

        In int8 that noise can tip an activation over to the next integer, so a quarter of the
        sequences may be off; a way of running that does not suit the architecture puts all off.
        """
        close = [
            bool(np.all(np.abs(one - two) <= tolerance * np.maximum(1.0, np.abs(two))))
            for one, two in zip(found, expected, strict=True)
        ]
        return sum(close) >= 0.75 * len(close) if self._quantized else all(close)


_EXACT = 5e-5


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that there is no memory left, which is nothing about an architecture."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)
