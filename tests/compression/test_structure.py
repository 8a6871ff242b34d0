"""Heads and layers."""

import pytest
import torch
from torch.nn import functional

from stages.common.errors import MethodError, ParamsError
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.attention import _task, head_importance, output_matrices
from stages.compression.calibration import calibration_ids
from stages.compression.drawing import generator
from stages.compression.methods import drop_layers, heads
from stages.models.load import load_model


def drop(**settings):
    return drop_layers.Config(method="drop_layers", **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"count": 4, "which": "top"}, {8, 9, 10, 11}),
        ({"count": 4, "which": "bottom"}, {0, 1, 2, 3}),
        ({"count": 4, "which": "middle"}, {4, 5, 6, 7}),
        ({"count": 5, "which": "middle"}, {3, 4, 5, 6, 7}),
        ({"count": 6, "which": "alternate"}, {1, 3, 5, 7, 9, 11}),
        ({"count": 2, "which": "alternate"}, {9, 11}),
        ({"layers": (0, 7)}, {0, 7}),
    ],
)
def test_which_of_twelve_layers_go(settings, expected):
    assert drop_layers.dropped(12, drop(**settings)) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 12}, "leaves none of the model's 12 layers"),
        ({"count": 13}, "top 13 is more than 12 layers allow"),
        ({"count": 7, "which": "alternate"}, "alternate 7 is more than 12 layers allow"),
        ({"layers": tuple(range(12))}, "leaves none"),
        ({"layers": (3, 12)}, "has no layer 12.*0 to 11"),
    ],
)
def test_layers_that_cannot_go_are_refused(settings, message):
    with pytest.raises(MethodError, match=message):
        drop_layers.dropped(12, drop(**settings))


@pytest.mark.parametrize("settings", [{}, {"count": 1, "layers": [0]}, {"layers": []}, {"layers": [2, 1]},
                                      {"layers": [-1]}, {"layers": [1], "which": "bottom"}, {"count": 0}])
def test_drop_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ParamsError, match=r"variants\.x: "):
        parse_variant({"method": "drop_layers"} | settings, "variants.x")


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt_neox", "gpt2", "sentence"])
def test_a_dropped_layer_is_passed_by(kind, compress, checkpoints, family, outputs, subject):
    """Reference: the whole model, with the layer's output replaced by its input."""
    folder, manifest = compress(kind, {"method": "drop_layers", "layers": [1]})
    opened = open_model(folder, family[kind])
    reference = subject(kind)
    _, layers = reference.layers()

    def pass_by(module, args, kwargs, output):
        hidden = args[0] if args else kwargs["hidden_states"]
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    layers[1].register_forward_hook(pass_by, with_kwargs=True)
    for ours, theirs in zip(outputs(opened.model), outputs(reference.model), strict=True):
        assert torch.equal(ours, theirs)
    assert opened.model.config.num_hidden_layers == 2
    layer = sum(parameter.numel() for parameter in layers[1].parameters())
    assert opened.parameters == manifest.sizes.parameters == manifest.sizes.parent_parameters - layer


@pytest.mark.parametrize("kind", ["modernbert", "gpt_neo"])
def test_layers_that_are_not_alike_stay(kind, compress):
    with pytest.raises(MethodError, match=f"layers of architecture '{kind}' are not all alike"):
        compress(kind, {"method": "drop_layers", "count": 1})


def test_dropping_layers_carries_earlier_steps_along(compress):
    steps = [{"method": "round_to_nearest", "bits": 4}, {"method": "drop_layers", "layers": [0]}]
    folder, manifest = compress("bert", steps)
    rounded, _ = compress("bert", steps[0], "rounded")
    ours, whole = open_model(folder, "masked").model, open_model(rounded, "masked").model
    for number in (0, 1):
        name = f"bert.encoder.layer.{number}.output.dense.weight"
        assert manifest.tensors[name]["form"] == "integers"
        earlier = name.replace(f".{number}.", f".{number + 1}.")
        assert torch.equal(ours.get_parameter(name), whole.get_parameter(earlier))
    assert manifest.method == "round_to_nearest+drop_layers"


@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt_neox", "gpt2"])
def test_importance_is_the_change_of_the_loss_with_a_heads_output(kind, subject, corpus):
    """Reference: each head's output scaled by 1 +- a little, one text at a time."""
    model = subject(kind)
    ids = calibration_ids(model, Context(0, corpus), 3, 18)
    found = head_importance(model, ids, seed=7)
    inputs, targets = _task(model, ids, generator(7, "masked positions"))
    step, width = 0.02, 32 // 4
    slopes = torch.zeros(3, 3, 4, dtype=torch.float64)
    for layer, matrix in enumerate(output_matrices(model)):
        for head in range(4):
            losses = []
            for sign in (1, -1):
                def scale(module, args, head=head, sign=sign):
                    scaled = args[0].clone()
                    scaled[..., head * width : (head + 1) * width] *= 1 + sign * step
                    return (scaled,)

                handle = matrix.module.register_forward_pre_hook(scale)
                with torch.no_grad():
                    logits = model.model(inputs).logits.double()
                handle.remove()
                losses.append(functional.cross_entropy(
                    logits.transpose(1, 2), targets, reduction="none").sum(dim=1))
            slopes[:, layer, head] = (losses[0] - losses[1]) / (2 * step)
    expected = slopes.abs().mean(dim=0)
    expected /= expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=2e-3)


def test_the_task_asks_for_masked_or_next_tokens(subject, corpus):
    bert = subject("bert")
    ids = calibration_ids(bert, Context(0, corpus), 40, 30)
    inputs, targets = _task(bert, ids, generator(0, "x"))
    masked = targets != -100
    assert (inputs[masked] == bert.loaded.encoder.mask_id).all()
    assert torch.equal(inputs[~masked], ids[~masked])
    assert torch.equal(targets[masked], ids[masked])
    assert not masked[:, [0, -1]].any()
    # 1,120 words at 15%: 168, give or take 12.
    assert 120 < int(masked.sum()) < 216
    inputs, targets = _task(subject("gpt2"), ids, generator(0, "x"))
    assert torch.equal(inputs, ids)
    assert torch.equal(targets[:, :-1], ids[:, 1:])
    assert (targets[:, -1] == -100).all()


def test_which_heads_go():
    scores = torch.tensor([[0.9, 0.1, 0.4], [0.2, 0.1, 0.15]])
    assert heads.cut(scores, 1, "layer").tolist() == [[False, True, False], [False, True, False]]
    # Over the model 0.1, 0.1, 0.15 and then 0.4, since 0.2 is the best of its layer and stays.
    assert heads.cut(scores, 4, "global").tolist() == [[False, True, True], [False, True, True]]
    with pytest.raises(MethodError, match=r"leaves a layer without any.*count is at most 4"):
        heads.cut(scores, 5, "global")
    with pytest.raises(MethodError, match=r"leaves a layer without any.*count is at most 2"):
        heads.cut(scores, 3, "layer")


@pytest.mark.parametrize("by", ["importance", "random"])
@pytest.mark.parametrize("kind", ["bert", "gpt_neox", "gpt2"])
def test_a_head_that_is_cut_off_says_nothing(by, kind, compress, checkpoints, family, outputs, subject, corpus):
    """Reference: the whole model, with the chosen heads' outputs set to zero."""
    variant = {"method": "heads", "count": 2, "by": by, "sequences": 3, "length": 18}
    folder, _ = compress(kind, variant)
    opened, reference = open_model(folder, family[kind]).model, subject(kind)
    before = load_model(checkpoints / kind, family[kind]).model
    for matrix in output_matrices(reference):
        old, new = before.get_parameter(matrix.name), opened.get_parameter(matrix.name)
        if matrix.transposed:
            old, new = old.T, new.T
        gone = (new == 0).all(dim=0)
        assert gone.view(4, 8).all(dim=1).sum() == gone.view(4, 8).any(dim=1).sum() == 2
        assert torch.equal(new, old.masked_fill(gone, 0.0))
        matrix.module.register_forward_pre_hook(lambda module, args, gone=gone: (args[0] * ~gone,))
    for ours, theirs in zip(outputs(opened), outputs(reference.model), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_sentence_encoders_heads_are_not_judged_by_a_loss(compress):
    with pytest.raises(MethodError, match=r"no loss to judge its heads by.*by: random"):
        compress("sentence", {"method": "heads", "count": 1, "length": 18, "sequences": 2})


def test_a_share_of_the_heads_is_the_lowest_of_the_model():
    def gone(share):
        return heads.chosen(scores, heads.Config(method="heads", share=share)).tolist()

    scores = torch.tensor([[0.9, 0.1, 0.4], [0.2, 0.12, 0.15]])
    assert gone(0.2) == [[False, True, False], [False, False, False]]
    # 0.1, 0.12, 0.15 and then 0.4: 0.2 is the best of its layer.
    assert gone(0.5) == [[False, True, False], [False, True, True]]
    assert gone(0.66) == [[False, True, True], [False, True, True]]
    with pytest.raises(MethodError, match=r"share 0\.8 cuts 5 of 6 heads.*cuts 1 to 4"):
        gone(0.8)
    with pytest.raises(MethodError, match=r"share 0\.05 cuts 0 of 6 heads"):
        gone(0.05)


@pytest.mark.parametrize("by", ["importance", "random"])
def test_a_share_cuts_as_a_count_of_the_whole_model_does(by, compress):
    settings = {"method": "heads", "by": by, "sequences": 3, "length": 18}
    _, share = compress("bert", settings | {"share": 0.42}, "share")  # 5.04 of 12
    _, count = compress("bert", settings | {"count": 5, "granularity": "global"}, "count")
    assert share.weights_sha256 == count.weights_sha256


@pytest.mark.parametrize(("settings", "message"), [
    ({}, "give exactly one of 'count' and 'share'"),
    ({"count": 1, "share": 0.5}, "give exactly one of 'count' and 'share'"),
    ({"share": 0.5, "granularity": "global"}, "granularity belongs to count"),
    ({"share": 1.0}, "share"),
])
def test_numbers_of_heads_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant({"method": "heads"} | settings, "variants.x")


def test_a_weight_that_is_no_number_is_named(subject, corpus):
    bert = subject("bert")
    bert.model.get_parameter("cls.predictions.bias").data[7] = torch.nan
    with pytest.raises(MethodError, match=r"weight cls\.predictions\.bias holds NaN or infinity"):
        heads.compress(bert, heads.Config(method="heads", count=1, sequences=2, length=18), Context(0, corpus))


def test_a_text_whose_loss_is_no_number_is_named(subject):
    """Word 44 is so far out that its text alone overflows float32 (ids of ten texts, in batches of eight)."""
    model = subject("gpt2")
    model.model.get_parameter("transformer.wte.weight").data[44] = 3e38
    ids = torch.randint(5, 40, (10, 8), generator=torch.Generator().manual_seed(0))
    ids[9, 3] = 44
    with pytest.raises(MethodError, match=r"its loss on calibration text 9 \(from 0\).*NaN or infinite"):
        head_importance(model, ids, seed=0)
