"""The saved state of a training: it comes back to the bit, into another model and optimizer."""

import pytest
import torch

from stages.training.state import STATE, load_state, save_state
from tests.training.tiny import make_model


def trained(steps):
    model = make_model("masked")
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)
    for step in range(steps):
        optimizer.zero_grad()
        model(input_ids=torch.tensor([[1, 2, 3 + step]])).logits.square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_state_comes_back_to_the_bit(tmp_path):
    model, optimizer = trained(3)
    save_state(tmp_path, model, optimizer, {"step": 3, "tokens_seen": 9})
    other, empty = trained(0)
    assert load_state(tmp_path, other, empty) == {"step": 3, "tokens_seen": 9}
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
        for key in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(optimizer.state[one][key], empty.state[two][key])
            assert optimizer.state[one][key].dtype == empty.state[two][key].dtype


def test_no_state_is_a_beginning(tmp_path):
    model, optimizer = trained(0)
    assert load_state(tmp_path, model, optimizer) is None
    assert not optimizer.state


def test_state_does_not_alias_what_was_saved(tmp_path):
    model, optimizer = trained(1)
    save_state(tmp_path, model, optimizer, {"step": 1})
    before = (tmp_path / STATE).read_bytes()
    load_state(tmp_path, model, optimizer)
    model(input_ids=torch.tensor([[1, 2, 3]])).logits.sum().backward()
    optimizer.step()
    assert (tmp_path / STATE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_a_state_of_another_model_is_not_taken(tmp_path):
    save_state(tmp_path, *trained(1), {"step": 1})
    other = make_model("masked", 41)
    with pytest.raises(RuntimeError, match="size"):
        load_state(tmp_path, other, torch.optim.AdamW(other.parameters()))
