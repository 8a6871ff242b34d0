"""What a process needs at its peak to load, quantize and score a model, measured in processes of their own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from stages.models.memory import give_back
from tests.scoring.tiny import tokenizer

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
SIZES = {"hidden_size": 1024, "num_hidden_layers": 5, "num_attention_heads": 16, "intermediate_size": 4096,
         "vocab_size": 3000, "max_position_embeddings": 64}
SHARD = 60 * MIB
CHILD = """
import gc, json, sys
from pathlib import Path
import torch
from stages.common.query import Query
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder
from stages.compression.while_loading import open_int8
from stages.scoring.engine import Scorer
from tests.scoring.tiny import make

folder, target = map(Path, sys.argv[1:])
target.mkdir()

def status(key):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(key))

def score(open_it, path):
    scorer = Scorer(open_it(path, "masked"), consume=True)
    return [float(scorer.read([Query((3, 4, 5 + k, 7, 6), (1,), (9,))])[0].logprobs[0]) for k in range(5)]

def compress():
    compress_folder(folder, target, parse_variant({"method": "int8_dynamic"}, "test"), "masked", Context())

torch.set_num_threads(1)
Scorer(make("bert", "masked"))  # what is needed whatever the size of the model
found = {}
for name, work in {
    "int8": lambda: score(open_int8, folder), "compress": compress,
    "artefact": lambda: score(open_model, target), "fp32": lambda: score(open_model, folder),
}.items():
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from what is resident now
    before = status("VmRSS")
    found[name + " scores"] = work()
    found[name] = status("VmHWM") - before
    gc.collect()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("sharded")
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**SIZES)).save_pretrained(path, max_shard_size=SHARD)
    tokenizer().save_pretrained(path)
    return path


def stored(folder):
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def test_no_weight_is_held_twice_and_int8_never_holds_float32_whole(folder, tmp_path):
    done = subprocess.run([sys.executable, "-c", CHILD, folder, tmp_path / "int8"], text=True, cwd=ROOT,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    whole, largest = stored(folder), max(path.stat().st_size for path in folder.glob("*.safetensors"))
    small = stored(tmp_path / "int8")
    assert whole > 250 * MIB
    assert found["fp32"] < whole + 60 * MIB
    assert found["int8"] < small + largest < whole / 2
    assert found["compress"] < 2 * small + largest < whole
    assert found["artefact"] < small + largest
    assert found["int8 scores"] == found["artefact scores"]
    assert found["int8 scores"] != found["fp32 scores"]


def test_what_is_given_back_keeps_its_values(folder):
    model = BertForMaskedLM.from_pretrained(folder)
    weight = model.bert.encoder.layer[0].intermediate.dense.weight.detach()
    before = weight.clone()
    for part in (weight, weight[100:200], weight.T):
        give_back(part)
        assert torch.equal(weight, before)
    give_back(before)  # memory of its own is left alone
    assert torch.equal(weight, before)
