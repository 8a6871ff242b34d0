"""Casts, and the controls: noise and fresh weights."""

import copy

import numpy as np
import pytest
import torch

from stages import compression
from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.methods import cast, noise, random_init

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


LIKES = [
    RTN3,
    {"method": "round_to_nearest", "bits": 4, "scope": "all"},
    {"method": "round_to_nearest", "bits": 2, "granularity": "group", "group_size": 8, "symmetric": False},
    {"method": "magnitude", "sparsity": 0.4},
    {"method": "magnitude", "sparsity": 0.3, "granularity": "global", "scope": "all"},
    {"method": "wanda", "sparsity": 0.5, "sequences": 4, "length": 16},
    {"method": "gptq", "bits": 3, "sequences": 4, "length": 16},
    {"method": "heads", "count": 1, "by": "random"},
    {"method": "int8_dynamic"},
    {"method": "dynamic", "embeddings": True},
    {"method": "dynamic", "embeddings": True, "head": False},
    {"method": "cast", "dtype": "bfloat16"},
    [{"method": "magnitude", "sparsity": 0.5}, {"method": "round_to_nearest", "bits": 4}],
]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("like", LIKES, ids=str)
def test_noise_like_a_variant_has_the_norm_of_its_change_in_every_weight(like, kind, subject, corpus):
    """Both changes are measured anew, weight by weight, ties and copies of tied weights included."""
    target, noisy, context = subject(kind), subject(kind), Context(3, corpus)
    before = weights(noisy)
    for step in parse_variant(like, "x"):
        compression.get(step.method).compress(target, step, context)
    noise.compress(noisy, noise.Config(method="noise", like=like), context)
    expected, found = weights(target), weights(noisy)
    expected |= {name: target.values(name) for name in target.changed}
    tied = [subject.model.get_input_embeddings().weight is subject.model.get_output_embeddings().weight
            for subject in (target, noisy)]
    assert tied[0] == tied[1]
    for name, old in before.items():
        if torch.equal(expected[name], old):
            assert torch.equal(found[name], old), name
        else:
            assert relative(found[name], old) == pytest.approx(relative(expected[name], old), rel=1e-4), name
            assert not torch.equal(found[name], expected[name])


def test_noise_like_a_variant_is_drawn_anew_for_every_seed(subject):
    draws = []
    for seed in range(3):
        bert = subject("bert")
        noise.compress(bert, noise.Config(method="noise", like=RTN3, seed=seed), Context())
        draws.append(bert.model.get_parameter("bert.encoder.layer.0.output.dense.weight").detach())
    before = subject("bert").model.get_parameter("bert.encoder.layer.0.output.dense.weight").detach()
    changes = torch.stack([draw.flatten() - before.flatten() for draw in draws])
    assert changes.norm(dim=1).tolist() == pytest.approx([float(changes[0].norm())] * 3, rel=1e-5)
    # Correlation of two independent draws of 1,536: standard error 0.026.
    assert (torch.corrcoef(changes) - torch.eye(3)).abs().max() < 0.12


def test_method_json_spells_like_out_as_the_variants_own_steps(compress):
    like = [{"method": "magnitude", "sparsity": 0.5}, {"method": "round_to_nearest", "bits": 4}]
    _, noisy = compress("bert", {"method": "noise", "like": like}, "noisy")
    _, target = compress("bert", like, "target")
    assert noisy.steps[0].config["like"] == [step.config for step in target.steps]
    _, again = compress("bert", noisy.steps[0].config, "again")
    assert again.steps == noisy.steps
    assert again.weights_sha256 == noisy.weights_sha256


def test_what_method_json_says_of_any_step_can_be_compressed_by_again():
    variants = [*LIKES, {"method": "drop_layers", "layers": [1]}, {"method": "drop_layers", "count": 1},
                {"method": "noise", "relative_norm": 0.1}, {"method": "noise", "like": RTN3}]
    for variant in variants:
        steps = [step.model_dump(mode="json") for step in parse_variant(variant, "x")]
        assert [step.model_dump(mode="json") for step in parse_variant(steps, "x")] == steps


def test_noise_is_gaussian_and_its_own_for_every_weight_and_seed():
    weight = torch.ones(100, 100)
    draws = [noise.noise_of(weight, 50.0, seed, name) for seed, name in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))]
    assert torch.equal(draws[0], draws[1])
    for other in draws[2:]:
        # Correlation of two independent draws of 10,000: standard error 0.01.
        assert abs(float(torch.corrcoef(torch.stack([draws[0].flatten(), other.flatten()]))[0, 1])) < 0.04
    # A norm of 50 over 10,000 elements: each has standard deviation 0.5; 68.3% within one.
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
        ({"like": "w3"}, r"variants\.x: like: write its method here, \{method: .*YAML anchor .* \(given: 'w3'\)$"),
        ({"like": ["w3", RTN3]}, "like: write its method here"),
        ({"like": 3}, "like: write its method here"),
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
