"""SparseGPT against the optimal-brain-surgeon recursion it is derived from."""

import numpy as np
import pytest
import torch

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.calibration import calibration_inputs
from stages.compression.layerwise import input_sums, walk_layers
from stages.compression.methods import semi_structured, sparsegpt
from stages.compression.pruning import lowest
from tests.compression.problem import errors, problem

TWO_OF_FOUR = {"pattern": "2:4"}


def config(**settings):
    return sparsegpt.Config(**({"method": "sparsegpt"} | settings))


def reference(weight, hessian, sparsity, width, damping):
    """Column by column, the inverse Hessian of the columns left computed anew for each (float64)."""
    weight, hessian = weight.double().numpy().copy(), hessian.double().numpy()
    rows, columns = weight.shape
    hessian = hessian + damping * np.diag(hessian).mean() * np.eye(columns)
    inverses = [np.linalg.inv(hessian[column:, column:]) for column in range(columns)]
    zero = np.zeros(weight.shape, dtype=bool)
    for column in range(columns):
        if column % width == 0:
            run = range(column, min(column + width, columns))
            # What setting one weight to zero costs, all columns before it gone (Hassibi & Stork 1992, eq. 5).
            cost = np.stack([weight[:, place] ** 2 / inverses[place][0, 0] for place in run], axis=1)
            if sparsity is None:
                for row in range(rows):
                    zero[row, column + np.argsort(cost[row])[:2]] = True
            else:
                count = round(sparsity * (rows * (run[-1] + 1))) - zero.sum()
                rank = np.empty(cost.size, dtype=int)
                rank[np.argsort(cost, axis=None)] = np.arange(cost.size)
                zero[:, run[0] : run[-1] + 1] = (rank < count).reshape(cost.shape)
        error = np.where(zero[:, column], weight[:, column], 0.0) / inverses[column][0, 0]
        weight[:, column:] -= np.outer(error, inverses[column][0])
        weight[zero[:, column], column] = 0.0
    return torch.from_numpy(weight).float()


@pytest.mark.parametrize(("columns", "width"), [(24, 128), (150, 128), (300, 128), (64, 16), (200, 60), (300, 200)])
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.83])
def test_weights_are_those_of_the_recursion(columns, width, sparsity):
    # Over 128 columns are worked on in several runs; 60 and 200 that are chosen together straddle them.
    weight, hessian, _ = problem(7, columns)
    found = sparsegpt.prune_with_feedback(weight, hessian, config(sparsity=sparsity, columns=width), "w")
    torch.testing.assert_close(found, reference(weight, hessian, sparsity, width, 0.01), rtol=1e-3, atol=1e-3)
    assert int((found == 0).sum()) == round(sparsity * weight.numel())


@pytest.mark.parametrize("columns", [8, 40, 200])
def test_two_of_four_are_those_of_the_recursion(columns):
    weight, hessian, _ = problem(9, columns, seed=1)
    found = sparsegpt.prune_with_feedback(weight, hessian, config(**TWO_OF_FOUR), "w")
    torch.testing.assert_close(found, reference(weight, hessian, None, 4, 0.01), rtol=1e-3, atol=1e-3)
    assert (found.view(-1, 4).count_nonzero(dim=1) == 2).all()


def test_independent_inputs_need_no_making_up_and_the_smallest_weights_go():
    weight, _, _ = problem(8, 40)
    found = sparsegpt.best_of_both(weight, torch.eye(40) * 3, config(sparsity=0.4), "w")
    assert torch.equal(found, weight.masked_fill(lowest(weight.abs(), 128), 0.0))


def test_one_weight_is_made_up_for_by_hand():
    # H = [[2, 1], [1, 2]] has the inverse [[2, -1], [-1, 2]] / 3, and the second column alone the inverse 1/2.
    # Costs: 1 / (2/3) = 1.5 and 4 / (1/2) = 8. The first goes: 2 - (-1/3) / (2/3) * 1 = 2.5 makes up for it.
    weight, hessian = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    found = sparsegpt.prune_with_feedback(weight, hessian, config(sparsity=0.5, damping=1e-12), "w")
    torch.testing.assert_close(found, torch.tensor([[0.0, 2.5]]))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("settings", [{"sparsity": 0.3}, {"sparsity": 0.7, "columns": 16}, TWO_OF_FOUR], ids=str)
def test_the_error_is_below_that_of_cutting_off_the_smallest(seed, settings):
    weight, hessian, inputs = problem(16, 48, seed)
    found = sparsegpt.best_of_both(weight, hessian, config(**settings), "w")
    smallest = (semi_structured.mask(weight.abs(), 2, 4, "w") if settings == TWO_OF_FOUR
                else lowest(weight.abs(), round(settings["sparsity"] * weight.numel())))
    ours, theirs = errors(weight, (found, weight.masked_fill(smallest, 0.0)), inputs)
    assert ours < 0.9 * theirs


def test_weights_of_an_input_that_is_never_active_go_first():
    weight, hessian, _ = problem(4, 20)
    hessian[7], hessian[:, 7] = 0.0, 0.0
    weight[:, 7] = 9.0
    found = sparsegpt.prune_with_feedback(weight, hessian, config(sparsity=0.05), "w")
    assert (found[:, 7] == 0).all()
    assert torch.equal(found[:, :7], weight[:, :7])
    assert torch.equal(found[:, 8:], weight[:, 8:])


@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "gpt2"])
@pytest.mark.parametrize("settings", [{"sparsity": 0.6}, TWO_OF_FOUR], ids=str)
def test_every_layer_of_a_model_does_better_than_cutting_off_the_smallest(kind, settings, subject, corpus):
    """Each layer's error on its own calibration inputs, which come from the pruned layers below."""
    ours = subject(kind)
    original = {matrix.name: matrix.get() for matrix in ours.matrices("layers")}
    sparsegpt.compress(ours, config(sequences=16, length=20, **settings), Context(0, corpus))
    for visit in walk_layers(ours, calibration_inputs(ours, Context(0, corpus), 16, 20, 0.15)):
        hessians = input_sums(visit, lambda inputs: inputs.T @ inputs)
        for matrix in visit.matrices:
            weight, found = original[matrix.name], matrix.get()
            if settings == TWO_OF_FOUR:
                smallest = semi_structured.mask(weight.abs(), 2, 4, "w")
                assert (found.view(-1, 4).count_nonzero(dim=1) == 2).all()
            else:
                smallest = lowest(weight.abs(), round(0.6 * weight.numel()))
                assert int((found == 0).sum()) == round(0.6 * weight.numel())
            changes = [(pruned - weight).double() for pruned in (found, weight.masked_fill(smallest, 0.0))]
            made, cut = (float(torch.trace(change @ hessians[matrix.name].double() @ change.T)) for change in changes)
            assert made < cut, matrix.name


@pytest.mark.parametrize(("settings", "message"), [
    ({}, "sparsity belongs to pattern 'unstructured', and is needed there"),
    ({"sparsity": 0.5, "pattern": "2:4"}, "sparsity belongs to pattern 'unstructured'"),
    ({"sparsity": 0.0}, "sparsity"), ({"sparsity": 1.0}, "sparsity"), ({"sparsity": float("nan")}, "sparsity"),
    ({"pattern": "3:4"}, "pattern"), ({"sparsity": 0.5, "damping": 0}, "damping"),
    ({"sparsity": 0.5, "columns": 0}, "columns"), ({"sparsity": 0.5, "sequences": 0}, "sequences"),
])
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant({"method": "sparsegpt"} | settings, "variants.x")


def test_a_sparsity_or_pattern_that_does_not_fit_a_matrix_is_refused():
    weight, hessian, _ = problem(4, 10)
    with pytest.raises(MethodError, match=r"w: sparsity 0\.001 removes 0 of 40"):
        sparsegpt.best_of_both(weight, hessian, config(sparsity=0.001), "w")
    with pytest.raises(MethodError, match="w: blocks of 4 do not divide its rows of 10"):
        sparsegpt.best_of_both(weight, hessian, config(**TWO_OF_FOUR), "w")
    alike = torch.ones(10, 10)
    with pytest.raises(MethodError, match=r"w: its inputs .* too alike for a damping of 1e-18"):
        sparsegpt.best_of_both(weight, alike, config(sparsity=0.5, damping=1e-18), "w")
