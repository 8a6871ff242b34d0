"""Inputs between two texts: what a teacher says of them tells a student more than what it says of either.

Blended are the embeddings that a model looks up for its words, with a share drawn for each sequence from a
Beta distribution (Zhang et al. 2018, arXiv 1710.09412): with those of another sequence of the batch (MixKD, Liang et
al. 2021, arXiv 2011.00593), or of chosen words alone with those of their counterparts, he with she (Ahn et al. 2022,
gebnlp-1.27).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stages.training.objectives import Batch


@dataclass(frozen=True)
class Blend:
    """What the words of a batch are blended with.

    Attributes:
        ids: int64 [sequences, length], the other words.
        share: float32 [sequences, length, 1], how much of its own word a place keeps, 0 to 1; 1 at padding.
    """

    ids: Tensor
    share: Tensor


@dataclass(frozen=True)
class Mixup:
    """How batches are blended.

    Attributes:
        alpha: Both parameters of the Beta distribution; small ones keep most of one of the two.
        counterpart: int64 [vocabulary], the word that each is blended with, itself if none; or None, which blends
            each sequence with another of the batch.
    """

    alpha: float
    counterpart: Tensor | None = None

    def draw(self, batch: Batch) -> Blend:
        """Draw shares, and without counterparts an order of the sequences, from torch's own generator."""
        shares = torch.distributions.Beta(self.alpha, self.alpha).sample((len(batch.ids), 1, 1))
        tokens = batch.attention.bool()
        if self.counterpart is not None:
            other = self.counterpart[batch.ids]
        else:
            order = torch.randperm(len(batch.ids))
            other, tokens = batch.ids[order], tokens & tokens[order]
        return Blend(other, torch.where(tokens.unsqueeze(-1), shares, 1.0))


@contextmanager
def blended(model: Any, blend: Blend | None) -> Iterator[None]:
    """Within, a model reads the words of a batch blended; as they are, if ``blend`` is None."""
    if blend is None:
        yield
        return

    def mix(module: Any, args: Any, output: Tensor) -> Tensor:
        other = type(module).forward(module, blend.ids)  # not through the hook again
        return blend.share * output + (1.0 - blend.share) * other

    handle = model.get_input_embeddings().register_forward_hook(mix)
    try:
        yield
    finally:
        handle.remove()
