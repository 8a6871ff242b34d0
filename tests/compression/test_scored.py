"""Compressed models in the scoring engine: a text's scores are those it gets by itself."""

import pytest
import torch

from stages.common.query import Query
from stages.compression.artefact import open_model
from stages.scoring.engine import Scorer

VARIANTS = [
    {"method": "int8_dynamic"},
    {"method": "dynamic", "weights": "channel", "head": False},
    {"method": "dynamic", "activations": "full"},
    {"method": "round_to_nearest", "bits": 4},
    {"method": "round_to_nearest", "bits": 8, "activation_bits": 8},
    {"method": "drop_layers", "count": 1},
]


@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_scores_are_those_of_a_text_by_itself(kind, variant, compress, family):
    folder, _ = compress(kind, variant)
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(5, 60, (length,), generator=draw).tolist() for length in (4, 7, 7, 12, 20, 31)]
    queries = [Query(tuple(text), (0, 2), (text[1], text[3])) for text in texts]
    answers = Scorer(open_model(folder, family[kind])).read(queries)
    model = open_model(folder, family[kind]).model
    for query, answer in zip(queries, answers, strict=True):
        with torch.inference_mode():
            logprobs = model(torch.tensor([query.ids])).logits[0].double().log_softmax(dim=-1)
        expected = logprobs[list(query.positions), list(query.targets)].tolist()
        assert answer.logprobs.tolist() == pytest.approx(expected, abs=5e-5)
