"""What must hold of every weight: exact sparsity, valid masks, errors no larger than rounding to nearest's."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.query import Query
from stages.compression import Context
from stages.compression.artefact import open_model
from stages.compression.methods import cast, gptq, magnitude, semi_structured, wanda
from stages.compression.methods.round_to_nearest import Config, round_weight
from stages.compression.pruning import lowest, lowest_in_rows
from stages.scoring.engine import Scorer

# Few distinct values, so that many are equal; and shapes of every kind.
MATRICES = st.tuples(st.integers(1, 7), st.integers(2, 24), st.integers(0, 10**6), st.sampled_from([2, 50])).map(
    lambda t: torch.from_numpy(np.random.default_rng(t[2]).integers(-t[3], t[3], t[:2]).astype(np.float32)))
ROWS_OF_BLOCKS = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 10**6))


class Held:
    """A subject that is no more than some matrices by name."""

    def __init__(self, values):
        self.values = values

    def matrices(self, scope, **added):
        return [SimpleNamespace(name=name, get=value.clone,
                                assign=lambda new, name=name: self.values.update({name: new}))
                for name, value in self.values.items()]


@settings(max_examples=60, deadline=None)
@given(MATRICES, st.data())
def test_as_many_are_pruned_as_asked_for_and_none_that_is_worth_more(weight, data):
    scores = weight.abs()
    count = data.draw(st.integers(1, weight.numel() - 1))
    mask = lowest(scores, count)
    assert int(mask.sum()) == count
    assert scores[mask].max() <= scores[~mask].min()
    in_row = data.draw(st.integers(1, weight.shape[1] - 1))
    rows = lowest_in_rows(scores, in_row)
    assert (rows.sum(dim=1) == in_row).all()
    for score, gone in zip(scores, rows, strict=True):
        assert score[gone].max() <= score[~gone].min()


@settings(max_examples=40, deadline=None)
@given(MATRICES.filter(lambda weight: weight.numel() >= 8), st.floats(0.2, 0.8), st.sampled_from(["matrix", "global"]))
def test_magnitude_is_exact_and_twice_is_once(weight, sparsity, granularity):
    weight = torch.where(weight == 0, 0.5, weight)
    held = Held({"a": weight, "b": 2 * weight})
    config = magnitude.Config(method="magnitude", sparsity=sparsity, granularity=granularity)
    magnitude.compress(held, config, Context())
    once = dict(held.values)
    zeros = [int((value == 0).sum()) for value in once.values()]
    if granularity == "matrix":
        assert zeros == [round(sparsity * weight.numel())] * 2
    else:
        assert sum(zeros) == round(sparsity * 2 * weight.numel())
    for name, value in once.items():
        assert torch.equal(value[value != 0], (weight if name == "a" else 2 * weight)[value != 0])
    magnitude.compress(held, config, Context())
    assert all(torch.equal(held.values[name], value) for name, value in once.items())


@settings(max_examples=40, deadline=None)
@given(ROWS_OF_BLOCKS, st.sampled_from([(2, 4), (1, 4), (4, 8), (1, 2), (3, 5)]), st.booleans())
def test_every_block_loses_its_smallest(shape, pattern, calibrated):
    """Reference: numpy's sort of every block."""
    (rows, blocks, seed), (pruned, block) = shape, pattern
    draw = np.random.default_rng(seed)
    weight = draw.normal(size=(rows, blocks * block)).astype(np.float32)
    norms = draw.random(blocks * block).astype(np.float32) if calibrated else np.ones(blocks * block, np.float32)
    if calibrated:
        config = wanda.Config(method="wanda", sparsity=pruned / block, block=block)
        mask = wanda.mask(torch.from_numpy(weight), torch.from_numpy(norms), config, "w")
    else:
        mask = semi_structured.mask(torch.from_numpy(weight).abs(), pruned, block, "w")
    scores = (np.abs(weight) * norms).reshape(-1, block)
    expected = np.zeros_like(scores, dtype=bool)
    np.put_along_axis(expected, np.argsort(scores, axis=1)[:, :pruned], True, axis=1)
    assert (mask.view(-1, block).sum(dim=1) == pruned).all()
    assert np.array_equal(mask.numpy(), expected.reshape(weight.shape))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.booleans(), st.sampled_from([None, 4, 8]), st.integers(1, 6), st.integers(0, 10**6))
def test_gptq_is_never_worse_than_rounding_to_nearest_on_its_calibration_inputs(bits, symmetric, group, rows, seed):
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(40, 16, generator=draw) @ torch.randn(16, 16, generator=draw)
    weight = torch.randn(rows, 16, generator=draw)
    grain = {"bits": bits, "symmetric": symmetric, "group_size": group, "granularity": "group" if group else "channel"}
    found = gptq.best_of_both(weight, inputs.T @ inputs, gptq.Config(method="gptq", **grain), "w", False)
    nearest = round_weight(weight, Config(method="round_to_nearest", **grain), "w", False)
    errors = [float(((inputs @ (form.weight() - weight).T).double() ** 2).sum()) for form in (found, nearest)]
    assert errors[0] <= errors[1] * (1 + 1e-5)
    assert found.facts == nearest.facts
    assert found.logical_bits == nearest.logical_bits


@given(st.lists(st.floats(-6e4, 6e4, width=32), min_size=1, max_size=20), st.sampled_from(["float16", "bfloat16"]))
def test_a_cast_is_within_half_a_step_and_twice_is_once(values, dtype):
    values = torch.tensor(values)
    once = cast.cast(values, dtype, "w").float()
    # 11 significant bits down to 2**-14 in float16, 8 down to 2**-126 in bfloat16.
    digits, smallest = (11, 2**-14) if dtype == "float16" else (8, 2**-126)
    assert ((once - values).abs() <= values.abs().clamp(min=smallest) * 2.0**-digits).all()
    assert torch.equal(cast.cast(once, dtype, "w").float(), once)


@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])
@pytest.mark.parametrize("variant", [{"method": "round_to_nearest", "bits": 16, "scope": "all"}, {"method": "cast"}],
                         ids=["integers", "float16"])
def test_sixteen_bits_change_no_preference(kind, variant, compress, checkpoints, family):
    """Which of two words the engine finds likelier, at 300 places."""
    folder, _ = compress(kind, variant)
    draw = torch.Generator().manual_seed(11)
    words = torch.randint(5, 60, (300, 10), generator=draw).tolist()
    queries = [Query(tuple(ids[:8]), (4,), (word,)) for ids in words if ids[8] != ids[9] for word in ids[8:]]

    def prefers_first(path):
        scores = [float(answer.logprobs[0]) for answer in Scorer(open_model(path, family[kind])).read(queries)]
        return [first > second for first, second in zip(scores[::2], scores[1::2], strict=True)]

    before = prefers_first(checkpoints / kind)
    assert 60 < sum(before) < 240
    assert prefers_first(folder) == before
