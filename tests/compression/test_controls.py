"""Casts, and the controls: noise and fresh weights."""

import copy

import numpy as np
import pytest
import torch

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.methods import cast, noise, random_init, round_to_nearest

RTN3 = {"method": "round_to_nearest", "bits": 3, "scope": "linear"}


def weights(subject):
    return {name: value.detach().clone()
            for name, value in subject.model.named_parameters(remove_duplicate=False)}


def relative(after, before):
    return float((after.double() - before.double()).norm() / before.double().norm())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_cast_rounds_every_parameter_and_computes_in_float32(dtype, compress, checkpoints, subject):
    folder, manifest = compress("bert", {"method": "cast", "dtype": dtype})
    before = weights(subject("bert"))
    opened = dict(open_model(folder, "masked").model.named_parameters(remove_duplicate=False))
    for name, value in before.items():
        assert opened[name].dtype == torch.float32
        # float16 keeps 11 significant bits (below 2**-14 fewer), bfloat16 8.
        if dtype == "float16":
            assert np.array_equal(opened[name].numpy(), value.numpy().astype(np.float16).astype(np.float32)), name
        else:
            assert ((opened[name] - value).abs() <= 2**-8 * value.abs()).all()
            assert (opened[name].view(torch.int32) & 0xFFFF == 0).all()
    assert manifest.sizes.logical_bits == 16 * manifest.sizes.parameters
    assert manifest.sizes.stored_bytes < 0.6 * 4 * manifest.sizes.parameters + 20_000


def test_a_weight_beyond_float16_is_named():
    values = torch.tensor([1.0, 7e4])
    with pytest.raises(MethodError, match=r"norm\.weight: a weight of 7e\+04 is beyond float16.*bfloat16"):
        cast.cast(values, "float16", "norm.weight")
    assert float(cast.cast(values, "bfloat16", "norm.weight")[1]) == pytest.approx(7e4, rel=2**-8)


def test_noise_has_the_norm_that_was_asked_for(subject):
    bert = subject("bert")
    before = weights(bert)
    noise.compress(bert, noise.Config(method="noise", relative_norm=0.07), Context())
    after = weights(bert)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {matrix.name for matrix in bert.matrices("layers")}
    for name in changed:
        assert relative(after[name], before[name]) == pytest.approx(0.07, rel=1e-5)


def test_noise_like_a_variant_has_the_norm_of_its_change(subject):
    rounded, noisy = subject("bert"), subject("bert")
    before = weights(noisy)
    round_to_nearest.compress(rounded, parse_variant(RTN3, "x")[0], Context())
    noise.compress(noisy, noise.Config(method="noise", like=RTN3), Context())
    expected, found = weights(rounded), weights(noisy)
    changed = {name for name in expected if not torch.equal(expected[name], before[name])}
    assert "cls.predictions.decoder.weight" in changed  # the tied head, as a copy of its own
    for name, value in found.items():
        if name in changed:
            assert relative(value, before[name]) == pytest.approx(relative(expected[name], before[name]), rel=1e-5)
            assert not torch.equal(value, expected[name])
        else:
            assert torch.equal(value, before[name]), name


def test_noise_is_gaussian_and_its_own_for_every_weight_and_seed():
    weight = torch.ones(100, 100)
    draws = [noise.noise_like(weight, 0.5, seed, name) for seed, name in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))]
    assert torch.equal(draws[0], draws[1])
    for other in draws[2:]:
        # Correlation of two independent draws of 10,000: standard error 0.01.
        assert abs(float(torch.corrcoef(torch.stack([draws[0].flatten(), other.flatten()]))[0, 1])) < 0.04
    # ||weight|| = 100, so ||noise|| = 50 and each element has standard deviation 0.5; 68.3% within one.
    assert float(draws[0].std()) == pytest.approx(0.5, rel=0.02)
    assert float((draws[0].abs() < 0.5).float().mean()) == pytest.approx(0.683, abs=0.015)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "exactly one of 'like' and 'relative_norm'"),
        ({"relative_norm": 0.1, "like": RTN3}, "exactly one of"),
        ({"relative_norm": 0}, "relative_norm"),
        ({"relative_norm": float("nan")}, "relative_norm"),
        ({"like": {"method": "teleport"}}, "unknown compression method 'teleport'"),
        ({"like": RTN3, "scope": "all"}, "scope belongs to relative_norm"),
    ],
)
def test_noise_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant({"method": "noise"} | settings, "variants.x")


@pytest.mark.parametrize(
    ("like", "message"),
    [({"method": "none"}, "changes no weight"), ({"method": "drop_layers", "count": 1}, "changes the model's shape")],
)
def test_noise_like_nothing_is_refused(like, message, subject):
    with pytest.raises(MethodError, match=message):
        noise.compress(subject("bert"), noise.Config(method="noise", like=like), Context())


@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "gpt2", "sentence"])
def test_random_init_is_the_architectures_own(kind, subject):
    fresh, before = subject(kind), weights(subject(kind))
    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    random_init.compress(fresh, random_init.Config(method="random_init", seed=2), Context(seed=40))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(42)
    expected = dict(type(fresh.model)(copy.deepcopy(fresh.model.config)).named_parameters(remove_duplicate=False))
    for name, value in weights(fresh).items():
        assert torch.equal(value, expected[name].detach()), name
        if value.dim() == 2:
            assert not torch.equal(value, before[name])


def test_random_init_draws_again_for_another_seed(subject):
    name = None
    draws = []
    for seed in (0, 1):
        bert = subject("bert")
        random_init.compress(bert, random_init.Config(method="random_init", seed=seed), Context())
        name = bert.matrices("layers")[0].name
        draws.append(bert.model.get_parameter(name).detach())
    # initializer_range is 0.02 in BERT; 1,024 draws.
    assert float(draws[0].std()) == pytest.approx(0.02, rel=0.1)
    assert not torch.equal(*draws)
