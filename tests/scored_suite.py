"""A project of small models and three clean tables, for tests of the score stage."""

import json
from pathlib import Path

import pandas as pd
import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = ["[PAD]", "[UNK]", "[MASK]", "<|endoftext|>", "he", "she", "is", "a", "nurse", "doctor", "kind", "tall", ".",
         "John", "Amy"]
PAIRS = pd.DataFrame(
    [
        ("0", "gender", "stereo", "she is a nurse .", "he is a nurse .", "he|she"),
        ("1", "gender", "antistereo", "he is a kind nurse", "she is a kind nurse", "he|she"),
        ("2", "gender", "stereo", "she is tall", "is tall", "she"),  # one side has no word of its own
    ],
    columns=["item", "category", "direction", "sent_more", "sent_less", "cluster"],
)
SEAT = pd.DataFrame(
    [
        ("sent-weat6", "gender", role, "names", 0, f"{name} is {word}")
        for role, name, word in (("X", "John", "tall"), ("Y", "Amy", "tall"), ("A", "he", "kind"), ("B", "she", "kind"))
    ],
    columns=["test", "category", "role", "group", "position", "text"],
)


def tokenizer():
    model = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=model, unk_token="[UNK]", pad_token="[PAD]", mask_token="[MASK]",
                                   eos_token="<|endoftext|>")


def save_model(folder, architecture="bert", seed=0):
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
             "vocab_size": len(WORDS), "max_position_embeddings": 32, "initializer_range": 0.5}
    model = BertForMaskedLM(BertConfig(**sizes)) if architecture == "bert" else GPTNeoXForCausalLM(
        GPTNeoXConfig(**sizes))
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def build():
    """Write a project into the current folder: a masked model of two checkpoints, a causal one, three clean tables."""
    datasets = {
        "crows": {"benchmark": "crows_pairs", "source": "data/sources/crows_pairs.yaml"},
        "seat": {"benchmark": "seat", "source": "data/sources/seat.yaml"},
        "text": {"benchmark": "corpus", "source": "data/sources/wikitext2.yaml", "options": {"min_words": 1}},
    }
    models = {name: {"source": "local", "family": family, "path": "unused"}
              for name, family in (("small", "masked"), ("neox", "causal"), ("encoder", "sentence"))}
    params = {"suite": "tiny", "params_file": "params.yaml", "wdir": ".", "seed": 0, "threads": 1, "corpus": "text",
              "datasets": datasets, "models": models, "variants": {"fp32": {"method": "none"}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    clean = Path("data/clean/tiny")
    clean.mkdir(parents=True)
    PAIRS.to_parquet(clean / "crows.parquet")
    SEAT.to_parquet(clean / "seat.parquet")
    lines = [("test", 0, "he is a doctor ."), ("train", 1, "she is a doctor ."), ("test", 2, "she is kind")]
    pd.DataFrame(lines, columns=["split", "line", "text"]).to_parquet(clean / "text.parquet")
    for seed, (name, fraction) in enumerate((("p010", 0.1), ("p100", 1.0))):
        folder = save_model(Path("models/tiny/compressed/small/fp32") / name, seed=seed)
        (folder / "checkpoint.json").write_text(json.dumps({"fraction": fraction, "step": int(100 * fraction)}))
    save_model(Path("models/tiny/compressed/neox/fp32/p100"), "gpt_neox")
