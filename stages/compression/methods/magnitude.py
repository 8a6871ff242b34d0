"""The smallest weights set to zero, layer by layer or over the whole model (Han et al. 2015, arXiv 1506.02626)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from torch import Tensor

    from stages.compression.subject import Subject

VERSION = 1


class Config(MethodConfig):
    """Settings of ``magnitude``."""

    method: Literal["magnitude"]
    sparsity: float = Field(gt=0, lt=1)
    """Share of the weights in the scope that become zero."""
    granularity: Literal["matrix", "global"] = "matrix"
    """Compare weights within each matrix, or over all of them together."""
    scope: Literal["layers", "linear", "all"] = "layers"
    """Matrices of the transformer's layers, every linear map, or the embeddings too."""


def masks(weights: dict[str, Tensor], sparsity: float, granularity: str) -> dict[str, Tensor]:
    """What to set to zero in each of some matrices: bool tensors, true where pruned.

    Raises:
        MethodError: The sparsity removes nothing, or all.
    """
    from stages.compression.pruning import lowest, lowest_overall, prune_count

    sizes = {name: weight.abs() for name, weight in weights.items()}
    if granularity == "global":
        count = prune_count(sum(size.numel() for size in sizes.values()), sparsity, "the model")
        return dict(zip(sizes, lowest_overall(list(sizes.values()), count), strict=True))
    return {name: lowest(size, prune_count(size.numel(), sparsity, name)) for name, size in sizes.items()}


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Prune every matrix in the scope.

    Raises:
        MethodError: The model has none, or the sparsity removes nothing or all of one.
    """
    matrices = {matrix.name: matrix for matrix in subject.matrices(config.scope)}
    weights = {name: matrix.get() for name, matrix in matrices.items()}
    for name, mask in masks(weights, config.sparsity, config.granularity).items():
        matrices[name].assign(weights[name].masked_fill(mask, 0.0))
