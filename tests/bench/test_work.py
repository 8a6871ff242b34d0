"""The count of needed work by hand, and the peak it is held against."""

import pytest

from stages.bench import work
from stages.bench.subjects import Subject, build
from stages.bench.work import gemm_peak, needed
from stages.common.query import Query, Row

TINY = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 400,
        "max_position_embeddings": 64}  # fmt: skip
TEXTS = ["she is a nurse", "he is a nurse", "this is Amy", "this is John", "people are kind"]
LAYER = 4 * 16 * 16 + 2 * 16 * 32  # weights


def row(*queries, sequence=()):
    return Row("0", "gender", "he|she", "stereo", "text", 4, queries=queries, sequence=sequence)


def test_work_of_a_masked_model_by_hand():
    loaded = build(Subject("tiny", "bert", "masked", TINY), TEXTS)
    query = Query((5, 6, 7, 8), (2,), (9,))
    need = needed(loaded, [row(query), row(query)])
    assert need.tokens == 4
    whole = 2 * 4 * LAYER + 4 * 4 * 4 * 16  # 4 tokens attend to 4: two products of 2 * 16 operations each
    keys = 4 * 4 * 16 * 16
    head = 2 * (16 * 16 + 16 * 400)
    assert need.flop == 2 * whole + keys + (whole - keys) / 4 + head


def test_work_of_a_causal_model_counts_shared_prefixes_once():
    loaded = build(Subject("tiny", "gpt_neox", "causal", TINY), TEXTS)
    queries = [Query((5, 6, 7), (0, 1), (6, 7)), Query((5, 6, 8), (0, 1), (6, 8))]
    assert needed(loaded, [row(*queries)]).tokens == 2  # what follows the last read is not needed
    assert needed(loaded, [row(sequence=(5, 6, 7)), row(sequence=(5, 6, 8))]).tokens == 4


@pytest.mark.parametrize("fastest", ["default", "packed"])
def test_peak_is_of_the_fastest_product_whichever_the_engine_chose(fastest, monkeypatch):
    taken = {"default": 2.0, "packed": 2.0} | {fastest: 0.5}
    monkeypatch.setattr(work, "_products", lambda: {"fp32": list(taken)})
    monkeypatch.setattr(work, "seconds", taken.__getitem__)
    assert gemm_peak("fp32") == 2 * 1024 * 768 * 3072 / 0.5


def test_products_of_the_peak_compute_the_same():
    default, packed = (product() for product in work._products()["fp32"])
    assert default.shape == (1024, 3072)
    assert (default - packed).abs().max() < 1e-4
