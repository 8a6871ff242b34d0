"""Where models are run: one choice on machines without a GPU, and the same numbers on those with one."""

import numpy as np
import pytest
import torch

from stages.common.errors import ModelError
from stages.scoring.engine import Scorer
from stages.scoring.grouped import GroupedRunner
from stages.scoring.packed import PackedRunner
from stages.scoring.place import place_of
from tests.scoring.test_engine import queries_for
from tests.scoring.tiny import assert_answers, make, make_int8

MODELS = [("bert", "masked"), ("gpt_neox", "causal"), ("bloom", "causal")]


def test_devices_there_are_none_of(bert):
    with pytest.raises(ModelError, match="unknown device 'tpu'"):
        Scorer(bert, device="tpu")
    with pytest.raises(ModelError, match="on the CPU only"):
        Scorer(make_int8("bert", "masked"), device="cuda")


def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused(bert, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [place_of(device, quantized=False) for device in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(ModelError, match=r"no CUDA device here \(use device cpu or auto\)"):
        Scorer(bert, device="cuda")
    queries = queries_for("masked")
    for one, two in zip(Scorer(bert, device="auto").read(queries), Scorer(bert).read(queries), strict=True):
        assert np.array_equal(one.logprobs, two.logprobs)


@pytest.fixture
def tf32():
    """TensorFloat-32 switched on, and afterwards as it was."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = True
    yield
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


@pytest.mark.usefixtures("tf32")
def test_with_a_gpu_auto_is_cuda_but_for_int8_and_products_keep_their_digits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert place_of("cpu", quantized=False) == place_of("auto", quantized=True) == "cpu"
    assert torch.backends.cuda.matmul.allow_tf32
    assert place_of("auto", quantized=False) == place_of("cuda", quantized=False) == "cuda"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="compares a GPU with the CPU")
@pytest.mark.parametrize(("architecture", "family"), MODELS)
def test_cuda_agrees_with_the_cpu(architecture, family):
    loaded = make(architecture, family)
    queries = queries_for(family)
    scorer = Scorer(loaded, device="cuda")
    runner = scorer._runner
    assert isinstance(runner, GroupedRunner if architecture == "bloom" else PackedRunner)
    assert next(runner._model.parameters()).device.type == "cuda"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert_answers(loaded, queries, scorer.read(queries), 1e-3)
    sequences = [query.ids for query in queries]
    np.testing.assert_allclose(scorer.embed(sequences), Scorer(loaded).embed(sequences), atol=1e-3, rtol=1e-3)
