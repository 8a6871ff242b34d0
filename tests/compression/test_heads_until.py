"""Heads cut off until the loss has risen far enough: which ones, in what strides, and what is refused."""

import pytest
import torch
from torch.nn import functional

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.attention import _task, head_importance, language_loss, output_matrices
from stages.compression.calibration import calibration_ids
from stages.compression.drawing import generator
from stages.compression.methods import heads_until

WIDTH = 32 // 4
TEXTS = {"method": "heads_until", "sequences": 12, "length": 18}


@pytest.fixture
def strong(subject):
    """A model whose heads matter: fresh weights, those of the attention's outputs many times larger."""

    def make(kind):
        found = subject(kind)
        for matrix in output_matrices(found):
            matrix.assign(matrix.get() * 40.0)
        return found

    return make


def literal_loss(found, ids):
    inputs, targets = _task(found, ids, generator(0, "masked positions"))
    with torch.no_grad():
        logits = found.model(inputs).logits.double()
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()


def without(found, weights, gone):
    for matrix, weight, layer in zip(output_matrices(found), weights, range(3), strict=True):
        kept = weight.clone()
        for head in range(4):
            if (layer, head) in gone:
                kept[:, head * WIDTH : (head + 1) * WIDTH] = 0
        matrix.assign(kept)


def literal(found, ids, ratio, at_once):
    """The heads that go, in the order of going, by the words of the description."""
    weights = [matrix.get().clone() for matrix in output_matrices(found)]
    whole, gone, path = literal_loss(found, ids), set(), []
    while True:
        without(found, weights, gone)
        scores = head_importance(found, ids, 0)
        left = {(layer, head): scores[layer, head].item() for layer in range(3) for head in range(4)}
        left = {place: score for place, score in left.items() if place not in gone}
        for layer in range(3):
            own = {place: score for place, score in left.items() if place[0] == layer}
            left.pop(max(own, key=own.get))
        chosen = sorted(left, key=left.get)[:at_once]
        if not chosen:
            return gone, path
        without(found, weights, gone | set(chosen))
        if literal_loss(found, ids) <= ratio * whole:
            gone |= set(chosen)
            path.append(len(chosen))
        elif at_once > 1:
            at_once = 1
        else:
            return gone, path


@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
@pytest.mark.parametrize("ratio", [1.002, 1.02, 1.05])
def test_heads_go_in_strides_and_then_one_by_one_while_the_loss_allows(kind, ratio, strong, corpus):
    found = strong(kind)
    ids = calibration_ids(found, Context(0, corpus), 12, 18)
    whole = language_loss(found, ids, 0)
    assert whole == pytest.approx(literal_loss(found, ids), rel=1e-5)
    gone, path = literal(strong(kind), ids, ratio, at_once=3)
    settings = heads_until.Config(**TEXTS, loss_ratio=ratio, share=0.25)
    if not gone:
        with pytest.raises(MethodError, match=r"without the least of its heads the loss is 1\.\d+ times"):
            heads_until.compress(found, settings, Context(0, corpus))
        return
    weights = [matrix.get().clone() for matrix in output_matrices(found)]
    heads_until.compress(found, settings, Context(0, corpus))
    assert {tuple(place) for place in found.resolved["heads"]} == gone
    assert sum(path) == len(gone)
    assert found.resolved["reached_loss_ratio"] == pytest.approx(language_loss(found, ids, 0) / whole, abs=1e-6)
    assert found.resolved["reached_loss_ratio"] <= ratio
    reference = strong(kind)
    without(reference, weights, gone)
    assert all(torch.equal(ours.get(), theirs.get())
               for ours, theirs in zip(output_matrices(found), output_matrices(reference), strict=True))


def test_a_generous_floor_leaves_each_layer_one_head(strong, corpus):
    found = strong("bert")
    heads_until.compress(found, heads_until.Config(**TEXTS, loss_ratio=1e6), Context(0, corpus))
    layers = [layer for layer, _ in found.resolved["heads"]]
    assert [layers.count(layer) for layer in range(3)] == [3, 3, 3]


def test_heads_by_lot_go_in_the_order_of_the_lot(strong, corpus):
    orders = []
    for seed in (0, 0, 1):
        found = strong("gpt_neox")
        settings = heads_until.Config(**TEXTS, loss_ratio=1e6, by="random", seed=seed)
        heads_until.compress(found, settings, Context(0, corpus))
        orders.append(found.resolved["heads"])
    assert orders[0] == orders[1] != orders[2]


def test_an_artefact_has_the_heads_in_its_record(compress):
    _, manifest = compress("gpt_neox", TEXTS | {"loss_ratio": 2.0})
    assert len(manifest.steps[0].config["heads"]) == 9


@pytest.mark.parametrize(("settings", "message"), [
    ({"loss_ratio": 1.0}, "greater than 1"), ({"loss_ratio": 1.1, "share": 1.0}, "less than 1"), ({}, "loss_ratio"),
])
def test_floors_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant({"method": "heads_until"} | settings, "variants.x")


def test_a_sentence_encoder_has_no_loss(compress):
    with pytest.raises(MethodError, match="no loss to judge its heads by"):
        compress("sentence", TEXTS | {"loss_ratio": 1.1})


def test_a_loss_that_is_no_number_is_refused(strong, corpus):
    found = strong("bert")
    output_matrices(found)[1].assign(output_matrices(found)[1].get() * torch.nan)
    with pytest.raises(MethodError, match="its loss on the calibration texts is nan"):
        heads_until.compress(found, heads_until.Config(**TEXTS, loss_ratio=1.1), Context(0, corpus))
