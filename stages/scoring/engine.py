"""Scoring sequences with a model: the one entrance, whatever the architecture and precision."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from stages.common.errors import ModelError
from stages.common.query import Answer, Query
from stages.scoring.choose import choose_runner
from stages.scoring.place import Device, Dtype
from stages.scoring.plan import Plan
from stages.scoring.runner import Progress, ignore

if TYPE_CHECKING:
    from stages.models.load import LoadedModel


class Scorer:
    """Reads token probabilities and embeddings from a model; the result for a text never depends on its neighbours.

    The scorer holds copies of most weights in the layout it needs, and shares the others with the
    model, whose weights must not be written to afterwards.

    Args:
        loaded: The model, from ``stages.models.load`` or ``stages.compression.artefact``.
        token_budget: Tokens in one forward pass; changes the speed, and scores by float noise only.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where present (int8 layers run on the CPU only).
        dtype: ``float32``; or ``bfloat16``, which is faster and changes scores by some hundredths.
        consume: Take the model apart layer by layer, so that no weight is held twice. It is of no use
            to anyone afterwards.

    Raises:
        ModelError: There is no such device or type, no token fits the budget, or the model cannot run.
    """

    def __init__(
        self, loaded: LoadedModel, token_budget: int = 1024, device: Device = "cpu", dtype: Dtype = "float32", *,
        consume: bool = False,
    ) -> None:  # fmt: skip
        self._encoder, self._location = loaded.encoder, loaded.location
        self._runner = choose_runner(loaded, token_budget, device, dtype, consume=consume)

    def read(self, queries: Sequence[Query], progress: Progress = ignore) -> list[Answer]:
        """Answer queries, in their order.

        Args:
            queries: What to read; identical sequences are computed once.
            progress: Called with the number of distinct sequences done, and their total.

        Raises:
            ModelError: A sequence is longer than the model's context, an id is outside its
                vocabulary, or the model gives NaN or infinity.
            ValueError: Positions that do not rise, lie outside the sequence, or do not match the targets.
        """
        for query in queries:
            self._check(query)
        plan = Plan.of(queries)
        with torch.inference_mode():
            values = self._runner.read(plan, _Count(progress, len(plan.sequences)))
        broken = values.broken_sequence()
        if broken is not None:
            raise ModelError(f"the model gives NaN or infinite logits for {self._show(broken)}",
                             where=self._location, fix="its weights or its compression are at fault")
        return values.answers()

    def embed(self, sequences: Sequence[tuple[int, ...]], progress: Progress = ignore) -> np.ndarray:
        """Mean over all positions of the last hidden state, float32 of shape [sequences, width].

        Args:
            sequences: Token ids; identical sequences are computed once.
            progress: Called with the number of distinct sequences done, and their total.

        Raises:
            ModelError: An empty sequence, one longer than the model's context, an id outside its
                vocabulary, or NaN or infinity in an embedding.
        """
        for ids in sequences:
            self._check_ids(ids)
        distinct = sorted(set(sequences))
        with torch.inference_mode():
            vectors = self._runner.embed(distinct, _Count(progress, len(distinct)))
        broken = ~np.isfinite(vectors).all(axis=1)
        if broken.any():
            raise ModelError(f"the model gives a NaN or infinite embedding for {self._show(distinct[broken.argmax()])}",
                             where=self._location, fix="its weights or its compression are at fault")
        index = {ids: i for i, ids in enumerate(distinct)}
        return vectors[[index[ids] for ids in sequences]]

    def _check(self, query: Query) -> None:
        self._check_ids(query.ids)
        bounds = (-1, *query.positions, len(query.ids))
        if any(before >= after for before, after in pairwise(bounds)):
            raise ValueError(f"positions {query.positions} do not rise within a sequence of {len(query.ids)} tokens")
        if len(query.targets) != len(query.positions):
            raise ValueError(f"{len(query.targets)} targets for {len(query.positions)} positions")
        vocabulary = self._encoder.vocabulary
        if any(not 0 <= target < vocabulary for target in query.targets):
            amiss = next(target for target in query.targets if not 0 <= target < vocabulary)
            raise ModelError(
                f"token id {amiss} is outside the model's vocabulary of {vocabulary}: {self._show(query.ids)}",
                where=self._location,
                fix="the tokenizer does not belong to this model",
            )

    def _check_ids(self, ids: tuple[int, ...]) -> None:
        encoder = self._encoder
        if not ids:
            raise ModelError("a text of no tokens has nothing to read", where=self._location)
        if min(ids) < 0:
            raise ModelError(f"token id {min(ids)} is negative, at position {ids.index(min(ids))} of a text",
                             where=self._location, fix="ids count from 0; mask or drop what is no token")
        if len(ids) > encoder.context or max(ids) >= encoder.vocabulary:
            encoder.check(ids, self._show(ids))

    def _show(self, ids: tuple[int, ...]) -> str:
        return f"{self._encoder.decode(ids)!r} (ids {', '.join(map(str, ids[:8]))}{', ...' * (len(ids) > 8)})"


class _Count:
    """Adds up the sequences that a runner finishes."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def __call__(self, finished: int) -> None:
        self._done += finished
        self._progress(self._done, self._total)
