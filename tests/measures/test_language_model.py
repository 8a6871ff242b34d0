from __future__ import annotations

import math

import pandas as pd
import pytest

from stages.common.errors import DataError
from stages.measures.language_model import Options, measure


def records(*rows: tuple[str, int, int, float, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["category", "scored", "words", "logprob", "entropy"])
    return table.assign(item=[f"text {number}" for number in range(len(rows))])


def test_perplexities_by_hand():
    # 4 tokens at 1/8 and 2 at 1/2: -log p is 4 ln 8 + 2 ln 2 = 14 ln 2 over 6 tokens and 5 words.
    texts = records(("test", 4, 3, -4 * math.log(8), 1.0), ("test", 2, 2, -2 * math.log(2), 4.0))
    metrics = measure(texts, Options(), family="causal")["test"]
    assert metrics["perplexity"] == pytest.approx(2 ** (14 / 6))
    assert metrics["word_perplexity"] == pytest.approx(2 ** (14 / 5))
    assert metrics["bits_per_token"] == pytest.approx(14 / 6)
    assert metrics["entropy"] == pytest.approx((4 * 1.0 + 2 * 4.0) / 6)
    assert (metrics["texts"], metrics["tokens"], metrics["words"]) == (2, 6, 5)


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary():
    texts = records(*[("valid", n, n, -n * math.log(500), math.log(500)) for n in range(1, 30)])
    metrics = measure(texts, Options(), family="masked")["valid"]
    assert metrics["perplexity"] == pytest.approx(500)
    assert metrics["word_perplexity"] == pytest.approx(500)
    assert metrics["entropy"] == pytest.approx(math.log(500))


def test_splits_are_kept_apart_and_sums_do_not_depend_on_order():
    rows = [("test", n % 7 + 1, n % 5 + 1, -0.1 * n - 1e-9 * n**3, 0.3 * n) for n in range(200)]
    texts = records(("valid", 1, 1, -1.0, 0.0), *rows)
    metrics = measure(texts, Options(), family="causal")
    assert list(metrics) == ["test", "valid"]
    assert metrics["valid"]["perplexity"] == pytest.approx(math.e)
    assert measure(texts.sample(frac=1, random_state=0), Options(), family="causal") == metrics


def test_a_text_that_was_not_scored_is_refused():
    texts = records(("test", 4, 3, -4.0, 1.0), ("test", 0, 2, float("nan"), float("nan")))
    with pytest.raises(DataError, match=r"text 'text 1' was not scored"):
        measure(texts, Options(), family="masked")


def test_a_perplexity_beyond_floats_is_refused():
    with pytest.raises(DataError, match="beyond any float"):
        measure(records(("test", 1, 1, -800.0, 0.0)), Options(), family="causal")
