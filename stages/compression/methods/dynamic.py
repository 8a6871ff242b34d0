"""Dynamic int8 quantization with the choices that ``int8_dynamic`` leaves unsaid, each to be switched by itself.

As it stands by default it is ``int8_dynamic``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from stages.compression import Context, MethodConfig

if TYPE_CHECKING:
    from stages.compression.subject import Subject

VERSION = 1
_EMBEDDING_BITS = 8


class Config(MethodConfig):
    """Settings of ``dynamic``."""

    method: Literal["dynamic"]
    weights: Literal["tensor", "channel"] = "tensor"
    """What shares a scale: the whole matrix, or one output channel."""
    activations: Literal["reduced", "full"] = "reduced"
    """7 of the 8 bits for activations, or all; on CPUs without VNNI all can overflow, which is part of the effect."""
    head: bool = True
    """Quantize the language-model head's vocabulary matrix too."""
    embeddings: bool = False
    """Round the embeddings too: 8 bits, each row over its own range; a tied head that stays float32 shares them."""
    engine: Literal["x86", "fbgemm", "onednn", "qnnpack"] = "x86"
    """Quantization engine of torch; ``x86`` is its default."""

    @property
    def last(self) -> bool:
        """It computes in integers, so no later step can work on float32 weights."""
        return True


def compress(subject: Subject, config: Config, context: Context) -> None:
    """Quantize the linear maps of a subject.

    Raises:
        MethodError: The model has none.
        ModelError: This build of torch has no such engine.
    """
    from torch import nn

    from stages.compression.methods import int8_dynamic
    from stages.compression.rounding import Grid, Integers

    linears = int8_dynamic.find_linears(subject)
    if not config.head:
        head = subject.model.get_output_embeddings()
        linears = {name: linear for name, linear in linears.items() if linear is not head}
    # The head's integers come from the float32 weights, so rounded embeddings cannot give them again.
    int8_dynamic.quantize_linears(
        subject, linears, config.engine, per_channel=config.weights == "channel",
        reduce_range=config.activations == "reduced", derive=not config.embeddings,
    )
    if config.embeddings:
        for matrix in subject.matrices("all"):
            if isinstance(matrix.module, nn.Embedding):
                rows = matrix.get()
                grid = Grid.of(rows, _EMBEDDING_BITS, symmetric=False)
                form = Integers.of(grid.integers(rows), grid, tuple(rows.shape), False, matrix.name)
                subject.store(matrix.name, form)
