"""Narrower students made of a part of their teacher's tensors."""

import pytest
import torch

from stages.common.errors import MethodError
from stages.compression.student import first_entries, fresh_model, narrow

NAMES = {"bert": "bert.encoder.layer.1.", "roberta": "roberta.encoder.layer.1.", "gpt_neox": "gpt_neox.layers.1.",
         "gpt2": "transformer.h.1."}
# The teachers are 32 wide, in 4 heads of 8; 16 wide there are 2 heads left.
SIZES = {"hidden_size": 16, "num_attention_heads": 2}


def narrowed(subject, kind, **sizes):
    """Parameters of the teacher, of the student, and the subject."""
    ours = subject(kind)
    before = {name: value.detach().clone() for name, value in ours.model.named_parameters()}
    narrow(ours, sizes)
    return before, dict(ours.model.named_parameters()), ours


def test_first_entries_by_hand():
    values = torch.arange(24).view(3, 8)
    assert first_entries(values, (2, 4), 1).tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    # Two maps of four columns each: two of each are left.
    assert first_entries(values, (2, 4), 2).tolist() == [[0, 1, 4, 5], [8, 9, 12, 13]]
    assert first_entries(values[0], (6,), 2).tolist() == [0, 1, 2, 4, 5, 6]


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_narrow_encoder_has_the_first_units_and_heads(kind, subject):
    before, after, ours = narrowed(subject, kind, **SIZES, intermediate_size=20)
    layer = NAMES[kind]
    shapes = {"attention.self.query.weight": (16, 16), "attention.self.key.bias": (16,),
              "attention.output.dense.weight": (16, 16), "attention.output.LayerNorm.weight": (16,),
              "intermediate.dense.weight": (20, 16), "intermediate.dense.bias": (20,), "output.dense.weight": (16, 20)}
    for name, shape in shapes.items():
        assert tuple(after[layer + name].shape) == shape
        assert torch.equal(after[layer + name], before[layer + name][tuple(map(slice, shape))]), name
    words = f"{kind}.embeddings.word_embeddings.weight"
    assert torch.equal(after[words], before[words][:, :16])
    assert before.keys() == after.keys()
    assert ours.config_changes == SIZES | {"intermediate_size": 20}


def test_a_narrow_gpt_neox_has_query_key_and_value_of_the_first_heads(subject):
    before, after, _ = narrowed(subject, "gpt_neox", **SIZES)
    name = NAMES["gpt_neox"] + "attention.query_key_value."
    # A head's query, key and value follow each other: [heads, 3, width, inputs].
    heads = before[name + "weight"].view(4, 3, 8, 32)
    assert torch.equal(after[name + "weight"].view(2, 3, 8, 16), heads[:2, :, :, :16])
    assert torch.equal(after[name + "bias"].view(2, 3, 8), before[name + "bias"].view(4, 3, 8)[:2])
    assert torch.equal(after["gpt_neox.embed_in.weight"], before["gpt_neox.embed_in.weight"][:, :16])


def test_a_narrow_gpt2_has_query_key_and_value_of_the_first_heads(subject):
    before, after, _ = narrowed(subject, "gpt2", **SIZES)
    name = NAMES["gpt2"] + "attn.c_attn."
    # Kept as [inputs, outputs], all queries before all keys before all values.
    whole = before[name + "weight"].view(32, 3, 4, 8)
    assert torch.equal(after[name + "weight"].view(16, 3, 2, 8), whole[:16, :, :2])
    assert torch.equal(after[name + "bias"].view(3, 2, 8), before[name + "bias"].view(3, 4, 8)[:, :2])
    # The inner width is four times the hidden one.
    name = NAMES["gpt2"] + "mlp.c_proj.weight"
    assert torch.equal(after[name], before[name][:64, :16])


@pytest.mark.parametrize(("kind", "last"), [("bert", ".output.dense.weight"), ("gpt_neox", "dense_4h_to_h.weight")])
def test_inner_units_that_do_nothing_can_be_left_out(kind, last, subject, outputs):
    ours = subject(kind)
    for name, parameter in ours.model.named_parameters():
        if name.endswith(last) and parameter.shape == (32, 48):
            parameter.data[:, 20:] = 0.0
    before = outputs(ours.model)
    narrow(ours, {"intermediate_size": 20})
    assert ours.model.config.intermediate_size == 20
    for old, new in zip(before, outputs(ours.model), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "sizes", "message"), [
    ("bert", {"hidden_size": 40, "num_attention_heads": 5},
     "hidden_size 40 cannot begin with its teacher's weights, which have 32"),
    ("bert", {"intermediate_size": 64}, "intermediate_size 64 cannot begin with its teacher's weights, which have 48"),
    ("bert", {"hidden_size": 16}, r"16 with 4 heads .* are 8 wide .*hidden_size = 8 x num_attention_heads"),
    ("bert", {"hidden_size": 20, "num_attention_heads": 2}, "20 with 2 heads cannot begin"),
    ("gpt2", {"intermediate_size": 64}, "'gpt2' has no intermediate_size"),
    ("gpt_neox", {"num_attention_heads": 2}, "32 with 2 heads cannot begin"),
    ("modernbert", SIZES, "how to narrow architecture 'modernbert' is not known .*initial: random; known are bert"),
])
def test_students_that_cannot_be_cut_out_are_refused(kind, sizes, message, subject):
    with pytest.raises(MethodError, match=message):
        narrow(subject(kind), sizes)


def test_a_fresh_model_is_that_of_its_seed_and_leaves_the_global_stream_alone(subject):
    model = subject("bert").model
    torch.manual_seed(9)
    expected = type(model)(model.config).state_dict()
    state = torch.random.get_rng_state()
    found = fresh_model(type(model), model.config, 9).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
