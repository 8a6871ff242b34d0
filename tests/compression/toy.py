"""A language of word pairs, and teachers that have learned it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from stages.common.params import Tokenizer, Training
from stages.compression import Context, parse_variant
from stages.compression.pipeline import compress_folder, compress_in_training
from stages.training.data import frame_of, pack
from stages.training.loop import Run, train
from stages.training.objectives import objective_of
from stages.training.tokenizers import train_tokenizer

WORDS = [f"w{index}" for index in range(24)]
SIZES = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32,
         "max_position_embeddings": 32}
ARCHITECTURES = {"masked": "bert", "causal": "gpt_neox"}
TRAINING = {"steps": 20, "batch_size": 16, "sequence_length": 14, "learning_rate": 0.01, "warmup_steps": 2,
            "packing": "lines", "mask_probability": 0.3, "checkpoints": [50, 100]}


def lines(count, seed):
    """Lines of ten words, each drawn from what the word before it allows: mostly one of three."""
    table = np.random.default_rng(7).dirichlet(np.full(len(WORDS), 0.08), size=len(WORDS))
    draw = np.random.default_rng(seed)
    words = draw.integers(len(WORDS), size=(count, 1))
    for _ in range(9):
        chances = table[words[:, -1]].cumsum(axis=1)
        following = (chances < draw.random((count, 1))).sum(axis=1).clip(max=len(WORDS) - 1)
        words = np.column_stack([words, following])
    return [" ".join(WORDS[index] for index in row) for row in words]


def save_corpus(path, train_lines, valid_lines=200):
    rows = [("train", line) for line in lines(train_lines, 1)] + [("valid", line) for line in lines(valid_lines, 2)]
    pd.DataFrame(rows, columns=["split", "text"]).assign(line=range(len(rows))).to_parquet(path)
    return path


def save_teacher(folder, family, steps=200, checkpoints=(100,)):
    """A model trained on two thousand lines, at ``folder/pNNN``."""
    tokenizer = train_tokenizer(lines(300, 3), Tokenizer(kind="word", vocab_size=64), family, 32)
    torch.manual_seed(1)
    config = AutoConfig.for_model(ARCHITECTURES[family], vocab_size=len(tokenizer), **SIZES)
    kind = AutoModelForMaskedLM if family == "masked" else AutoModelForCausalLM
    settings = Training.model_validate(TRAINING | {
        "steps": steps, "batch_size": 64, "learning_rate": 0.01, "warmup_steps": 20, "checkpoints": checkpoints})
    texts, held_out = (
        pack([np.array(tokenizer(line, add_special_tokens=False)["input_ids"]) for line in lines(count, seed)],
             frame_of(tokenizer, family), settings.sequence_length, "lines")
        for count, seed in ((2000, 4), (100, 5)))
    train(Run(kind.from_config(config), tokenizer, objective_of(tokenizer, family, 0.3), texts, held_out, settings, 1),
          folder)
    return folder


def compress(source, target, variant, family, corpus, seed=0):
    """The final product of a variant."""
    target.mkdir(parents=True)
    return compress_folder(source, target, parse_variant(variant, "variant"), family, Context(seed, corpus))


def curve(source, work, variant, family, corpus, seed=0):
    """The products of a variant over its training, by name."""
    compress_in_training(source, work, parse_variant(variant, "variant"), family, Context(seed, corpus))
    return {path.name: path for path in sorted(work.glob("p[0-9][0-9][0-9]"))}
