"""int8 where torch has no ``torch.ao``: the same integers and scores, from this project's own arithmetic."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.ao.quantization.qconfig import default_dynamic_qconfig, per_channel_dynamic_qconfig

from stages.common.query import Query
from stages.compression.artefact import open_model
from stages.compression.int8 import is_dynamic
from stages.compression.int8_weights import quantize_weight
from stages.compression.while_loading import open_int8
from stages.models.load import describe, load_model
from stages.scoring.engine import Scorer

TEXTS = [(2, 7, 9, 11, 3), (2, 8, 3), (2, 30, 31, 32, 33, 34, 3)]

# Runs without torch.ao: argv is the model's folder, the folder to compress into, its family, and a file for the result.
WITHOUT = f"""
import importlib.abc, sys
from pathlib import Path
import torch

for name in [name for name in sys.modules if name == "torch.ao" or name.startswith("torch.ao.")]:
    del sys.modules[name]
del torch.ao

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch.ao" or name.startswith("torch.ao."):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())

from stages.common.query import Query
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.int8 import PortableLinear
from stages.compression.pipeline import compress_folder
from stages.compression.while_loading import open_int8
from stages.scoring.engine import Scorer

folder, target, family, result = sys.argv[1:]
compress_folder(Path(folder), Path(target), parse_variant({{"method": "int8_dynamic"}}, "x"), family, Context())
found = {{}}
for label, loaded in (("artefact", open_model(target, family)), ("while_loading", open_int8(folder, family))):
    layers = {{name: m for name, m in loaded.model.named_modules() if isinstance(m, PortableLinear)}}
    found[label] = {{name: (m.integers, m.scale) for name, m in layers.items()}}
    answers = Scorer(loaded).read([Query(ids, (1,), ids[1:2]) for ids in {TEXTS}])
    found[label + " scores"] = [float(answer.logprobs[0]) for answer in answers]
assert not [name for name in sys.modules if name.startswith("torch.ao")]
torch.save(found, result)
"""


def scores(loaded):
    return [float(answer.logprobs[0]) for answer in Scorer(loaded).read([Query(ids, (1,), ids[1:2]) for ids in TEXTS])]


def torch_aos(model):
    quantized = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    layers = {name: module for name, module in quantized.named_modules() if is_dynamic(module)}
    return quantized, {name: (layer.weight().int_repr(), layer.weight().q_scale()) for name, layer in layers.items()}


@pytest.mark.parametrize("kind", ["bert", "gpt_neox"])  # a tied head, and an untied one
def test_artefact_loading_and_scoring(kind, checkpoints, family, tmp_path):
    folder, target, result = checkpoints / kind, tmp_path / "artefact", tmp_path / "found.pt"
    target.mkdir()
    command = [sys.executable, "-c", WITHOUT, str(folder), str(target), family[kind], str(result)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("torch.ao is not in this build of torch") == 1
    assert "what torch.ao's engine 'x86' computes" in done.stderr
    found = torch.load(result)
    loaded = load_model(folder, family[kind])
    quantized, expected = torch_aos(loaded.model)
    for label in ("artefact", "while_loading"):
        assert sorted(found[label]) == sorted(expected)
        for name, (integers, scale) in found[label].items():
            assert torch.equal(integers, expected[name][0]), name
            assert float(scale) == expected[name][1], name
    one = scores(describe(quantized, loaded.tokenizer, loaded.family, folder))
    assert found["artefact scores"] == pytest.approx(one, abs=1e-5)
    assert found["while_loading scores"] == found["artefact scores"]
    # What was written there opens here too, and the other way round the integers are those of torch.ao.
    assert scores(open_model(target, family[kind])) == scores(open_int8(folder, family[kind]))


def weights():
    draw = torch.Generator().manual_seed(0)
    for trial in range(60):
        rows, columns = torch.randint(1, 300, (2,), generator=draw).tolist()
        yield torch.randn(rows, columns, generator=draw) * 10 ** float(8 * torch.rand((), generator=draw) - 6)
        if trial % 5 == 0:
            # Every weight lies half way between two integers, or on one.
            yield torch.randint(-255, 256, (rows, columns), generator=draw) * 0.5
    yield torch.zeros(3, 4)
    yield torch.tensor([[0.0, 0.0], [-1.0, -2.0], [1e-9, 0.0]])
    yield torch.randn(7, 5, generator=draw).T
    yield torch.randn(3000, 700, generator=draw)  # taken in several stretches of rows


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
def test_integers_and_scales_are_those_of_torch_aos_observers(per_channel):
    for weight in weights():
        observer = (per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig).weight()
        observer(weight)
        scale = observer.calculate_qparams()[0]
        zero = torch.zeros(len(scale), dtype=torch.int64)
        expected = torch.quantize_per_channel(weight, scale.double(), zero, 0, torch.qint8) if per_channel else \
            torch.quantize_per_tensor(weight, float(scale), 0, torch.qint8)
        integers, found = quantize_weight(weight, per_channel)
        assert torch.equal(found, scale[:, None] if per_channel else scale.reshape(()))
        assert torch.equal(integers, expected.int_repr())
        assert integers.is_contiguous()
