"""Weights chosen by lot set to zero: what losing as many weights does by itself (a control)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``random_prune``."""

    method: Literal["random_prune"]
    sparsity: float = Field(gt=0, lt=1)
    """Share of every matrix in the scope that becomes zero."""
    scope: Literal["layers", "linear", "all", "attention"] = "layers"
    """Matrices of the transformer's layers, every linear map, or the embeddings too; or those that make queries, keys
    and values, and the pooler's."""
    embeddings: bool = False
    """Whether the embeddings are pruned too, and with them a head that is tied to them."""
    norms: bool = False
    """Whether the weights of all norms are pruned too."""
    seed: int = Field(default=0, ge=0)
    """Of the lot, beside the suite's own seed."""


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune every matrix in the scope.

    Raises:
        MethodError: The model has none, or the sparsity removes nothing or all of one.
    """
    import torch

    from stages.compression.drawing import generator
    from stages.compression.pruning import lowest, prune_count

    for matrix in subject.matrices(config.scope, embeddings=config.embeddings, norms=config.norms):
        weight = matrix.get()
        lots = torch.rand(weight.shape, generator=generator(context.seed + config.seed, matrix.name))
        count = prune_count(weight.numel(), config.sparsity, matrix.name)
        matrix.assign(weight.masked_fill(lowest(lots, count), 0.0))
