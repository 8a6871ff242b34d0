"""int8 layers over a pack against torch's own kernel, one sequence a call."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.scoring import attention, choose, packed
from stages.scoring.engine import Scorer
from stages.scoring.grouped import GroupedRunner
from stages.scoring.packing import packs
from stages.scoring.quantized import SequenceLinear, dequantize, to_integers, token_ranges
from tests.scoring.tiny import make_int8


def one_pack(lengths):
    (pack,) = packs([tuple(range(length)) for length in sorted(lengths)], 10_000, share_prefixes=False)
    return pack


def test_ranges_by_hand():
    # First sequence: -1 .. 1.54, so scale 2.54 / 127 = 0.02 and zero point 1 / 0.02 = 50.
    # Second: 0.254 .. 0.508, with zero included 0 .. 0.508: scale 0.004, zero point 0.
    scales, zeros = token_ranges(one_pack([1, 2]), torch.tensor([[-1.0, 1.54], [0.254, 0.3], [0.4, 0.508]]))
    torch.testing.assert_close(scales, torch.tensor([0.02, 0.004, 0.004]))
    assert zeros.tolist() == [50, 0, 0]
    # -1 / 0.02 = -50; 1.54 / 0.02 = 77; stored with 128 added.
    integers = to_integers(torch.tensor([[-1.0, 1.54]]), scales[:1], zeros[:1])
    assert integers.tolist() == [[78, 205]]


def test_activations_that_are_all_zero():
    scales, zeros = token_ranges(one_pack([2]), torch.zeros(2, 3))
    assert scales.tolist() == pytest.approx([0.1, 0.1])
    assert zeros.tolist() == [0, 0]


def test_dequantize():
    assert dequantize(torch.tensor([[6.0, -4.0]]), torch.tensor([0.5]), torch.tensor([1.0, 2.0])).tolist() == [[4, 0]]
    assert dequantize(torch.tensor([[6.0, -4.0]]), torch.tensor([0.5]), None).tolist() == [[3, -2]]


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8), seed=st.integers(0, 10_000),
    spread=st.sampled_from([1e-4, 0.1, 1.0, 50.0]), shift=st.sampled_from([-2.0, 0.0, 2.0]), bias=st.booleans(),
)  # fmt: skip
def test_a_pack_equals_the_kernel_sequence_by_sequence(lengths, seed, spread, shift, bias):
    torch.manual_seed(seed)
    float_layer = torch.nn.Sequential(torch.nn.Linear(48, 40, bias=bias))
    (kernel,) = torch.ao.quantization.quantize_dynamic(float_layer, {torch.nn.Linear}, dtype=torch.qint8)
    pack = one_pack(lengths)
    x = spread * (torch.randn(sum(lengths), 48) + shift)
    with torch.inference_mode(), attention.packed(pack, 100):
        found = SequenceLinear(kernel)(x[None])[0]
    expected = torch.cat([kernel(x[path]) for path in pack.paths])
    # An activation rounded to the next integer would be off by a step of one weight, far above this.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7 * float(expected.abs().max()))


def test_without_a_fast_integer_product_sentences_are_run_one_by_one(monkeypatch):
    monkeypatch.setattr(packed, "has_fast_integers", lambda: False)
    monkeypatch.setattr(choose, "_told", set())
    runner = Scorer(make_int8("bert", "masked"))._runner
    assert isinstance(runner, GroupedRunner)
    assert runner._token_budget == 1
