"""AWQ against a literal search in numpy, and the form that its weights are stored in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.calibration import calibration_inputs
from stages.compression.forms import Reader
from stages.compression.layerwise import input_sums, walk_layers
from stages.compression.methods import awq
from stages.compression.methods.round_to_nearest import Config as Nearest
from stages.compression.methods.round_to_nearest import round_weight
from stages.compression.scaled import ScaledIntegers
from tests.compression.problem import errors, problem


def config(**settings):
    return awq.Config(**({"method": "awq", "bits": 3} | settings))


def salient(seed=0):
    """A problem in which a few inputs are far larger than the others."""
    weight, _, inputs = problem(16, 48, seed)
    inputs[:, ::12] *= 12.0
    return weight, inputs


def best(weight, inputs, settings):
    return awq.best_scaled(weight, inputs.T @ inputs, inputs.abs().mean(dim=0), settings, "w", False)


def reference(weight, inputs, bits, size, symmetric, alphas):
    """The literal search over the outputs themselves (float64): values and alpha."""
    weight, inputs = weight.double().numpy(), inputs.double().numpy()
    tried = []
    for step in range(alphas):
        scales = np.abs(inputs).mean(axis=0) ** (step / alphas)
        scales = scales / np.sqrt(scales.max() * scales.min())
        groups = (weight * scales).reshape(-1, size)
        if symmetric:
            top = 2 ** (bits - 1) - 1
            unit = np.abs(groups).max(axis=1, keepdims=True) / top
            values = np.clip(np.rint(groups / unit), -top, top) * unit
        else:
            low = np.minimum(groups.min(axis=1, keepdims=True), 0)
            unit = (np.maximum(groups.max(axis=1, keepdims=True), 0) - low) / (2**bits - 1)
            zero = np.rint(-low / unit)
            values = (np.clip(np.rint(groups / unit) + zero, 0, 2**bits - 1) - zero) * unit
        values = values.reshape(weight.shape) / scales
        tried.append((((inputs @ (values - weight).T) ** 2).sum(), step, values))
    _, step, values = min(tried, key=lambda row: row[:2])
    return torch.from_numpy(values).float(), step


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "group_size"), [(3, None), (4, 16), (2, 12)])
def test_values_are_those_of_the_literal_search(seed, symmetric, bits, group_size):
    weight, inputs = salient(seed)
    grouped = {"granularity": "group", "group_size": group_size} if group_size else {}
    form = best(weight, inputs, config(bits=bits, symmetric=symmetric, alphas=10, **grouped))
    expected, step = reference(weight, inputs, bits, group_size or 48, symmetric, 10)
    assert step > 0
    torch.testing.assert_close(form.weight(), expected, rtol=1e-5, atol=1e-5)


def test_scales_by_hand():
    # Square roots of 16, 1 and 4 are 4, 1 and 2; the geometric mean of 4 and 1 is 2. An idle input counts as 1e-4.
    assert awq.column_scales(torch.tensor([16.0, 1.0, 4.0]), 0.5).tolist() == [2.0, 0.5, 1.0]
    assert awq.column_scales(torch.tensor([16.0, 0.0, 4.0]), 0.0).tolist() == [1.0, 1.0, 1.0]
    assert awq.column_scales(torch.tensor([1.0, 0.0]), 0.5).tolist() == pytest.approx([100.0, 0.01])


@pytest.mark.parametrize("settings", [{}, {"symmetric": False}, {"granularity": "group", "group_size": 16}], ids=str)
def test_alpha_zero_is_rounding_to_nearest(settings):
    weight, inputs = salient()
    nearest = round_weight(weight, Nearest(method="round_to_nearest", bits=3, **settings), "w", False)
    assert torch.equal(best(weight, inputs, config(alphas=1, **settings)).weight(), nearest.weight())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_error_is_at_most_that_of_rounding_to_nearest(bits):
    weight, inputs = salient()
    nearest = round_weight(weight, Nearest(method="round_to_nearest", bits=bits), "w", False).weight()
    ours, theirs = errors(weight, (best(weight, inputs, config(bits=bits)).weight(), nearest), inputs)
    assert ours < 0.7 * theirs
    # Inputs all alike leave nothing to gain from scaling.
    even = 48.0 * torch.eye(48)
    assert torch.equal(best(weight, even, config(bits=bits)).weight(), nearest)


@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "gpt2"])
def test_no_layer_of_a_model_does_worse_than_rounding_to_nearest(kind, subject, corpus):
    """Each matrix' error on its own calibration inputs, which come from the rounded layers below."""
    ours = subject(kind)
    original = {matrix.name: matrix.get() for matrix in ours.matrices("layers")}
    awq.compress(ours, config(sequences=16, length=20), Context(0, corpus))
    better = 0
    for visit in walk_layers(ours, calibration_inputs(ours, Context(0, corpus), 16, 20, 0.15)):
        hessians = input_sums(visit, lambda inputs: inputs.T @ inputs)
        for matrix in visit.matrices:
            weight, found = original[matrix.name], matrix.get()
            nearest = round_weight(weight, Nearest(method="round_to_nearest", bits=3), "w", False).weight()
            made, near = (float(torch.trace(change @ hessians[matrix.name].double() @ change.T))
                          for change in ((rounded - weight).double() for rounded in (found, nearest)))
            assert made <= near, matrix.name
            better += made < near
            assert torch.equal(ours.values(matrix.name), ours.forms[matrix.name].weight())
    assert better > len(original) // 2


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("settings", [{}, {"symmetric": False, "granularity": "group", "group_size": 16}], ids=str)
def test_the_form_comes_back_from_its_parts_bit_for_bit(transposed, settings):
    weight, inputs = salient()
    scales = awq.column_scales(inputs.abs().mean(dim=0), 0.5)
    form = awq.round_scaled(weight, scales, config(**settings), "w", transposed)
    tensors = {f"w{suffix}": part for suffix, part in form.parts.items()}
    reader = Reader(dict(tensors), Path("weights"))
    back = ScaledIntegers.read(form.facts, "w", (48, 16) if transposed else (16, 48), reader)
    assert not reader.tensors
    assert torch.equal(back.weight(), form.weight())
    plain = awq.round_scaled(weight, scales, config(**settings), "w", False).weight()
    assert torch.equal(form.weight(), plain.T if transposed else plain)
    # 3 bits a weight, 32 a row or group (and 3 for its zero point), 32 a column.
    blocks, zero = (16, 0) if not settings else (48, 3)
    assert form.logical_bits == 3 * 16 * 48 + blocks * (32 + zero) + 32 * 48
    assert form.logical_bits == 8 * sum(part.numel() * part.element_size() for part in tensors.values())


@pytest.mark.parametrize(("settings", "message"), [
    ({"bits": 1}, "bits"), ({"bits": 9}, "bits"), ({"alphas": 0}, "alphas"), ({"length": 1}, "length"),
    ({"granularity": "group"}, "group_size belongs to"), ({"group_size": 16}, "group_size belongs to"),
])
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant({"method": "awq", "bits": 4} | settings, "variants.x")


def test_a_group_that_does_not_divide_a_row_is_refused():
    weight, inputs = salient()
    with pytest.raises(MethodError, match="w: groups of 10 do not divide its rows of 48"):
        best(weight, inputs, config(granularity="group", group_size=10))
