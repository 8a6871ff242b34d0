"""GPTQ against the optimal-brain-surgeon recursion it is derived from."""

import numpy as np
import pytest
import torch

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.calibration import calibration_inputs
from stages.compression.layerwise import input_sums, walk_layers
from stages.compression.methods import gptq
from stages.compression.methods.round_to_nearest import Config as Nearest
from stages.compression.methods.round_to_nearest import round_weight
from tests.compression.problem import problem


def config(**settings):
    return gptq.Config(**({"method": "gptq", "bits": 3} | settings))


def reference(weight, hessian, bits, size, symmetric, damping):
    """One column after the other; the inverse Hessian of the columns left is computed anew each time (float64)."""
    weight, hessian = weight.double().numpy().copy(), hessian.double().numpy()
    columns = weight.shape[1]
    hessian = hessian + damping * np.diag(hessian).mean() * np.eye(columns)
    values = np.zeros_like(weight)
    for column in range(columns):
        if column % size == 0:
            group = weight[:, column : column + size]
            if symmetric:
                top = 2 ** (bits - 1) - 1
                bottom, zero, scale = -top, 0, np.abs(group).max(axis=1) / top
            else:
                low, high = np.minimum(group.min(axis=1), 0), np.maximum(group.max(axis=1), 0)
                scale = (high - low) / (2**bits - 1)
                zero, bottom, top = np.rint(-low / scale), 0, 2**bits - 1
        code = np.clip(np.rint(weight[:, column] / scale) + zero, bottom, top) - zero
        values[:, column] = code * scale
        inverse = np.linalg.inv(hessian[column:, column:])
        error = (weight[:, column] - values[:, column]) / inverse[0, 0]
        weight[:, column:] -= np.outer(error, inverse[0])
    return torch.from_numpy(values).float()


@pytest.mark.parametrize(("columns", "group_size"), [(24, None), (150, None), (64, 16), (180, 60), (200, 100)])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4])
def test_integers_are_those_of_the_recursion(columns, group_size, symmetric, bits):
    # 150, 180 and 200 columns go over the 128 that are worked on at once; groups of 60 and 100 straddle them.
    weight, hessian, _ = problem(6, columns)
    settings = config(bits=bits, symmetric=symmetric, group_size=group_size,
                      granularity="group" if group_size else "channel")
    integers, grid = gptq.round_with_feedback(weight, hessian, settings, "w")
    found = grid.values(integers.reshape(grid.scale.shape[0], -1)).view(weight.shape)
    expected = reference(weight, hessian, bits, group_size or columns, symmetric, 0.01)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_independent_inputs_give_rounding_to_nearest():
    weight, _, _ = problem(8, 40)
    form = gptq.best_of_both(weight, torch.eye(40) * 3, config(bits=4), "w", False)
    nearest = round_weight(weight, Nearest(method="round_to_nearest", bits=4), "w", False)
    assert torch.equal(form.weight(), nearest.weight())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_no_row_does_worse_than_rounding_to_nearest(seed, bits):
    weight, hessian, inputs = problem(16, 48, seed)
    nearest = round_weight(weight, Nearest(method="round_to_nearest", bits=bits), "w", False).weight()
    found = gptq.best_of_both(weight, hessian, config(bits=bits), "w", False).weight()
    ours, theirs = (((inputs @ (rounded - weight).T).double() ** 2).sum(dim=0) for rounded in (found, nearest))
    assert (ours <= theirs * (1 + 1e-5)).all()
    assert ours.sum() < 0.8 * theirs.sum()


def test_an_input_that_is_never_active_is_rounded_to_nearest():
    weight, hessian, _ = problem(4, 20)
    hessian[7], hessian[:, 7] = 0.0, 0.0
    form = gptq.best_of_both(weight, hessian, config(bits=4), "w", False)
    nearest = round_weight(weight, Nearest(method="round_to_nearest", bits=4), "w", False)
    assert torch.equal(form.weight()[:, 7], nearest.weight()[:, 7])


@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "gpt2"])
def test_every_layer_of_a_model_does_better_than_rounding_to_nearest(kind, subject, corpus):
    """Each layer's error on its own calibration inputs, which come from the rounded layers below."""
    ours, context = subject(kind), Context(0, corpus)
    settings = config(bits=3, sequences=16, length=20)
    original = {matrix.name: matrix.get() for matrix in ours.matrices("layers")}
    gptq.compress(ours, settings, context)
    for visit in walk_layers(ours, calibration_inputs(ours, context, 16, 20, 0.15)):
        for name, hessian in input_sums(visit, lambda inputs: inputs.T @ inputs).items():
            matrix = next(matrix for matrix in visit.matrices if matrix.name == name)
            weight = original[name]
            nearest = round_weight(weight, Nearest(method="round_to_nearest", bits=3), "w", False).weight()
            errors = [float(torch.trace((rounded - weight) @ hessian @ (rounded - weight).T))
                      for rounded in (matrix.get(), nearest)]
            assert errors[0] <= errors[1], name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 9}, "bits"), ({"bits": 1}, "bits"), ({"damping": 0}, "damping"), ({"sequences": 0}, "sequences"),
        ({"granularity": "group"}, "group_size belongs"), ({"granularity": "tensor"}, "granularity"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant({"method": "gptq", "bits": 4} | settings, "variants.x")


def test_a_group_that_does_not_divide_a_row_is_refused():
    weight, hessian, _ = problem(4, 20)
    with pytest.raises(MethodError, match="w: groups of 8 do not divide its rows of 20"):
        gptq.round_with_feedback(weight, hessian, config(granularity="group", group_size=8), "w")


def test_inputs_too_alike_for_the_damping_are_refused():
    weight, inputs = torch.randn(4, 20), torch.ones(50, 20)
    with pytest.raises(MethodError, match=r"w: its inputs .* too alike for a damping of 1e-18.*raise damping"):
        gptq.round_with_feedback(weight, inputs.T @ inputs, config(damping=1e-18), "w")
    assert gptq.round_with_feedback(weight, inputs.T @ inputs, config(), "w")[0].shape == (4, 20)
