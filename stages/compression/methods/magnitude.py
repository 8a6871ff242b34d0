"""The smallest weights set to zero, matrix by matrix or over the whole model (Han et al. 2015, arXiv 1506.02626)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``magnitude``."""

    method: Literal["magnitude"]
    sparsity: float = Field(gt=0, lt=1)
    """Share of the weights in the scope that become zero."""
    granularity: Literal["matrix", "global"] = "matrix"
    """Compare weights within each matrix, or over all of them together."""
    scope: Literal["layers", "linear", "all", "attention"] = "layers"
    """Matrices of the transformer's layers, every linear map, or the embeddings too; or those that make queries, keys
    and values, and the pooler's."""
    embeddings: bool = False
    """Whether the embeddings are pruned too, and with them a head that is tied to them."""
    norms: bool = False
    """Whether the weights of all norms are pruned too."""


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune every matrix in the scope; the magnitudes of several are held together only to compare them.

    Raises:
        MethodError: The model has none, or the sparsity removes nothing or all of one.
    """
    from stages.compression.pruning import lowest, lowest_overall, prune_count

    matrices = subject.matrices(config.scope, embeddings=config.embeddings, norms=config.norms)
    if config.granularity == "global":
        sizes = [matrix.get().abs() for matrix in matrices]
        count = prune_count(sum(size.numel() for size in sizes), config.sparsity, "the model")
        for matrix, mask in zip(matrices, lowest_overall(sizes, count), strict=True):
            matrix.assign(matrix.get().masked_fill(mask, 0.0))
        return
    for matrix in matrices:
        weight = matrix.get()
        count = prune_count(weight.numel(), config.sparsity, matrix.name)
        matrix.assign(weight.masked_fill(lowest(weight.abs(), count), 0.0))
