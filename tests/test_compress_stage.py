"""The compress stage: a suite's checkpoints, a folder by itself, and the list of methods."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from stages import compress, compression
from stages.common.errors import MethodError, ModelError, ParamsError
from stages.common.files import sha256_folder
from stages.compression import parse_variant
from stages.compression.artefact import open_model
from stages.compression.in_suite import compress_checkpoints
from stages.measure import measure_suite
from stages.score import score_suite

ROOT = Path(__file__).parents[1]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(30))]
PARAMS = {
    "suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 3, "threads": 1, "corpus": "text",
    "datasets": {"text": {"benchmark": "corpus", "source": "data/sources/text.yaml"}},
    "models": {"small": {"source": "local", "family": "masked", "path": "somewhere"}},
    "variants": {
        "fp32": {"method": "none"}, "int8": {"method": "int8_dynamic"},
        "pruned-int8": [{"method": "magnitude", "sparsity": 0.5}, {"method": "int8_dynamic"}],
        "random": {"method": "random_init"},
        "misfit": {"method": "round_to_nearest", "bits": 4, "granularity": "group", "group_size": 64},
    },
}


TRAINING = {"steps": 4, "batch_size": 2, "sequence_length": 8, "learning_rate": 0.01, "warmup_steps": 1}
DISTILL = {"method": "distill", "depth": 0.5, "training": TRAINING}
TUNE = {"method": "finetune", "training": TRAINING}
EARLY, ROUND = {"method": "early", "percent": 50}, {"method": "round_to_nearest", "bits": 4}


def save_model(folder, seed=0, fraction=1.0):
    torch.manual_seed(seed)
    BertForMaskedLM(BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40)).save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
                            sep_token="[SEP]", mask_token="[MASK]").save_pretrained(folder)
    (folder / "checkpoint.json").write_text(json.dumps({"fraction": fraction}))


@pytest.fixture
def suite(tmp_path, monkeypatch):
    """A project folder with a params file and two checkpoints of one model."""
    monkeypatch.chdir(tmp_path)
    write_params()
    for seed, name in enumerate(["p050", "p100"]):
        save_model(Path("models/tiny/checkpoints/small") / name, seed, int(name[1:]) / 100)
    return tmp_path


def write_params(**changes):
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | changes))


def run(variant, model="small"):
    return compress.main(["--params", "params.yaml", "--model", model, "--variant", variant])


@pytest.mark.parametrize("variant", ["fp32", "int8", "pruned-int8", "random"])
def test_every_checkpoint_becomes_an_artefact(variant, suite, capsys):
    assert run(variant) == 0
    folder = Path("models/tiny/compressed/small") / variant
    assert sorted(path.name for path in folder.iterdir()) == ["p050", "p100"]
    ids = torch.arange(5, 15)[None]
    answers = []
    for name, fraction in (("p050", 0.5), ("p100", 1.0)):
        assert json.loads((folder / name / "checkpoint.json").read_text()) == {"fraction": fraction}
        with torch.inference_mode():
            answers.append(open_model(folder / name, "masked").model(ids).logits)
    assert torch.equal(*answers) == (variant == "random")  # the same seed, so the same fresh weights
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"small {variant} p050 (1/2)", f"small {variant} p100 (2/2)"]
    assert "peak memory" in lines[0]


def test_a_variant_may_be_of_the_last_checkpoint_alone(suite):
    write_params(variants=PARAMS["variants"] | {"int8": {"method": "int8_dynamic", "checkpoints": "last"}})
    run("int8")
    assert [path.name for path in Path("models/tiny/compressed/small/int8").iterdir()] == ["p100"]


def test_a_model_that_a_variant_leaves_out_has_no_such_cell(suite):
    models = PARAMS["models"] | {"other": PARAMS["models"]["small"]}
    write_params(models=models, variants=PARAMS["variants"] | {"int8": {"method": "int8_dynamic", "only": ["other"]}})
    for stage in (compress_checkpoints, score_suite, measure_suite):
        with pytest.raises(ParamsError, match=r"variants\.int8\.only: does not name model 'small'"):
            stage("params.yaml", "small", "int8")
    assert not Path("models/tiny/compressed/small/int8").exists()


def test_running_again_gives_the_same_bytes_and_nothing_of_before(suite):
    run("int8")
    folder = Path("models/tiny/compressed/small/int8")
    first = sha256_folder(folder)
    (folder / "p100" / "left over").write_text("x")
    run("int8")
    assert sha256_folder(folder) == first


def test_time_and_memory_are_not_stored(suite):
    run("int8")
    names = {path.name for path in Path("models/tiny/compressed/small/int8/p100").iterdir()}
    assert names == {"checkpoint.json", "config.json", "method.json", "tokenizer.json", "tokenizer_config.json",
                     "weights.safetensors"}
    text = Path("models/tiny/compressed/small/int8/p100/method.json").read_text()
    assert not any(word in text for word in ("seconds", "time", "memory", str(suite)))


def test_time_and_memory_of_every_checkpoint_are_kept_where_nothing_tracks_them(suite, capsys):
    run("int8")
    path = Path(".cache/compression/tiny/small/int8.json")
    costs = json.loads(path.read_text())
    assert list(costs) == ["p050", "p100"]
    for cost, line in zip(costs.values(), capsys.readouterr().out.splitlines(), strict=True):
        assert set(cost) == {"seconds", "peak_memory_bytes"}
        assert line.endswith(f"{cost['seconds']:.1f} s, peak memory {cost['peak_memory_bytes'] / 2**20:.0f} MiB")
        assert cost["seconds"] > 0
        assert 50e6 < cost["peak_memory_bytes"] < 20e9  # torch alone takes more than the former
    ignored = subprocess.run(["git", "check-ignore", str(path)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ignored.stdout.strip() == str(path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("int8", "big"), ParamsError, "unknown model 'big'; there are: small"),
        (("int7",), ParamsError, "unknown variant 'int7'; there are: fp32, int8, misfit"),
        (("misfit",), MethodError, r"groups of 64 do not divide its rows of 16"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing_behind(arguments, error, message, suite):
    with pytest.raises(error, match=message):
        run(*arguments)
    assert not Path("models/tiny/compressed/small").exists() or not any(
        Path("models/tiny/compressed/small").iterdir())


def test_no_checkpoints_is_one_clear_line(suite):
    os.rename("models/tiny/checkpoints/small", "models/tiny/checkpoints/other")
    with pytest.raises(ModelError, match=r"checkpoints/small: holds no checkpoint \(dvc repro checkpoint@small\)"):
        run("int8")


def test_a_failing_checkpoint_leaves_the_earlier_artefacts_alone(suite):
    run("int8")
    folder = Path("models/tiny/compressed/small/int8")
    before = sha256_folder(folder)
    os.truncate("models/tiny/checkpoints/small/p100/model.safetensors", 1000)
    with pytest.raises(ModelError, match="p100"):
        run("int8")
    assert sha256_folder(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["int8"]


def command(*arguments, cwd=ROOT):
    return subprocess.run([sys.executable, "-m", "stages.compress", *arguments], cwd=cwd, capture_output=True,
                          text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)


def test_a_folder_by_itself(tmp_path):
    save_model(tmp_path / "model")
    done = command(str(tmp_path / "model"), "--family", "masked", "--variant", '{"method": "int8_dynamic"}', "--out",
                   str(tmp_path / "artefact"), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r".*/model: int8_dynamic, 0\.\d MB, \d+\.\d s, peak memory \d+ MiB\n", done.stdout)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "artefact"}
    assert open_model(tmp_path / "artefact", "masked").parameters > 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["MODEL", "--family", "masked", "--variant", "int8", "--out", "x"], 1, "error: --variant: not JSON"),
        (["MODEL", "--family", "masked", "--variant", "[]", "--out", "x"], 1, "needs at least one method"),
        (["/no/such/folder", "--family", "masked", "--variant", '{"method": "none"}', "--out", "OUT"], 1,
         "error: /no/such/folder: no such model folder"),
        (["MODEL"], 2, "--family, --variant, --out needed with FOLDER"),
        ([], 2, "--params, --model, --variant needed"),
    ],
)
def test_mistakes_on_the_command_line(arguments, code, message, tmp_path):
    save_model(tmp_path / "model")
    places = {"MODEL": str(tmp_path / "model"), "OUT": str(tmp_path / "out")}
    done = command(*(places.get(argument, argument) for argument in arguments), cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_killed_half_way_it_leaves_no_artefact(tmp_path):
    save_model(tmp_path / "model")
    # Slow enough to be caught in the act: the folder is there under its temporary name, the artefact is not.
    program = ("import time; from stages.compression import write; save = write.save_file\n"
               "def slow(*a, **k):\n    save(*a, **k); print('written', flush=True); time.sleep(60)\n"
               "write.save_file = slow\n"
               "from stages import compress; compress.main()")
    worker = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "model"), "--family", "masked", "--variant",
         '{"method": "int8_dynamic"}', "--out", str(tmp_path / "artefact")],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True)
    assert worker.stdout.readline() == "written\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait(timeout=10)
    worker.stdout.close()
    assert not (tmp_path / "artefact").exists()


def test_the_list_names_every_method_with_its_settings():
    start = time.perf_counter()
    done = command("--list", "--json")
    assert time.perf_counter() - start < 10
    methods = {method["method"]: method for method in json.loads(done.stdout)}
    assert list(methods) == sorted(methods) == compression.names()
    assert {"none", "int8_dynamic", "round_to_nearest", "gptq", "wanda", "heads", "noise"} <= set(methods)
    for name, method in methods.items():
        assert method["version"] >= 1
        assert method["summary"].endswith(".")
        assert method["config"]["properties"]["method"]["const"] == name
        assert method["config"]["additionalProperties"] is False
    assert methods["round_to_nearest"]["config"]["properties"]["bits"]["maximum"] == 16
    plain = command("--list").stdout.splitlines()
    assert [line.split()[0] for line in plain] == list(methods)


def test_reading_settings_needs_no_torch():
    program = (
        "import sys; from stages import compression\n"
        "for name in compression.names(): compression.get(name)\n"
        "compression.parse_variant([{'method': 'noise', 'like': {'method': 'wanda', 'sparsity': 0.5}}], 'x')\n"
        "print([name for name in ('torch', 'transformers', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({}, "variants.x: a variant needs 'method' .*gptq"),
        ("int8", "variants.x: a variant needs 'method'"),
        ([], "needs at least one method"),
        ([{"method": "none"}, {"method": "nome"}], r"variants\.x\[1\]\.method: unknown compression method 'nome'"),
        ({"method": "int8_dynamic", "bits": 8}, r"variants\.x: bits: unknown key; allowed: engine, method"),
        ({"method": "int8_dynamic", "engine": "cuda"}, "engine: .*'x86'"),
        ({"method": "../none"}, "unknown compression method"),
        ([{"method": "int8_dynamic"}, {"method": "none"}], r"variants\.x\[1\]: no step can follow int8_dynamic"),
        ([DISTILL, EARLY], r"variants\.x\[1\]: early: takes the place .* \(make it the first step\)"),
        ([DISTILL, {"method": "noise", "like": EARLY}], r"variants\.x\[1\]: like: early: takes the place"),
        ([ROUND, TUNE], r"variants\.x\[1\]: finetune: zeros among rounded .* \(say keep_zeros: true or false\)"),
        (TUNE | {"training": TRAINING | {"learning_rate": float("inf")}}, r"training\.learning_rate: .* finite"),
        (TUNE | {"training": TRAINING | {"learning_rate": float("nan")}}, r"training\.learning_rate: .* finite"),
        (TUNE | {"training": TRAINING | {"weight_decay": float("inf")}}, r"training\.weight_decay: .* finite"),
        (TUNE | {"training": TRAINING | {"weight_decay": float("nan")}}, r"training\.weight_decay: .* finite"),
    ],
)
def test_variants_that_make_no_sense_are_refused(variant, message):
    with pytest.raises(ParamsError, match=message):
        parse_variant(variant, "variants.x")


@pytest.mark.parametrize("variant", [
    [EARLY, TUNE], [ROUND, TUNE | {"keep_zeros": True}], [ROUND, DISTILL, TUNE],
    [{"method": "magnitude", "sparsity": 0.5}, TUNE],
])
def test_variants_that_some_model_can_serve_are_not(variant):
    assert [step.method for step in parse_variant(variant, "x")] == [step["method"] for step in variant]
