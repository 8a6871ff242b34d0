"""round_to_nearest against a few lines of numpy and torch's own quantized tensors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.methods import round_to_nearest
from stages.compression.methods.round_to_nearest import Config, round_weight
from stages.compression.rounding import Grid, Integers
from stages.compression.runtime import RoundedInput
from stages.models.load import load_model

NAN, INF = math.nan, math.inf
GRAINS = [("tensor", None), ("channel", None), ("group", 8)]


def config(bits, **settings):
    return Config(method="round_to_nearest", bits=bits, **settings)


def rounded(weight, bits, granularity="channel", group_size=None, symmetric=True):
    chosen = config(bits, granularity=granularity, group_size=group_size, symmetric=symmetric)
    return round_weight(weight, chosen, "w", False)


def reference(weight, bits, granularity, group_size, symmetric):
    """Each block by itself, as the formulas in ``stages.compression.rounding`` read."""
    weight = weight.numpy()
    size = {"tensor": weight.size, "channel": weight.shape[1], "group": group_size}[granularity]
    result = []
    for block in weight.reshape(-1, size):
        if symmetric:
            top = 2 ** (bits - 1) - 1
            scale = np.float32(np.abs(block).max()) / np.float32(top)
            result.append(np.clip(np.rint(block / scale), -top, top).astype(np.float32) * scale)
        else:
            low, high = np.float32(min(block.min(), 0)), np.float32(max(block.max(), 0))
            scale = (high - low) / np.float32(2**bits - 1)
            zero = np.rint(-low / scale)
            result.append((np.clip(np.rint(block / scale) + zero, 0, 2**bits - 1) - zero).astype(np.float32) * scale)
    return torch.from_numpy(np.concatenate(result).reshape(weight.shape))


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8, 16])
@pytest.mark.parametrize(("granularity", "group_size"), GRAINS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_are_numpys(bits, granularity, group_size, symmetric):
    weight = torch.randn(12, 40, generator=torch.Generator().manual_seed(bits))
    found = rounded(weight, bits, granularity, group_size, symmetric).weight()
    assert torch.equal(found, reference(weight, bits, granularity, group_size, symmetric))
    assert len(found.flatten().unique()) <= 2**bits * (1 if granularity == "tensor" else 480)


def test_integers_are_torchs_quantized_tensors():
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    form = rounded(weight, 8)
    scale = form.grid.scale.flatten().double()
    theirs = torch.quantize_per_channel(weight, scale, torch.zeros(16, dtype=torch.int64), 0, torch.qint8)
    assert torch.equal(form.codes.int() - 127, theirs.int_repr().int())


def test_three_bits_by_hand():
    # Symmetric: integers -3 .. 3, scale 3/3 = 1. 0.5 and 2.5 are halves and go to the even neighbour.
    weight = torch.tensor([[3.0, 0.5, -2.5, 1.4]])
    assert rounded(weight, 3).weight().tolist() == [[3.0, 0.0, -2.0, 1.0]]
    # Asymmetric: range -2.5 .. 3, scale 5.5/7, zero = round(3.18) = 3, integers 7 (3.82 + 3, held), 4, 0, 5.
    form = rounded(weight, 3, symmetric=False)
    assert form.codes.tolist() == [[7, 4, 0, 5]]
    assert form.grid.zero.tolist() == [[3.0]]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.booleans(), st.sampled_from(GRAINS), st.integers(0, 10**6),
       st.sampled_from([1e-6, 1, 1e4]))
def test_error_is_within_half_a_step_and_rounding_twice_changes_nothing(bits, symmetric, grain, seed, size):
    weight = size * torch.randn(4, 16, generator=torch.Generator().manual_seed(seed))
    weight[1] = 0.0
    form = rounded(weight, bits, *grain, symmetric)
    once = form.weight()
    blocks = (once - weight).view(form.codes.shape)
    assert (blocks.abs() <= form.grid.scale * (0.5 + 2**-9)).all()
    assert (once[1] == 0).all()
    again = rounded(once, bits, *grain, symmetric)
    # The scale comes back up to the last float32 digit, so the integers are equal and the values nearly.
    assert torch.allclose(again.weight(), once, rtol=3e-7 if symmetric else 2 ** (bits - 22), atol=0)


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8, 16])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("granularity", "group_size"), [("channel", None), ("group", 64)])
def test_bytes_are_those_of_the_bits(bits, symmetric, granularity, group_size):
    form = rounded(torch.randn(192, 768), bits, granularity, group_size, symmetric)
    stored = sum(part.numel() * part.element_size() for part in form.parts.values())
    blocks = 192 * (768 // group_size if group_size else 1)
    zeros = 0 if symmetric else bits * blocks
    assert form.logical_bits == bits * 192 * 768 + 32 * blocks + zeros
    assert stored == -(-form.logical_bits // 8)
    if bits == 4:
        assert stored <= 0.30 * 2 * 192 * 768


@pytest.mark.parametrize("scope", ["layers", "linear", "all"])
def test_scope_says_what_is_touched(scope, subject):
    bert, untouched = subject("bert"), subject("bert")
    round_to_nearest.compress(bert, config(4, scope=scope), Context())
    before = dict(untouched.model.named_parameters(remove_duplicate=False))
    changed = {name for name, value in bert.model.named_parameters(remove_duplicate=False)
               if not torch.equal(value, before[name])}
    layers = {name for name in before if ".layer." in name and before[name].dim() == 2}
    head = {"cls.predictions.decoder.weight", "cls.predictions.transform.dense.weight"}
    embeddings = {f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")}
    assert changed == {"layers": layers, "linear": layers | head, "all": layers | head | embeddings}[scope]
    tied = bert.model.get_output_embeddings().weight is bert.model.get_input_embeddings().weight
    assert tied == (scope != "linear")


def test_gpt2s_transposed_matrices_are_rounded_by_output(subject):
    gpt2 = subject("gpt2")
    weight = gpt2.model.get_parameter("transformer.h.0.mlp.c_fc.weight").detach().clone()
    round_to_nearest.compress(gpt2, config(4), Context())
    expected = reference(weight.T.contiguous(), 4, "channel", None, True).T
    assert torch.equal(gpt2.model.get_parameter("transformer.h.0.mlp.c_fc.weight"), expected)


def test_sixteen_bits_change_no_preference(compress, checkpoints, outputs):
    folder, _ = compress("bert", {"method": "round_to_nearest", "bits": 16, "scope": "all"})
    pairs = zip(outputs(open_model(folder, "masked").model), outputs(load_model(checkpoints / "bert", "masked").model),
                strict=True)
    for ours, theirs in pairs:
        # No pair of words more than 4e-4 apart in logit changes its order.
        assert (ours - theirs).abs().max() < 2e-4
        assert torch.equal(ours.argmax(dim=-1), theirs.argmax(dim=-1))


def test_rounded_inputs_do_not_depend_on_neighbours():
    inputs = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1))
    inputs[1] *= 100
    module = RoundedInput(nn.Identity(), 4)
    assert torch.equal(module(inputs)[0, 2], module(inputs[0, 2]))
    expected = reference(inputs.view(-1, 16), 4, "channel", None, False).view(3, 5, 16)
    assert torch.equal(module(inputs), expected)


def test_activations_are_rounded_when_opened(compress):
    folder, _ = compress("gpt_neox", {"method": "round_to_nearest", "bits": 8, "activation_bits": 4})
    model = open_model(folder, "causal").model
    wrapped = {name for name, module in model.named_modules() if isinstance(module, RoundedInput)}
    # query_key_value, dense and two of the MLP, in each of three layers.
    assert len(wrapped) == 12
    assert not any(name.startswith("embed_out") for name in wrapped)


@pytest.mark.parametrize(("bits", "activation_bits"), [(8, 16), (8, 8), (6, 6), (4, 4)])
@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
def test_weights_and_activations_rounded_together(bits, activation_bits, kind, compress, subject, family, outputs):
    """Reference: the architecture's own modules, with numpy's rounding of weights beforehand and of inputs in hooks."""
    folder, _ = compress(kind, {"method": "round_to_nearest", "bits": bits, "activation_bits": activation_bits})
    model = subject(kind).model

    def round_inputs(module, args):
        flat = args[0].reshape(-1, args[0].shape[-1])
        return (reference(flat, activation_bits, "channel", None, False).view(args[0].shape),)

    for matrix in subject(kind).matrices("layers"):
        module = model.get_submodule(matrix.module_name)
        module.weight.data = reference(module.weight.detach(), bits, "channel", None, True)
        module.register_forward_pre_hook(round_inputs)
    for ours, theirs in zip(outputs(open_model(folder, family[kind]).model), outputs(model), strict=True):
        assert torch.equal(ours, theirs)


def test_a_block_of_zeros():
    assert Grid.of(torch.zeros(1, 4), 4, True).scale.tolist() == [[1.0]]
    assert Grid.of(torch.zeros(1, 4), 4, False).zero.tolist() == [[0.0]]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("row", [[NAN, 1.0, 2.0, 3.0], [1.0, INF, 2.0, 3.0], [1.0, -INF, INF, 3.0], [NAN] * 4])
@pytest.mark.parametrize(("granularity", "group_size"), [("tensor", None), ("channel", None), ("group", 2)])
def test_what_is_no_number_is_refused_by_name(row, symmetric, granularity, group_size):
    weight = torch.tensor([[1.0, 2.0, 3.0, 4.0], row])
    with pytest.raises(MethodError, match=r"^w: holds NaN, infinity, or values too far apart to round$"):
        rounded(weight, 4, granularity, group_size, symmetric)


def test_a_range_beyond_float32_is_refused():
    weight = torch.tensor([[3e38, -3e38]])
    assert rounded(weight, 4).weight().isfinite().all()
    with pytest.raises(MethodError, match="too far apart"):
        rounded(weight, 4, symmetric=False)


def test_integers_that_feedback_made_nan_are_refused():
    grid = Grid.of(torch.ones(1, 3), 4, True)
    with pytest.raises(MethodError, match=r"^head: holds NaN"):
        Integers.of(torch.tensor([[1.0, NAN, 2.0]]), grid, (1, 3), False, "head")


@pytest.mark.parametrize("bad", [NAN, INF])
def test_inputs_that_are_no_number_stay_so(bad):
    module = RoundedInput(nn.Linear(3, 2), 8)
    found = module(torch.tensor([[1.0, bad, 2.0], [1.0, 0.5, 2.0]]))
    assert found[0].isnan().all()
    assert found[1].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 1}, "bits: .*greater than or equal to 2"),
        ({"bits": 17}, "bits: .*less than or equal to 16"),
        ({"bits": 4, "granularity": "group"}, "group_size belongs to granularity 'group'"),
        ({"bits": 4, "group_size": 64}, "group_size belongs to granularity 'group'"),
        ({"bits": 4, "granularity": "row"}, "'tensor', 'channel' or 'group'"),
        ({"bits": 4, "activation_bits": 1}, "activation_bits"),
        ({"bits": 4, "color": "red"}, "unknown key; allowed: activation_bits, bits"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant({"method": "round_to_nearest"} | settings, "variants.x")


def test_a_group_that_does_not_divide_a_row_is_refused(compress):
    with pytest.raises(MethodError, match=r"output\.dense\.weight: groups of 32 do not divide its rows of 48"):
        compress("bert", {"method": "round_to_nearest", "bits": 4, "granularity": "group", "group_size": 32})


def test_nothing_follows_rounded_activations():
    steps = [{"method": "round_to_nearest", "bits": 8, "activation_bits": 8}, {"method": "cast"}]
    with pytest.raises(ParamsError, match="no step can follow round_to_nearest"):
        parse_variant(steps, "variants.x")
