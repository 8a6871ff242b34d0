"""Matrices of low rank, against numpy's singular value decomposition."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.factors import Factors
from stages.compression.manifest import WEIGHTS
from stages.compression.methods import low_rank

NAME = "bert.encoder.layer.0.output.dense.weight"


def settings(**values):
    return low_rank.Config(method="low_rank", **values)


@pytest.mark.parametrize(("rows", "columns", "share", "of", "rank"), [
    (32, 48, 0.5, "parameters", 9),  # 9 (32 + 48) = 720 of 1,536; 10 would be 800, more than half
    (32, 32, 0.5, "parameters", 8),
    (768, 3072, 0.25, "parameters", 153),
    (32, 48, 0.5, "rank", 16),
    (32, 48, 0.9, "rank", 29),
    (48, 32, 0.05, "rank", 2),
])
def test_a_share_of_parameters_or_of_the_rank(rows, columns, share, of, rank):
    assert low_rank.rank_of(rows, columns, settings(share=share, of=of), "w") == rank


@pytest.mark.parametrize(("share", "of", "found"), [(0.01, "rank", 0), (0.99, "rank", 32), (0.02, "parameters", 0)])
def test_a_share_that_leaves_nothing_or_removes_nothing_is_refused(share, of, found):
    with pytest.raises(MethodError, match=rf"w: a share of {share} of its {of} is rank {found} of 32"):
        low_rank.rank_of(32, 48, settings(share=share, of=of), "w")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, "half"])
def test_shares_that_make_no_sense_are_refused(share):
    with pytest.raises(ParamsError, match="share"):
        parse_variant({"method": "low_rank", "share": share}, "variants.x")


@pytest.mark.parametrize(("shape", "rank"), [((32, 48), 9), ((48, 32), 20), ((7, 7), 1), ((1, 9), 1)])
def test_the_error_is_what_the_singular_values_cut_off_are(shape, rank):
    """Reference: numpy's decomposition in float64."""
    weight = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    left, values, right = np.linalg.svd(weight.astype(np.float64), full_matrices=False)
    found = Factors.of(torch.from_numpy(weight), rank).weight().double().numpy()
    np.testing.assert_allclose(found, (left[:, :rank] * values[:rank]) @ right[:rank], atol=1e-6)
    assert np.linalg.norm(weight - found) == pytest.approx(np.sqrt((values[rank:] ** 2).sum()), rel=1e-6, abs=1e-5)
    assert np.linalg.norm(weight - found, 2) == pytest.approx(values[rank] if rank < len(values) else 0, abs=1e-5)
    assert np.linalg.matrix_rank(found, tol=1e-4) == rank


def test_equal_and_vanishing_singular_values_are_no_trouble():
    rows = torch.eye(6)[:, :4] * torch.tensor([3.0, 1.0, 1.0, 0.0])
    assert float((rows - Factors.of(rows, 2).weight()).norm()) == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(Factors.of(rows, 3).weight(), rows, rtol=0, atol=1e-6)
    assert torch.equal(Factors.of(torch.zeros(3, 5), 2).weight(), torch.zeros(3, 5))


def test_no_product_of_random_factors_comes_closer():
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(12, 20, generator=draw)
    best = float((weight - Factors.of(weight, 4).weight()).norm())
    for _ in range(50):
        left = torch.randn(12, 4, generator=draw)
        assert best < float((weight - left @ torch.linalg.lstsq(left, weight).solution).norm())


@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "gpt2"])
def test_every_matrix_of_the_scope_is_cut_off_and_twice_is_once(kind, subject):
    before, ours = subject(kind), subject(kind)
    for _ in range(2):
        low_rank.compress(ours, settings(share=0.4), Context())
        names = {matrix.name for matrix in before.matrices("layers")}
        assert ours.changed == names
        for name, value in ours.model.named_parameters():
            old = before.model.get_parameter(name).detach()
            if name in names:
                rank = int(0.4 * old.numel() / sum(old.shape))
                left, values, right = np.linalg.svd(old.double().numpy(), full_matrices=False)
                np.testing.assert_allclose(value.detach().numpy(), (left[:, :rank] * values[:rank]) @ right[:rank],
                                           atol=2e-6)
            else:
                assert torch.equal(value, old)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_thin_factors_are_stored_and_nothing_else_of_the_matrix(kind, compress, family, subject):
    folder, manifest = compress(kind, {"method": "low_rank", "share": 0.4})
    ours = subject(kind)
    low_rank.compress(ours, settings(share=0.4), Context())
    opened, stored = dict(open_model(folder, family[kind]).model.named_parameters()), 0
    with safe_open(folder / WEIGHTS, "pt") as file:
        for matrix in ours.matrices("layers"):
            rows, columns = matrix.module.weight.shape
            rank = int(0.4 * rows * columns / (rows + columns))
            assert file.get_tensor(f"{matrix.name}.left").shape == (rows, rank)
            assert file.get_tensor(f"{matrix.name}.right").shape == (rank, columns)
            assert matrix.name not in file.keys()  # noqa: SIM118
            assert manifest.tensors[matrix.name] == {"form": "factors", "rank": rank}
            assert torch.equal(opened[matrix.name], ours.model.get_parameter(matrix.name))
            stored += rows * columns - rank * (rows + columns)
    assert manifest.sizes.logical_bits == 32 * (manifest.sizes.parameters - stored)
    assert stored > 0.6 * sum(matrix.module.weight.numel() for matrix in ours.matrices("layers"))


def test_factors_that_would_be_larger_than_the_matrix_are_not_stored(compress):
    """Rank 29 of 32 x 48 takes 29 x 80 = 2,320 numbers for 1,536."""
    _, manifest = compress("bert", {"method": "low_rank", "share": 0.9, "of": "rank"})
    assert NAME not in manifest.tensors
    assert manifest.sizes.logical_bits == 32 * manifest.sizes.parameters


def test_a_weight_that_is_no_number_is_named(subject):
    bert = subject("bert")
    bert.model.get_parameter(NAME).data[1, 2] = torch.inf
    with pytest.raises(MethodError, match=r"layer\.0\.output\.dense\.weight: holds NaN or infinity"):
        low_rank.compress(bert, settings(share=0.5), Context())
