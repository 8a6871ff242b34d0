"""round_to_nearest and dynamic against torchao, where both define the same thing.

Not collected with the other tests, but by name, with torchao on the path and not beside transformers:
there, transformers would import it in every stage, and its reports would be every stage's.

They differ by definition in three places. For symmetric grids torchao's ready-made configs spread
max |w| over (2**b - 1) / 2 steps and use the integer -2**(b-1) as well; ``round_to_nearest`` spreads it over
2**(b-1) - 1 and does not, so that torchao's own operators are asked here for that range. For int8
weights the former is what ``torch.ao`` does, and so ``dynamic``. Dynamic activations are symmetric in each
token in torchao's configs; in ``dynamic`` they are torch.ao's, asymmetric over the whole text, and in
``round_to_nearest`` asymmetric in each token, which torchao offers for 8 bits alone.
"""

import pytest
import torch
from torch import nn
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis, PerGroup
from torchao.quantization.quant_primitives import (
    MappingType,
    choose_qparams_affine,
    dequantize_affine,
    quantize_affine,
)

from stages.compression.int8_weights import quantize_weight
from stages.compression.methods.round_to_nearest import Config, round_weight

OUT, INTO = 48, 256


@pytest.fixture
def weight():
    return torch.randn(OUT, INTO, generator=torch.Generator().manual_seed(0))


def rounded(weight, bits, granularity, group_size, symmetric):
    return round_weight(weight, Config(method="round_to_nearest", bits=bits, granularity=granularity,
                                       group_size=group_size, symmetric=symmetric), "w", False)


def torchaos(weight, config):
    """The weight of a Linear after torchao quantized it."""
    model = nn.Sequential(nn.Linear(INTO, OUT, bias=False))
    model[0].weight.data = weight.clone()
    quantize_(model, config)
    return model[0].weight


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize(("granularity", "group_size", "block"), [
    ("tensor", None, (OUT, INTO)), ("channel", None, (1, INTO)), ("group", 64, (1, 64)), ("group", 32, (1, 32))])
def test_symmetric_scales_integers_and_values(bits, granularity, group_size, block, weight):
    top = 2 ** (bits - 1) - 1
    limits = (torch.int8, -top, top)
    scale, zero = choose_qparams_affine(weight, MappingType.SYMMETRIC, block, *limits)
    integers = quantize_affine(weight, block, scale, zero, *limits)
    form = rounded(weight, bits, granularity, group_size, True)
    assert not zero.any()
    assert torch.equal(form.grid.scale.flatten(), scale.flatten())
    assert torch.equal(form.codes.view(OUT, INTO).int() - top, integers.int())
    assert torch.equal(form.weight(), dequantize_affine(integers, block, scale, zero, *limits))


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group_size", [None, 32, 64])
def test_asymmetric_scales_zero_points_integers_and_values(bits, group_size, weight):
    granularity = PerAxis(0) if group_size is None else PerGroup(group_size)
    theirs = torchaos(weight, IntxWeightOnlyConfig(
        weight_dtype=getattr(torch, f"int{bits}"), granularity=granularity, mapping_type=MappingType.ASYMMETRIC))
    form = rounded(weight, bits, "group" if group_size else "channel", group_size, False)
    middle = 2 ** (bits - 1)  # their integers start at -middle
    assert torch.equal(form.grid.scale.flatten(), theirs.scale.flatten())
    assert torch.equal(form.grid.zero.flatten().int() - middle, theirs.zero_point.flatten().int())
    assert torch.equal(form.codes.view(OUT, INTO).int() - middle, theirs.qdata.int())
    assert torch.equal(form.weight(), theirs.dequantize())


def test_weights_of_dynamic_int8(weight):
    theirs = torchaos(weight, Int8DynamicActivationInt8WeightConfig())
    integers, scale = quantize_weight(weight, per_channel=True)
    assert torch.equal(scale, theirs.scale)
    assert torch.equal(integers, theirs.qdata)
