"""Activations that write over what they read: the same bits, and never where the input is needed again."""

import pytest
import torch
from torch import nn
from transformers.activations import ACT2FN

from stages.common.query import Query
from stages.scoring import packed
from stages.scoring.activation import InPlaceGelu, is_exact_gelu, replace_activations
from stages.scoring.engine import Scorer
from stages.scoring.grouped import GroupedRunner
from tests.scoring.tiny import assert_answers, make, make_int8

QUERIES = [Query(tuple(range(8, 8 + length)), (1, length - 2), (9, 10)) for length in (4, 7, 12)]


def test_which_activations_are_replaced():
    kinds = {name: is_exact_gelu(ACT2FN[name]) for name in ("gelu", "gelu_python", "gelu_new", "relu", "silu")}
    assert kinds == {"gelu": True, "gelu_python": False, "gelu_new": False, "relu": False, "silu": False}
    assert is_exact_gelu(nn.GELU())
    assert not is_exact_gelu(nn.GELU(approximate="tanh"))
    layers = nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Sequential(nn.GELU("tanh"), nn.GELU()))
    replace_activations(layers)
    assert [type(module) for module in layers.modules()].count(InPlaceGelu) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_numbers_are_torchs_own_in_the_same_memory(dtype):
    x = torch.randn(5, 37, generator=torch.Generator().manual_seed(0)).to(dtype) * 3
    expected = nn.functional.gelu(x)
    found = InPlaceGelu()(x)
    assert found.data_ptr() == x.data_ptr()
    assert torch.equal(found, expected)


@pytest.mark.parametrize(("architecture", "family"), [("bert", "masked"), ("distilbert", "masked"),
                                                      ("gpt_neox", "causal"), ("albert", "masked")])
@pytest.mark.parametrize("maker", [make, make_int8])
def test_a_packed_model_scores_with_the_same_bits(architecture, family, maker, monkeypatch):
    loaded = maker(architecture, family)
    scorer = Scorer(loaded)
    assert any(isinstance(module, InPlaceGelu) for module in scorer._runner._model.modules()) == (
        architecture != "albert")  # whose tanh approximation is another
    found = scorer.read(QUERIES)
    monkeypatch.setattr(packed, "replace_activations", lambda model: None)
    plain = Scorer(loaded).read(QUERIES)
    assert all((a.logprobs == b.logprobs).all() and (a.entropies == b.entropies).all()
               for a, b in zip(found, plain, strict=True))


class Reused(nn.Module):
    """A layer that adds what its activation read."""

    def __init__(self, intermediate):
        super().__init__()
        self.dense, self.activation = intermediate.dense, intermediate.intermediate_act_fn

    def forward(self, hidden_states):
        found = self.dense(hidden_states)
        return self.activation(found) + found


def test_an_architecture_that_needs_the_input_again_is_not_packed_and_still_right():
    loaded = make.__wrapped__("bert", "masked")  # not the one that other tests share
    for layer in loaded.model.bert.encoder.layer:
        layer.intermediate = Reused(layer.intermediate)
    scorer = Scorer(loaded)
    assert isinstance(scorer._runner, GroupedRunner)
    assert_answers(loaded, QUERIES, scorer.read(QUERIES), 5e-5)
