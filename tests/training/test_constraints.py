"""What training may be given beside a model: a constraint on weights, a rule to stop, another way to write."""

import pytest
import torch

from stages.training import loop
from stages.training.loop import train
from stages.training.objectives import loss_function
from stages.training.zeros import KeptZeros
from tests.training.tiny import make_model, make_run

SETTINGS = {"steps": 10, "checkpoints": [20, 60, 100]}


def pruned_model():
    model = make_model("masked", 25)
    weight = model.bert.encoder.layer[0].output.dense.weight
    weight.data[:, ::2] = 0.0
    return model, weight


def with_zeros(model, weight):
    run = make_run("masked", model=model, **SETTINGS)
    return loop.Run(**{**vars(run), "constraint": KeptZeros([weight])})


def test_zeros_stay_zero_while_the_rest_moves(tmp_path):
    model, weight = pruned_model()
    before = weight.detach().clone()
    train(with_zeros(model, weight), tmp_path)
    assert torch.equal(weight == 0, before == 0)
    assert (weight[:, 1::2] != before[:, 1::2]).all()
    free, weight = pruned_model()
    train(make_run("masked", model=free, **SETTINGS), tmp_path / "free")
    assert (weight[:, ::2] != 0).any()


def test_an_interrupted_training_keeps_its_zeros(tmp_path, monkeypatch):
    model, weight = pruned_model()
    train(with_zeros(model, weight), tmp_path / "whole")
    model, weight = pruned_model()
    with monkeypatch.context() as patch:
        patch.setattr(loop, "_batch", lambda run, step, real=loop._batch: real(run, step) if step < 5 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(with_zeros(model, weight), tmp_path / "broken")
    model, weight = pruned_model()
    train(with_zeros(model, weight), tmp_path / "broken")
    names = [tmp_path / name / "p100" / "model.safetensors" for name in ("whole", "broken")]
    assert names[0].read_bytes() == names[1].read_bytes()


def stopping(losses, written, at):
    """A run that stops at the checkpoint number ``at``."""
    def stop(held_out):
        losses.append(held_out)
        return len(losses) == at

    def write(folder, facts):
        written.append((folder.name, dict(facts)))

    return loop.Run(**{**vars(make_run("masked", **SETTINGS)), "stop": stop, "write": write})


def test_a_rule_ends_training_at_a_checkpoint_for_good(tmp_path):
    losses, written = [], []
    last = train(stopping(losses, written, 2), tmp_path)
    assert [(name, facts["step"], facts.get("stopped")) for name, facts in written] == [
        ("p020", 2, None), ("p060", 6, True)]
    assert [facts["heldout_loss"] for _, facts in written] == losses
    assert last == written[-1][1]
    # Taken up again, it is over.
    again = []
    assert train(stopping([], again, 2), tmp_path) == last
    assert again == []


@pytest.mark.parametrize(("not_before", "ends"), [(0, 2), (2, 2), (3, 6), (6, 6), (7, 10)])
def test_a_rule_is_not_asked_before_its_time(not_before, ends, tmp_path):
    losses, written = [], []
    run = loop.Run(**{**vars(stopping(losses, written, 1)), "not_before": not_before})
    last = train(run, tmp_path)
    assert (last["step"], last["stopped"]) == (ends, True)
    assert [facts["step"] for _, facts in written] == [step for step in (2, 6, 10) if step <= ends]
    assert losses == [last["heldout_loss"]]


def test_the_held_out_loss_is_the_models_own_whatever_a_step_lowers(tmp_path):
    settings = {"steps": 1, "warmup_steps": 0, "weight_decay": 0.0, "learning_rate": 1e-30, "checkpoints": [100]}
    own = make_run("masked", **settings)
    other = make_run("masked", **settings)
    other = loop.Run(**{**vars(other), "loss": lambda batch: 7.0 * loss_function(other.model)(batch)})
    facts = [train(run, tmp_path / str(number)) for number, run in enumerate((own, other))]
    assert facts[0] == facts[1]
    assert facts[0]["heldout_loss"] > 1.0
