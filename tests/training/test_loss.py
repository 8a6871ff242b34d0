"""The loss is the literal one over full logits, gradients included, and what is never predicted."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional

from stages.training.objectives import Causal, Masked, loss_function, objective_of
from tests.training.tiny import make_model, make_tokenizer

PAD, UNK, CLS, SEP, MASK = range(5)
SPECIAL = frozenset(range(5))
VOCABULARY = 1000


def framed(rows, length, seed=0):
    words = np.random.default_rng(seed).integers(5, VOCABULARY, size=(rows, length))
    words[:, length // 2] = UNK
    return [np.concatenate([[CLS], row, [SEP]]) for row in words]


def masked(probability, vocabulary=VOCABULARY):
    return Masked(probability, PAD, MASK, vocabulary, SPECIAL)


@pytest.mark.parametrize("probability", [0.15, 0.999])
def test_special_tokens_and_padding_are_never_predicted(probability):
    rows = [*framed(50, 9), *framed(50, 4, seed=1)]
    batch = masked(probability).batch(rows, np.random.default_rng(2))
    assert SPECIAL.isdisjoint(batch.targets.tolist())
    assert batch.ids.shape == (100, 11)
    assert batch.attention.sum(1).tolist() == [11] * 50 + [6] * 50
    assert (batch.ids[50:, 6:] == PAD).all()
    assert batch.tokens == 50 * 11 + 50 * 6


def test_replacements_are_uniform_over_the_vocabulary():
    batch = masked(0.999).batch(framed(400, 50), np.random.default_rng(7))
    seen = batch.ids.reshape(-1)[batch.reads]
    wild = seen[(seen != MASK) & (seen != batch.targets)].double()
    # 400 * 49 words, a tenth of them replaced. Uniform on 0..999: mean 499.5, standard deviation 1000 / sqrt(12).
    assert len(wild) == pytest.approx(1960, abs=4 * (19600 * 0.09) ** 0.5)
    assert wild.mean().item() == pytest.approx(499.5, abs=4 * 1000 / 12**0.5 / len(wild) ** 0.5)
    assert (wild.min(), wild.max()) < (5, 1000)


def test_masks_come_from_the_generator_alone():
    first, again, other = (masked(0.3).batch(framed(5, 20), np.random.default_rng(seed)) for seed in (4, 4, 5))
    assert torch.equal(first.ids, again.ids)
    assert torch.equal(first.reads, again.reads)
    assert not torch.equal(first.ids, other.ids)


def gradients(model, loss):
    loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def test_masked_loss_and_gradients_are_the_literal_ones():
    model = make_model("masked", 40, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    literal = copy.deepcopy(model)
    rows = [np.array([CLS, 7, 8, 9, 10, SEP]), np.array([CLS, 11, 12, 13, 14, 15, 16, SEP])]
    batch = masked(0.4, 40).batch(rows, np.random.default_rng(0))
    loss = loss_function(model)(batch)

    labels = torch.full((2 * 8,), -100)
    labels[batch.reads] = torch.from_numpy(np.concatenate([rows[0], [PAD, PAD], rows[1]]))[batch.reads]
    logits = literal(input_ids=batch.ids, attention_mask=batch.attention).logits
    assert logits.shape == (2, 8, 40)
    expected = functional.cross_entropy(logits.reshape(-1, 40), labels, ignore_index=-100)

    assert 0 < len(batch.reads) < 10
    assert loss.item() == pytest.approx(expected.item(), abs=2e-6)
    found, wanted = gradients(model, loss), gradients(literal, expected)
    for name, gradient in wanted.items():
        assert torch.allclose(found[name], gradient, atol=2e-6), name


@pytest.mark.parametrize("lengths", [(9, 9), (9, 4, 1)])
def test_causal_loss_is_the_models_own(lengths):
    model = make_model("causal", 40).eval()
    literal = copy.deepcopy(model)
    draw = np.random.default_rng(0)
    batch = Causal(pad=0).batch([draw.integers(1, 40, size=length) for length in lengths], draw)
    assert len(batch.reads) == sum(lengths) - len(lengths)
    labels = batch.ids.masked_fill(batch.attention == 0, -100)
    with torch.no_grad():
        expected = literal(input_ids=batch.ids, attention_mask=batch.attention, labels=labels).loss
        found = loss_function(model)(batch)
    assert found.item() == pytest.approx(expected.item(), abs=2e-6)


def test_objective_speaks_in_the_tokenizers_ids():
    tokenizer = make_tokenizer("masked")
    assert objective_of(tokenizer, "masked", 0.2) == Masked(0.2, PAD, MASK, len(tokenizer), SPECIAL)
    causal = make_tokenizer("causal")
    assert objective_of(causal, "causal", 0.2) == Causal(causal.convert_tokens_to_ids("<|endoftext|>"))
