"""Modules that compute otherwise than the architecture's own, put in place when an artefact is opened.

``int8_dynamic``   the int8 Linear of ``torch.ao`` dynamic quantization (``stages.compression.int8``);
                   its activation range is that of the whole call, so a caller passes one sequence.
``rounded_input``  the architecture's own module behind inputs rounded token by token; a token's
                   result depends on no other token of the call.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from stages.common.errors import ModelError
from stages.compression.forms import Form
from stages.compression.int8 import int8_linear
from stages.compression.int8_weights import DerivedInt8, Int8
from stages.compression.rounding import Grid

INTEGER_KINDS = {"int8_dynamic"}
"""Kinds that compute with the stored integers, so that no float32 weight is ever made of them."""


class RoundedInput(nn.Module):  # type: ignore[misc]
    """A linear map whose inputs are rounded to an even asymmetric grid over each token's range.

    Args:
        linear: ``nn.Linear`` (or GPT-2's ``Conv1D``) that takes the rounded inputs, in float32.
        bits: Bits of the inputs, 2 to 16.
    """

    def __init__(self, linear: nn.Module, bits: int) -> None:
        super().__init__()
        self.linear, self.bits = linear, bits

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs of shape [..., in] to outputs of shape [..., out]."""
        tokens = inputs.reshape(-1, inputs.shape[-1])
        grid = Grid.of(tokens, self.bits, symmetric=False)
        outputs: Tensor = self.linear(grid.values(grid.integers(tokens)).view(inputs.shape))
        return outputs

    @property
    def weight(self) -> Tensor:
        """Of the linear map; architectures look at its type."""
        weight: Tensor = self.linear.weight
        return weight

    @property
    def bias(self) -> Tensor | None:
        """Of the linear map."""
        bias: Tensor | None = self.linear.bias
        return bias


def build_module(module: Any, facts: dict[str, Any], form: Form | None) -> Any:
    """The module to put in the place of ``module``.

    Args:
        module: The architecture's own module, with its bias, and its weight where that is float32.
        facts: What ``method.json`` says of it.
        form: The stored weight, for a kind that computes with integers.

    Raises:
        ModelError: The kind is not known, or torch lacks the quantization engine.
    """
    if facts["kind"] == "int8_dynamic" and isinstance(form, (Int8, DerivedInt8)):
        bias = None if module.bias is None else module.bias.detach()
        return int8_linear(form, bias, facts["engine"], facts["reduce_range"])
    if facts["kind"] == "rounded_input":
        return RoundedInput(module, int(facts["bits"]))
    raise ModelError(f"module kind {facts['kind']!r} is not known", fix="compress the model again")
