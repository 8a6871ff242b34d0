import math

import numpy as np
import pytest
import torch

from stages.training.objectives import Causal, Masked, loss_function
from tests.training.tiny import make_run

MASKED = Masked(probability=0.3, pad=0, mask=4, vocabulary=1_000, special=frozenset({0, 1, 2, 3, 4}))


def many_rows(count=400, length=40):
    draw = np.random.default_rng(0)
    return [np.concatenate([[2], draw.integers(5, 1_000, size=length), [3]]) for _ in range(count)]


def test_masked_batch_hides_what_it_asks_for_and_leaves_the_rest():
    rows = many_rows()
    batch = MASKED.batch(rows, np.random.default_rng(1))
    original = np.concatenate(rows)
    reads = batch.reads.numpy()
    assert np.array_equal(batch.targets.numpy(), original[reads])
    assert not np.isin(batch.targets.numpy(), [0, 1, 2, 3, 4]).any()
    untouched = np.setdiff1d(np.arange(len(original)), reads)
    assert np.array_equal(batch.ids.reshape(-1).numpy()[untouched], original[untouched])
    # 16,000 ordinary tokens, each chosen with probability 0.3: 4 standard errors are 0.0145.
    assert len(reads) / 16_000 == pytest.approx(0.3, abs=0.0145)


def test_masked_batch_masks_80_replaces_10_and_keeps_10_percent():
    rows = many_rows()
    batch = MASKED.batch(rows, np.random.default_rng(1))
    shown, targets = batch.ids.reshape(-1)[batch.reads].numpy(), batch.targets.numpy()
    count = len(targets)
    assert np.mean(shown == 4) == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / count))
    # A random token is the right one once in a thousand, and the mask once in a thousand.
    assert np.mean(shown == targets) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / count))
    assert np.mean((shown != targets) & (shown != 4)) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / count))


def test_masked_batch_always_asks_for_something():
    objective = Masked(probability=1e-9, pad=0, mask=4, vocabulary=10, special=frozenset({0, 1, 2, 3, 4}))
    batch = objective.batch([np.array([2, 7, 3])], np.random.default_rng(0))
    assert batch.reads.tolist() == [1]
    assert batch.targets.tolist() == [7]


def test_causal_batch_predicts_each_next_token_and_never_padding():
    batch = Causal(pad=0).batch([np.array([0, 5, 6, 0]), np.array([0, 7])], np.random.default_rng(0))
    assert batch.ids.tolist() == [[0, 5, 6, 0], [0, 7, 0, 0]]
    assert batch.attention.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch.reads.tolist() == [0, 1, 2, 4]  # the second row starts at 4
    assert batch.targets.tolist() == [5, 6, 0, 7]
    assert batch.tokens == 6


@pytest.mark.parametrize("family", ["masked", "causal"])
def test_loss_with_the_head_on_read_rows_equals_the_loss_over_whole_logits(family):
    run = make_run(family)
    model = run.model.eval()
    batch = run.objective.batch(run.train[:5], np.random.default_rng(0))
    with torch.no_grad():
        logits = model(input_ids=batch.ids, attention_mask=batch.attention).logits
        chosen = logits.reshape(-1, logits.shape[-1]).log_softmax(-1)[batch.reads]
        expected = -chosen[torch.arange(len(batch.reads)), batch.targets].mean()
        assert loss_function(model)(batch).item() == pytest.approx(expected.item(), abs=1e-5)
