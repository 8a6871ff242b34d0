"""Training: the schedule, the update against a literal AdamW, checkpoints, repetition and interruption."""

import copy
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoModelForCausalLM

from stages.common.errors import ModelError
from stages.common.params import Training
from stages.models.load import load_model
from stages.training import loop
from stages.training.loop import learning_rate, train
from stages.training.state import STATE
from tests.training.tiny import make_model, make_run


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def facts(folder):
    return json.loads((folder / "checkpoint.json").read_text())


def folders(work):
    return sorted(path.name for path in work.glob("p*"))


def training(**settings):
    return Training.model_validate({"steps": 10, "batch_size": 4, "sequence_length": 16, "learning_rate": 0.8,
                                    "warmup_steps": 4} | settings)


def test_learning_rate_rises_and_falls():
    # Warm-up of 4: 0.8 * (1, 2, 3, 4) / 4. Then 6 steps from 0.8 down by 0.8 / 6 each.
    rates = [learning_rate(training(), step) for step in range(10)]
    falling = [0.8 - n * 0.8 / 6 for n in range(6)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, *falling], rel=1e-12)


def test_learning_rate_without_warm_up_starts_at_the_top():
    rates = [learning_rate(training(steps=4, warmup_steps=0), step) for step in range(4)]
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2], rel=1e-12)


def literal_adamw(model, ids, settings):
    """Full-batch training in float64 by the formulas of arXiv 1711.05101, with the gradient's norm held to 1."""
    model = model.double().train()
    parameters = list(model.parameters())
    largest = 0.0
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(settings.steps):
        for parameter in parameters:
            parameter.grad = None
        logits = model(input_ids=ids).logits
        functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
        largest = max(largest, norm.item())
        rate = settings.learning_rate * (settings.steps - step) / settings.steps
        with torch.no_grad():
            for p, m, v in zip(parameters, first, second, strict=True):
                gradient = p.grad * min(1.0, 1.0 / norm)
                m.mul_(0.9).add_(0.1 * gradient)
                v.mul_(0.999).add_(0.001 * gradient**2)
                if p.ndim > 1:  # biases and layer norms do not decay
                    p -= rate * settings.weight_decay * p
                p -= rate * m / (1 - 0.9 ** (step + 1)) / (torch.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
    return model, largest


def test_updates_are_those_of_adamw(tmp_path):
    # One batch holds the whole corpus, so that its order does not matter; wide weights make gradients that are clipped.
    model = make_model("causal", 40, initializer_range=1.0)
    run = make_run("causal", model=model, train=0, steps=5, batch_size=6, warmup_steps=0, weight_decay=5.0,
                   learning_rate=0.01, checkpoints=[100])
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 40, size=(6, 12)))
    run.train.extend(ids.numpy())
    expected, largest = literal_adamw(copy.deepcopy(model), ids, run.settings)
    train(run, tmp_path)
    assert largest > 1.5  # some step was clipped
    found = dict(AutoModelForCausalLM.from_pretrained(tmp_path / "p100", dtype=torch.float32).named_parameters())
    for name, parameter in expected.named_parameters():
        change = (found[name].double() - parameter).abs()
        if name.endswith("query_key_value.bias"):
            # A bias on all keys changes no attention: its gradient is rounding error, which Adam scales up.
            change = change.reshape(2, 3, 8)[:, [0, 2]]
        assert change.max() < 2e-5, name  # a five hundredth of one step


def test_checkpoints_come_at_their_steps_with_their_facts(tmp_path):
    run = make_run("masked", steps=40, checkpoints=[5, 50, 100])
    train(run, tmp_path)
    assert folders(tmp_path) == ["p005", "p050", "p100"]
    # [CLS] the cat eats fish today . [SEP] is 8 tokens; "at night" and "in spring" make it 9.
    assert {len(row) for row in run.train} == {8, 9}
    epoch = sum(len(row) for row in run.train)  # 32 sequences, 4 batches of 8
    for name, fraction, step in (("p005", 0.05, 2), ("p050", 0.5, 20), ("p100", 1.0, 40)):
        found = facts(tmp_path / name)
        assert sorted(found) == ["fraction", "heldout_loss", "step", "tokens_seen"]
        assert (found["fraction"], found["step"]) == (fraction, step)
        if step % 4 == 0:
            assert found["tokens_seen"] == step // 4 * epoch
        else:
            assert 64 * step <= found["tokens_seen"] <= 72 * step


def test_percentages_that_fall_on_one_step_share_it(tmp_path):
    # Of 4 steps, 1% and 10% round to none and are taken at the first, as is 25%.
    train(make_run("masked", steps=4, checkpoints=[1, 10, 25, 100]), tmp_path)
    assert [facts(tmp_path / name)["step"] for name in folders(tmp_path)] == [1, 1, 1, 4]
    assert weights(tmp_path / "p001") == weights(tmp_path / "p025") != weights(tmp_path / "p100")
    assert facts(tmp_path / "p010")["fraction"] == 0.1


def test_held_out_loss_is_the_models_over_the_first_256_sequences(tmp_path):
    run = make_run("causal", valid=300, checkpoints=[100])
    train(run, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "p100", dtype=torch.float32)
    total = count = 0
    with torch.no_grad():
        for row in run.valid[:256]:
            ids = torch.from_numpy(row)[None]
            total += model(input_ids=ids, labels=ids).loss.item() * (len(row) - 1)
            count += len(row) - 1
    assert facts(tmp_path / "p100")["heldout_loss"] == pytest.approx(total / count, abs=2e-6)


@pytest.mark.parametrize("family", ["masked", "causal"])
def test_training_lowers_the_held_out_loss_of_models_that_load_whole(family, tmp_path):
    run = make_run(family, train=200, steps=120, learning_rate=0.02, checkpoints=[1, 100])
    train(run, tmp_path)
    first, last = (facts(tmp_path / name)["heldout_loss"] for name in ("p001", "p100"))
    # Knowing nothing: log 23 = 3.1 nats over the masked vocabulary. Knowing the grammar leaves a causal model the
    # animal (log 6) and the time (log 3) in 7 to 8 predictions, 0.39 nats; a masked one cannot do better than
    # guess where both the animal and its food are hidden.
    assert first > 2.7
    assert last < {"causal": 0.5, "masked": 1.2}[family]
    loaded = dict(load_model(tmp_path / "p100", family).model.named_parameters())
    for name, parameter in run.model.named_parameters():
        assert torch.equal(loaded[name], parameter), name
    assert {tensor.dtype for tensor in load_file(tmp_path / "p100" / "model.safetensors").values()} == {torch.float32}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_trainings_give_the_same_bytes(precision, tmp_path):
    for name in ("first", "second"):
        torch.manual_seed(len(name))  # the state of the global generator is no part of the recipe
        train(make_run("masked", autocast=precision), tmp_path / name)
    for name in ("p050", "p100"):
        assert weights(tmp_path / "first" / name) == weights(tmp_path / "second" / name)
        assert facts(tmp_path / "first" / name) == facts(tmp_path / "second" / name)
    assert weights(tmp_path / "first" / "p050") != weights(tmp_path / "first" / "p100")


def test_another_seed_gives_another_training(tmp_path):
    for seed in (1, 2):
        train(make_run("masked", seed=seed), tmp_path / str(seed))
    assert weights(tmp_path / "1" / "p100") != weights(tmp_path / "2" / "p100")


def test_the_global_generator_is_left_as_it_was(tmp_path):
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    run = make_run("masked", model=make_model("masked", 25), steps=2, warmup_steps=0, checkpoints=[100])
    torch.random.set_rng_state(before)
    train(run, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


class Stopped(Exception):
    pass


@pytest.mark.parametrize(("broken", "left"), [
    ("save_checkpoint", ["p020"]),  # on the way to the second checkpoint
    ("save_state", ["p020", "p060"]),  # the second checkpoint written, its state not
])
def test_an_interrupted_training_goes_on_to_the_same_bytes(broken, left, tmp_path, monkeypatch):
    settings = {"steps": 10, "checkpoints": [20, 60, 100], "packing": "lines"}
    train(make_run("masked", **settings), tmp_path / "whole")

    real = getattr(loop, broken)

    def stop_at_second(*arguments):
        if arguments[-1]["step"] == 6:
            raise Stopped
        real(*arguments)

    work = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        patch.setattr(loop, broken, stop_at_second)
        with pytest.raises(Stopped):
            train(make_run("masked", **settings), work)
    assert folders(work) == left
    steps = []
    monkeypatch.setattr(loop, "_update", lambda *a, real=loop._update: steps.append(a[-1]) or real(*a))
    train(make_run("masked", **settings), work)
    assert steps == list(range(2, 10))  # what the first checkpoint holds is not trained again
    for name in ("p020", "p060", "p100"):
        assert weights(work / name) == weights(tmp_path / "whole" / name)
        assert facts(work / name) == facts(tmp_path / "whole" / name)


def test_a_finished_training_is_not_trained_again(tmp_path, monkeypatch):
    train(make_run("masked"), tmp_path)
    monkeypatch.setattr(loop, "_update", None)
    train(make_run("masked"), tmp_path)


def test_a_loss_that_is_no_number_names_its_step(tmp_path):
    # The first step is taken from good weights and throws them out of float32's range.
    run = make_run("masked", steps=4, warmup_steps=0, learning_rate=1e38, checkpoints=[50, 100])
    with pytest.raises(ModelError, match=r"training: the loss is (nan|inf) at step 2 \(lower learning_rate"):
        train(run, tmp_path)
    assert not any((tmp_path / name).exists() for name in ("p050", "p100", STATE))


def test_a_held_out_loss_that_is_no_number_names_its_step(tmp_path):
    # One step, and it throws the weights out of float32's range: only the held-out loss can tell.
    run = make_run("masked", steps=1, warmup_steps=0, learning_rate=1e38, checkpoints=[100])
    with pytest.raises(ModelError, match=r"the held-out loss is (nan|inf) over \d+ tokens at step 1"):
        train(run, tmp_path)
    assert not (tmp_path / "p100").exists()


def test_held_out_texts_of_one_token_predict_nothing(tmp_path):
    run = make_run("causal", steps=1, warmup_steps=0, checkpoints=[100])
    run.valid[:] = [row[:1] for row in run.valid]
    with pytest.raises(ModelError, match=r"over 0 tokens at step 1 .*longer texts"):
        train(run, tmp_path)
