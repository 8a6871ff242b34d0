"""int8 layers over a pack against torch's own kernel, one sequence a call."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.query import Query
from stages.compression import int8
from stages.compression.int8 import PortableLinear, int8_linear, quantized_engine
from stages.compression.int8_weights import Int8, quantize_weight
from stages.scoring import attention, integers
from stages.scoring.engine import Scorer
from stages.scoring.integers import dequantize, to_integers, token_ranges
from stages.scoring.packed import PackedRunner
from stages.scoring.packing import packs
from stages.scoring.quantized import SequenceLinear
from tests.scoring.tiny import assert_answers, make, make_int8


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
    found = to_integers(torch.tensor([[-1.0, 1.54]]), scales[:1], zeros[:1])
    assert found.tolist() == [[78, 205]]


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
        layer = SequenceLinear(kernel)
        before = layer(x[None])[0]
        layer.pack()
        assert layer._product is not None
        found = layer(x[None])[0]
    expected = torch.cat([kernel(x[path]) for path in pack.paths])
    assert torch.equal(before, expected)
    # An activation rounded to the next integer would be off by a step of one weight, far above this.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7 * float(expected.abs().max()))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("reduce_range", [True, False])
@pytest.mark.parametrize("engine", ["x86", "fbgemm", "onednn", "qnnpack"])
def test_the_definition_is_what_the_engines_compute(engine, reduce_range, per_channel):
    torch.manual_seed(0)
    weight, bias = torch.randn(40, 48), torch.randn(40)
    form = Int8(*quantize_weight(weight, per_channel))
    definition = PortableLinear(form, bias, reduce_range and engine != "qnnpack")
    with quantized_engine(engine):
        kernel = int8_linear(form, bias, engine, reduce_range)
        inputs = [torch.randn(7, 48), 1e-7 * torch.randn(3, 48), torch.rand(5, 48) + 1, torch.zeros(2, 48)]
        if engine != "onednn":  # which settles the tie at the smallest input otherwise
            half = torch.randn(4, 48)
            inputs.append(torch.cat([half, -half]))  # the largest input would come to one integer more than there is
        for x in inputs:
            expected = kernel(x)
            torch.testing.assert_close(definition(x), expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


def test_an_engine_that_torch_lacks_is_computed_by_its_definition(monkeypatch, capsys):
    form, bias = Int8(*quantize_weight(torch.randn(4, 6))), torch.randn(4)
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["none"])
    monkeypatch.setattr(int8, "_told", set())
    assert isinstance(int8_linear(form, bias, "x86", True), PortableLinear)
    int8_linear(form, bias, "x86", True)
    assert capsys.readouterr().err.count("quantization engine 'x86' is not in this build of torch") == 1


@pytest.mark.parametrize(("engine", "reduce_range", "per_channel", "own"), [
    ("x86", True, False, True), ("fbgemm", True, False, True), ("qnnpack", True, False, False),
    ("x86", False, False, False), ("x86", True, True, False),
])
def test_layers_that_compute_otherwise_keep_their_kernel(engine, reduce_range, per_channel, own):
    loaded = make.__wrapped__("bert", "masked")
    with quantized_engine(engine):
        for name in [name for name, module in loaded.model.named_modules() if type(module) is torch.nn.Linear]:
            layer = loaded.model.get_submodule(name)
            form = Int8(*quantize_weight(layer.weight.detach(), per_channel))
            loaded.model.set_submodule(name, int8_linear(form, layer.bias.detach(), engine, reduce_range))
        queries = [Query((5, 6, 7, 8), (0, 2), (9, 9)), Query((80, 9), (1,), (3,)), Query((80, 81, 9), (1,), (3,))]
        scorer = Scorer(loaded)
        assert isinstance(scorer._runner, PackedRunner)
        layers = [module for module in scorer._runner._model.modules() if isinstance(module, SequenceLinear)]
        assert {layer._product is not None for layer in layers} == {own}
        assert_answers(loaded, queries, scorer.read(queries), 1e-5)


def test_without_a_fast_integer_product_kernels_are_called_once_a_sequence(monkeypatch):
    monkeypatch.setattr(integers, "has_fast_integers", lambda: False)
    loaded = make_int8("bert", "masked")
    runner = Scorer(loaded)._runner
    assert isinstance(runner, PackedRunner)
    assert all(layer._product is None for layer in runner._model.modules() if isinstance(layer, SequenceLinear))
    queries = [Query((5, 6, 7, 8), (0, 2), (9, 9)), Query((80, 9), (1,), (3,)), Query((80, 81, 9), (1,), (3,))]
    assert_answers(loaded, queries, Scorer(loaded).read(queries), 1e-6)
