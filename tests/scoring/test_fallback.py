"""Models run as they are: other widths, other outputs, and the head at the positions that are read only."""

import numpy as np
import pytest
import torch

from stages.common.errors import ModelError
from stages.common.query import Query
from stages.scoring import grouped
from stages.scoring.attention import Unsupported
from stages.scoring.engine import Scorer
from stages.scoring.gather import gathered
from stages.scoring.grouped import GroupedRunner
from stages.scoring.plan import Plan
from stages.scoring.runner import ignore
from tests.scoring.test_engine import queries_for
from tests.scoring.tiny import VOCABULARY, assert_answers, make, make_int8


@pytest.mark.parametrize("maker", [make, make_int8])
def test_states_of_another_width_than_the_config_says(maker):
    loaded = make("opt", "causal", word_embed_proj_dim=16) if maker is make else make_int8("opt", "causal")
    queries = queries_for("causal")
    scorer = Scorer(loaded)
    assert_answers(loaded, queries, scorer.read(queries), 5e-5)
    vectors = scorer.embed([query.ids for query in queries])
    with torch.no_grad():
        states = [loaded.model.model(input_ids=torch.tensor([query.ids])).last_hidden_state[0] for query in queries]
    assert vectors.shape == (len(queries), 16 if maker is make else 32)
    np.testing.assert_allclose(vectors, np.stack([state.mean(dim=0).numpy() for state in states]), atol=2e-5)


def test_an_architecture_whose_base_model_has_no_name():
    loaded = make("llama4_text", "causal")
    assert loaded.model.base_model is loaded.model
    queries = queries_for("causal", count=10)
    vectors = Scorer(loaded).embed([query.ids for query in queries])
    with torch.no_grad():
        states = [loaded.model.model(input_ids=torch.tensor([query.ids])).last_hidden_state[0] for query in queries]
    np.testing.assert_allclose(vectors, np.stack([state.mean(dim=0).numpy() for state in states]), atol=2e-5)


def test_a_model_that_cannot_be_run_over_ids_alone(monkeypatch):
    loaded = make.__wrapped__("bloom", "causal")
    monkeypatch.setattr(loaded.model, "forward", lambda pixels: None)
    monkeypatch.setattr(loaded.model.transformer, "forward", lambda pixels: None)
    with pytest.raises(ModelError, match=r"^bloom: architecture 'bloom' cannot be run over token ids alone"):
        Scorer(loaded)


@pytest.mark.parametrize("maker", [make, make_int8])
@pytest.mark.parametrize(("architecture", "family"), [
    ("deberta-v2", "masked"), ("bloom", "causal"), ("gemma2", "causal"), ("distilbert", "masked"),
])  # fmt: skip
def test_the_head_at_the_positions_that_are_read(architecture, family, maker, monkeypatch):
    loaded = maker(architecture, family)
    queries = queries_for(family, count=20)
    monkeypatch.setattr(grouped, "_LOGITS", 3 * VOCABULARY)  # three rows a pass
    runner = GroupedRunner(loaded.model, 64, one_by_one=maker is make_int8, gather=True)
    shapes = []
    handle = loaded.model.get_output_embeddings().register_forward_hook(
        lambda module, given, logits: shapes.append(tuple(logits.shape[:2]))
    )
    with torch.inference_mode():
        answers = runner.read(Plan.of(queries), ignore).answers()
    handle.remove()
    assert_answers(loaded, queries, answers, 1e-5 if maker is make_int8 else 5e-5)
    assert {batch for batch, _ in shapes} == {1}
    assert max(rows for _, rows in shapes) <= 3 + 2 * (maker is make_int8)
    assert not loaded.model.get_output_embeddings()._forward_pre_hooks


def test_a_model_that_does_not_call_its_head_is_read_whole():
    loaded = make("bloom", "causal")
    with pytest.raises(Unsupported, match="not called once"), gathered(loaded.model, torch.tensor([0])):
        loaded.model.transformer(input_ids=torch.tensor([[3, 4]]))


def test_what_is_gathered_is_found_out():
    assert Scorer(make("bloom", "causal"))._runner._gather
    loaded = make.__wrapped__("bloom", "causal")
    head = loaded.model.lm_head
    forward = head.forward
    head.forward = lambda states: forward(states - states.mean(dim=1, keepdim=True))  # looks at its neighbours
    scorer = Scorer(loaded)
    assert not scorer._runner._gather
    query = Query((5, 6, 7, 8), (1, 2), (9, 9))
    assert_answers(loaded, [query], scorer.read([query]), 5e-5)
