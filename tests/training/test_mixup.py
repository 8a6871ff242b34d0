"""Blended texts: what a model reads of them, what is drawn, and how the teacher's part of the loss uses them."""

import numpy as np
import pytest
import torch

from stages.training.distillation import Weights, distillation_loss, soft_loss
from stages.training.mixup import Blend, Mixup, blended
from stages.training.objectives import Batch, loss_function, read
from tests.training.tiny import make_model

FAMILIES = ["masked", "causal"]


@pytest.fixture
def batch():
    draw = np.random.default_rng(2)
    ids = torch.from_numpy(draw.integers(1, 40, size=(3, 7)))
    attention = torch.tensor([[1] * 7, [1] * 7, [1] * 4 + [0] * 3])
    return Batch(ids, attention, torch.tensor([0, 3, 9, 15]), torch.tensor([5, 6, 7, 8]))


def by_embeddings(model, batch, blend):
    """Logits at the read positions, from embeddings blended by hand."""
    look = model.get_input_embeddings().weight
    embeddings = torch.stack([torch.stack([
        blend.share[row, place, 0] * look[batch.ids[row, place]]
        + (1 - blend.share[row, place, 0]) * look[blend.ids[row, place]]
        for place in range(batch.ids.shape[1])]) for row in range(len(batch.ids))])
    return model(inputs_embeds=embeddings, attention_mask=batch.attention).logits.flatten(0, 1)[batch.reads]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_reads_blended_embeddings_and_then_its_own_again(family, batch):
    model = make_model(family, 40).eval()
    blend = Blend(batch.ids.roll(1, 0), torch.rand(3, 7, 1))
    with torch.no_grad():
        plain = read(model, batch).logits
        with blended(model, blend):
            found = read(model, batch).logits
        torch.testing.assert_close(found, by_embeddings(model, batch, blend), atol=1e-5, rtol=1e-5)
        assert (found - plain).abs().max() > 1e-4
        assert torch.equal(read(model, batch).logits, plain)


def test_without_counterparts_sequences_are_blended_with_others_of_the_batch_where_both_have_words(batch):
    torch.manual_seed(0)
    orders = set()
    for _ in range(40):
        blend = Mixup(0.4).draw(batch)
        order = [next(n for n in range(3) if torch.equal(row, batch.ids[n])) for row in blend.ids]
        assert sorted(order) == [0, 1, 2]
        orders.add(tuple(order))
        for row, other in enumerate(order):
            both = batch.attention[row].bool() & batch.attention[other].bool()
            assert (blend.share[row, ~both] == 1).all()
            assert len(blend.share[row, both].unique()) == 1
    assert len(orders) == 6


def test_shares_are_of_a_beta_distribution(batch):
    torch.manual_seed(1)
    for alpha in (0.4, 3.0):
        shares = torch.cat([Mixup(alpha).draw(batch).share[:, 0, 0] for _ in range(4000)])
        assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
        assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


def test_words_are_blended_with_their_counterparts_alone(batch):
    counterpart = torch.arange(40)
    one, other = (int(token) for token in batch.ids[0, :2])
    assert one != other
    counterpart[one], counterpart[other] = other, one
    torch.manual_seed(0)
    blend = Mixup(0.4, counterpart).draw(batch)
    swap = {one: other, other: one}
    expected = [[swap.get(token, token) for token in row] for row in batch.ids.tolist()]
    assert blend.ids.tolist() == expected
    assert len(blend.share[0].unique()) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_the_teachers_part_is_of_blended_texts_and_the_corpus_part_of_the_text_as_it_is(family, batch):
    student, teacher = make_model(family, 40).eval(), make_model(family, 40, num_hidden_layers=2).eval()
    torch.manual_seed(7)
    blend = Mixup(0.4).draw(batch)
    with torch.no_grad():
        hard = loss_function(student)(batch)
        soft = soft_loss(by_embeddings(student, batch, blend), by_embeddings(teacher, batch, blend), 2.0)
        torch.manual_seed(7)
        found = distillation_loss(student, teacher, Weights(3.0, 0.5, 0.0, 2.0), (), Mixup(0.4))(batch)
        unblended = distillation_loss(student, teacher, Weights(3.0, 0.5, 0.0, 2.0))(batch)
    assert found.item() == pytest.approx((3.0 * soft + 0.5 * hard).item(), rel=1e-5)
    assert abs((found - unblended).item()) > 1e-4
