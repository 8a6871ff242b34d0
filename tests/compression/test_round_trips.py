"""Every method that trains nothing: its artefact comes back as the model that was compressed, bit for bit."""

import shutil

import pytest
import torch

from stages import compression
from stages.common.query import Query
from stages.compression import Context, parse_variant
from stages.compression.artefact import open_model
from stages.compression.pipeline import compress_folder, open_subject
from stages.compression.runtime import build_module
from stages.scoring.engine import Scorer

RTN4 = {"method": "round_to_nearest", "bits": 4}
INT8 = {"method": "int8_dynamic"}
CALIBRATED = {"sequences": 4, "length": 16}
HEADS_UNTIL = {"method": "heads_until", "loss_ratio": 1.5, **CALIBRATED}
VARIANTS = [
    {"method": "none"},
    INT8,
    {"method": "dynamic", "weights": "channel", "activations": "full"},
    {"method": "dynamic", "head": False, "embeddings": True},
    RTN4,
    {"method": "round_to_nearest", "bits": 3, "symmetric": False, "scope": "linear"},
    {"method": "round_to_nearest", "bits": 6, "granularity": "group", "group_size": 8, "scope": "all"},
    {"method": "round_to_nearest", "bits": 8, "activation_bits": 8},
    {"method": "gptq", "bits": 3, **CALIBRATED},
    {"method": "gptq", "bits": 4, "granularity": "group", "group_size": 16, "symmetric": False, **CALIBRATED},
    {"method": "cast"},
    {"method": "cast", "dtype": "bfloat16"},
    {"method": "magnitude", "sparsity": 0.6, "scope": "all"},
    {"method": "magnitude", "sparsity": 0.3, "granularity": "global"},
    {"method": "magnitude", "sparsity": 0.7, "embeddings": True, "norms": True},
    {"method": "random_prune", "sparsity": 0.5},
    {"method": "semi_structured"},
    {"method": "wanda", "sparsity": 0.5, **CALIBRATED},
    {"method": "sparsegpt", "sparsity": 0.5, **CALIBRATED},
    {"method": "sparsegpt", "pattern": "2:4", **CALIBRATED},
    {"method": "awq", "bits": 3, **CALIBRATED},
    {"method": "awq", "bits": 4, "granularity": "group", "group_size": 16, "symmetric": False, **CALIBRATED},
    {"method": "heads", "count": 5, "granularity": "global", "by": "random"},
    {"method": "heads", "share": 0.3, "by": "random"},
    HEADS_UNTIL,
    {"method": "low_rank", "share": 0.4},
    {"method": "low_rank", "share": 0.3, "of": "rank", "scope": "linear"},
    {"method": "drop_layers", "count": 1},
    {"method": "noise", "relative_norm": 0.1},
    {"method": "noise", "like": RTN4, "seed": 1},
    {"method": "random_init"},
    [{"method": "magnitude", "sparsity": 0.5}, {"method": "drop_layers", "layers": [1]}, RTN4, INT8],
]
TRAINING = {"distill", "early", "finetune", "iterative"}


def test_every_method_is_tried():
    assert set(compression.names()) - TRAINING == {steps[0].method for steps in map(steps_of, VARIANTS)}


def steps_of(variant):
    return parse_variant(variant, "variant")


def scores(loaded):
    """What the engine makes of three texts."""
    draw = torch.Generator().manual_seed(3)
    texts = [tuple(torch.randint(5, 60, (length,), generator=draw).tolist()) for length in (4, 9, 17)]
    if loaded.family == "sentence":
        return Scorer(loaded).embed(texts)
    queries = [Query(ids, tuple(range(len(ids) - 1)), ids[1:]) for ids in texts]
    return [answer.logprobs for answer in Scorer(loaded).read(queries)]


# A sentence encoder has no loss to hold heads to.
@pytest.mark.parametrize(("variant", "kind"), [
    pytest.param(variant, kind, id=f"{variant}-{kind}")
    for variant in VARIANTS for kind in ("bert", "gpt_neox", "gpt2", "sentence")
    if (variant, kind) != (HEADS_UNTIL, "sentence")
])
def test_an_artefact_loads_without_its_parent_and_is_the_model_just_compressed(
    kind, variant, save, family, corpus, tmp_path, outputs
):
    parent = tmp_path / "parent"
    save(kind, parent)
    subject = open_subject(parent, family[kind])
    for config in steps_of(variant):
        compression.get(config.method).compress(subject, config, Context(0, corpus))
    for name, facts in subject.modules.items():
        module = subject.model.get_submodule(name)
        subject.model.set_submodule(name, build_module(module, facts, subject.forms.get(f"{name}.weight")))
    target = tmp_path / "artefact"
    target.mkdir()
    compress_folder(parent, target, steps_of(variant), family[kind], Context(0, corpus))
    shutil.rmtree(parent)
    opened = open_model(target, family[kind])
    assert not opened.model.training
    assert opened.family == family[kind]
    assert not any(tensor.is_meta for tensor in [*opened.model.parameters(), *opened.model.buffers()])
    for ours, theirs in zip(outputs(opened.model), outputs(subject.model), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(scores(opened), scores(subject.loaded), strict=True):
        assert ours.tobytes() == theirs.tobytes()
