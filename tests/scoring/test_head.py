"""The head block by block against the whole softmax in float64."""

import numpy as np
import pytest
import torch

from stages.common.query import Query
from stages.scoring import head
from stages.scoring.head import Head, combine, partial_sums
from stages.scoring.plan import Plan, Values


def test_two_blocks_by_hand():
    # p = (1, 2, 1, 4) / 8: entropy = 2 * 1/8 ln 8 + 1/4 ln 4 + 1/2 ln 2 = 1.75 ln 2; log-sum-exp = ln 8.
    logits = torch.tensor([[1.0, 2, 1, 4]]).log()
    sums = torch.stack([partial_sums(logits[:, :2].clone()), partial_sums(logits[:, 2:].clone())])
    normalizer, entropy = combine(sums)
    np.testing.assert_allclose(normalizer, np.log(8), rtol=1e-6)
    np.testing.assert_allclose(entropy, 1.75 * np.log(2), rtol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("scale", [0.01, 1, 30])
def test_against_float64(monkeypatch, scale, packed):
    monkeypatch.setattr(head, "BLOCK", 37)
    monkeypatch.setattr(head, "ROWS", 5)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(200, 16, generator=generator) * scale
    bias = torch.randn(200, generator=generator) * scale
    features = torch.randn(12, 16, generator=generator)
    plan = Plan.of([Query(tuple(range(12)), tuple(range(12)), tuple(range(0, 120, 10)))])
    values = Values(plan)
    whole_head = Head(weight, bias)
    if packed:
        whole_head.pack()
    whole_head.read(values, np.arange(12), features, np.arange(12))
    exact = (features.double() @ weight.double().T + bias.double()).log_softmax(dim=1)
    tolerance = 1e-6 * max(1, 4 * scale)
    answer = values.answers()[0]
    np.testing.assert_allclose(answer.logprobs, exact[range(12), range(0, 120, 10)], atol=tolerance * 4)
    np.testing.assert_allclose(answer.entropies, -(exact.exp() * exact).sum(dim=1), atol=tolerance * 4)


def test_rows_may_share_a_feature():
    weight = torch.eye(3)
    plan = Plan.of([Query((0, 1, 2), (0, 1, 2), (0, 1, 2))])
    values = Values(plan)
    Head(weight, None).read(values, np.array([2, 0, 1]), torch.tensor([[1.0, 2, 3], [0, 0, 0]]), np.array([0, 1, 0]))
    # Rows 1 and 2 read the logits (1, 2, 3), row 0 the uniform distribution.
    normalizer = np.log(np.exp(1) + np.exp(2) + np.exp(3))
    np.testing.assert_allclose(values.answers()[0].logprobs, [-np.log(3), 2 - normalizer, 3 - normalizer], rtol=1e-6)
