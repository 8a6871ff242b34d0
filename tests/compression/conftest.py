"""Small models of every kind that compression treats differently, with a tokenizer and a corpus."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, processors
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

from stages.compression import Context, parse_variant
from stages.compression.manifest import Manifest
from stages.compression.pipeline import compress_folder
from stages.compression.subject import Subject

WORDS = 55
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{index}" for index in range(WORDS))]
SIZE = {"vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 40}
SPECIAL = {"pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}

KINDS = {
    "bert": ("masked", lambda: BertForMaskedLM(BertConfig(**SIZE))),
    "bert_untied": ("masked", lambda: BertForMaskedLM(BertConfig(**SIZE, tie_word_embeddings=False))),
    "roberta": ("masked", lambda: RobertaForMaskedLM(RobertaConfig(**SIZE, pad_token_id=0))),
    "gpt_neox": ("causal", lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZE))),
    "gpt2": ("causal", lambda: GPT2LMHeadModel(GPT2Config(
        vocab_size=len(VOCABULARY), n_embd=32, n_layer=3, n_head=4, n_positions=40))),
    "modernbert": ("masked", lambda: ModernBertForMaskedLM(ModernBertConfig(**SIZE, **SPECIAL))),
    "gpt_neo": ("causal", lambda: GPTNeoForCausalLM(GPTNeoConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_layers=2, num_heads=4, max_position_embeddings=40,
        attention_types=[[["global", "local"], 1]]))),
    "sentence": ("sentence", lambda: BertModel(BertConfig(**SIZE), add_pooling_layer=False)),
}


def save_tokenizer(folder):
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
                            sep_token="[SEP]", mask_token="[MASK]").save_pretrained(folder)


def save_model(kind, folder, seed=0):
    """A random model of a kind, biases and all drawn wide enough that outputs differ between tokens."""
    torch.manual_seed(seed)
    model = KINDS[kind][1]().eval()
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.15 if parameter.dim() > 1 else 0.3)
        if "norm" in name.lower() and name.endswith("weight"):
            parameter.data.add_(1.0)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    (folder / "checkpoint.json").write_text(json.dumps({"fraction": 1.0, "step": 7}))
    return model


@pytest.fixture
def save():
    """Saves a new random model of a kind: ``save(kind, folder, seed)``."""
    return save_model


@pytest.fixture
def family():
    """Family of each kind of model."""
    return {kind: family for kind, (family, _) in KINDS.items()}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folder of a model of every kind; tests only read them."""
    root = tmp_path_factory.mktemp("checkpoints")
    for kind in KINDS:
        save_model(kind, root / kind)
    return root


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A corpus table: 200 training lines of 12 words, with a word that is only in the test split."""
    draw = np.random.default_rng(0)
    lines = [" ".join(f"w{index}" for index in draw.zipf(1.3, 12) % (WORDS - 1)) for _ in range(200)]
    table = pd.DataFrame({"split": "train", "line": range(200), "text": lines})
    held_out = pd.DataFrame({"split": "test", "line": range(50), "text": f"w{WORDS - 1}"})
    path = tmp_path_factory.mktemp("corpus") / "corpus.parquet"
    pd.concat([table, held_out]).to_parquet(path)
    return path


@pytest.fixture
def compress(checkpoints, corpus, tmp_path):
    """Compress a model of a kind by a variant: gives the artefact's folder and manifest."""

    def run(kind, variant, name="artefact", seed=0):
        target = tmp_path / name
        target.mkdir()
        manifest = compress_folder(checkpoints / kind, target, parse_variant(variant, "variant"), KINDS[kind][0],
                                   Context(seed, corpus))
        assert isinstance(manifest, Manifest)
        return target, manifest

    return run


@pytest.fixture
def subject(checkpoints):
    """A fresh subject of a kind."""
    from stages.compression.pipeline import open_subject

    def load(kind) -> Subject:
        return open_subject(Path(checkpoints / kind), KINDS[kind][0])

    return load


@pytest.fixture
def outputs():
    """What a model says to three texts of different lengths, read one by one."""

    def read(model):
        draw = torch.Generator().manual_seed(3)
        texts = [torch.randint(5, len(VOCABULARY), (1, length), generator=draw) for length in (4, 9, 17)]
        with torch.inference_mode():
            results = [model(ids) for ids in texts]
        return [result.logits if hasattr(result, "logits") else result.last_hidden_state for result in results]

    return read
