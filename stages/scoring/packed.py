"""Running a Hugging Face model on packed sequences, with the least work its scores need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from stages.compression.int8 import is_dynamic
from stages.scoring import attention
from stages.scoring.activation import replace_activations
from stages.scoring.head import ROWS, Head, Waiting
from stages.scoring.length import has_other_frequencies_when_long
from stages.scoring.linear import PackedLinear, replace_linears
from stages.scoring.narrow import Narrowing, last_layer
from stages.scoring.packing import Pack, packs
from stages.scoring.plan import Plan, Values
from stages.scoring.quantized import QuantizedHead, SequenceLinear, is_quantized, replace_quantized
from stages.scoring.runner import Advance
from stages.scoring.states import Means, last_hidden_state
from stages.scoring.twin import cast, twin


class PackedRunner:
    """Flat packs without padding through the model's own modules.

    The model itself is left alone: the runner works on a copy of its module tree that shares its
    weights, with attention taken per sequence, faster linear layers, and the vocabulary head taken
    off and applied to the rows that are read. Until ``settle`` it takes no memory of its own.

    Args:
        model: A transformers model with a language-model head, or an encoder.
        token_budget: Tokens in a pack; one sequence alone may exceed it.
        context: Longest sequence it will be given, in tokens.
        causal: No token depends on later ones.
        position_padding: See ``LoadedModel``.
        narrow: Run the last layer for the tokens that are read only.
        device: Where to run it.

    Raises:
        Unsupported: What the model computes of a text would depend on what else is in a pack.
    """

    def __init__(
        self, model: Any, token_budget: int, *, context: int, causal: bool, position_padding: int | None = None,
        narrow: bool = True, device: str = "cpu",
    ) -> None:  # fmt: skip
        self._token_budget, self._context, self._device = token_budget, context, device
        self._padding = position_padding
        if has_other_frequencies_when_long(model.config, context):
            raise attention.Unsupported("rotary frequencies that depend on the longest sequence of a batch")
        quantized = is_quantized(model)
        self._model = twin(model, device)
        # A prefix shared by two int8 sequences would have two activation ranges.
        self._share = causal and not quantized
        self._head = self._take_off_head()
        self._model.set_attn_implementation(attention.NAME)
        layer = last_layer(self._model) if narrow and not quantized else None
        self._narrowing = Narrowing(layer) if layer is not None else None
        replace_linears(self._model, token_budget)
        replace_quantized(self._model)
        replace_activations(self._model)
        self._options = {"use_cache": False} if hasattr(model.config, "use_cache") else {}

    def settle(self, dtype: torch.dtype, *, release: bool) -> None:
        """Copy the weights into the layout that is fastest, one layer after the other.

        Args:
            dtype: What to compute in: float32 or bfloat16. int8 layers stay what they are.
            release: Nobody else holds the weights, so let go of each once it is copied.
        """
        for module in self._model.modules():
            if isinstance(module, PackedLinear):
                module.pack(dtype, release=release)
            elif isinstance(module, SequenceLinear):
                module.pack()
        if self._head is not None:
            self._head.pack(dtype, release=release)
        if dtype != torch.float32:
            cast(self._model, dtype)

    def read(self, plan: Plan, advance: Advance) -> Values:
        """Answer every row of a plan."""
        values = Values(plan)
        sequences = plan.sequences
        if self._share:  # what follows the last token read changes nothing
            last = plan.row_position[plan.first_row[1:] - 1]
            sequences = [ids[: end + 1] for ids, end in zip(sequences, last, strict=True)]
        head, waiting = self._head, Waiting()
        for pack in packs(sequences, self._token_budget, share_prefixes=self._share, device=self._device):
            if isinstance(head, QuantizedHead):
                head.read(values, pack, self._features(pack, None))
            else:
                tokens = np.concatenate([pack.paths[k][plan.positions_of(s)] for k, s in enumerate(pack.members)])
                distinct, which = np.unique(tokens, return_inverse=True)
                waiting.add(plan.rows_of(pack.members), self._features(pack, distinct), which)
                if waiting.features >= ROWS:
                    waiting.flush(head, values)
            advance(len(pack.members))
        if not isinstance(head, QuantizedHead):
            waiting.flush(head, values)
        return values

    def embed(self, sequences: Sequence[tuple[int, ...]], advance: Advance) -> np.ndarray:
        """Mean of the last hidden state over all positions, float32 of shape [sequences, width]."""
        means = Means(self._model, len(sequences))
        for pack in packs(sequences, self._token_budget, share_prefixes=self._share, device=self._device):
            states = self._run(partial(last_hidden_state, self._model), pack)[0]
            lengths = np.array([len(path) for path in pack.paths])
            for group in pack.groups:
                means.put(np.array(pack.members)[lengths == group.tokens.shape[1]], states[group.tokens])
            advance(len(pack.members))
        return means.vectors()

    def _features(self, pack: Pack, tokens: np.ndarray | None) -> torch.Tensor:
        """What the head takes, float32 of shape [rows, hidden], for some tokens of a pack or all of them."""
        if tokens is None:
            return self._run(self._model, pack).logits[0]
        rows = torch.from_numpy(tokens).to(self._device)
        if self._narrowing is None or 2 * len(tokens) > pack.size:
            return self._run(self._model, pack).logits[0][rows]
        self._narrowing.rows = rows
        try:
            return self._run(self._model, pack).logits[0]
        finally:
            self._narrowing.rows = None

    def _run(self, forward: Callable[..., Any], pack: Pack) -> Any:
        with attention.packed(pack, self._context):
            return forward(input_ids=pack.ids, position_ids=self._positions(pack), **self._options)

    def _positions(self, pack: Pack) -> torch.Tensor:
        """Position ids: the place in the sequence; RoBERTa's count the tokens that are no padding, from behind it."""
        if self._padding is None:
            return pack.places
        real = pack.ids != self._padding
        if bool(real.all()):
            return pack.places + self._padding + 1
        positions = torch.empty_like(pack.places)
        for path in pack.paths:
            kept = real[0, path]
            positions[0, path] = torch.where(kept, kept.cumsum(0), 0) + self._padding
        return positions

    def _take_off_head(self) -> Head | QuantizedHead | None:
        """Replace the vocabulary matrix by the identity, so that "logits" are what it would take."""
        matrix = self._model.get_output_embeddings()
        if matrix is None:
            return None
        name = next(name for name, module in self._model.named_modules() if module is matrix)
        self._model.set_submodule(name, nn.Identity())
        if is_dynamic(matrix):
            return QuantizedHead(matrix)
        return Head(matrix.weight, matrix.bias)
