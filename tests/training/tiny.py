"""A toy language in which the next word can be learned, and models small enough to train in a second."""

from __future__ import annotations

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from stages.common.params import Tokenizer, Training
from stages.training.data import frame_of, pack
from stages.training.loop import Run
from stages.training.objectives import objective_of
from stages.training.tokenizers import train_tokenizer

SIZES = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 32,
}
ARCHITECTURES = {"masked": "bert", "causal": "gpt_neox"}
_FOOD = {"cat": "fish", "cow": "grass", "bee": "nectar", "owl": "mice", "pig": "roots", "hen": "grain"}
_TIMES = ("today", "at night", "in spring")


def sentences(count, seed):
    """Sentences in which the animal tells the food."""
    draw = np.random.default_rng(seed)
    animals = draw.choice(list(_FOOD), count)
    return [f"the {animal} eats {_FOOD[animal]} {draw.choice(_TIMES)} ." for animal in animals]


def make_tokenizer(family="masked", kind="word", size=64, lowercase=True):
    return train_tokenizer(sentences(100, 1), Tokenizer(kind=kind, vocab_size=size, lowercase=lowercase), family, 32)


def make_model(family="masked", vocabulary=40, **settings):
    torch.manual_seed(5)
    config = AutoConfig.for_model(ARCHITECTURES[family], vocab_size=vocabulary, **SIZES | settings)
    kind = AutoModelForMaskedLM if family == "masked" else AutoModelForCausalLM
    return kind.from_config(config, dtype=torch.float32)


def make_run(family="masked", seed=3, model=None, train=32, valid=16, **settings):
    """A run over ``train`` and ``valid`` sentences, a line each."""
    tokenizer = make_tokenizer(family)
    training = Training.model_validate({
        "steps": 8, "batch_size": 8, "sequence_length": 16, "learning_rate": 0.01, "warmup_steps": 2,
        "packing": "lines", "checkpoints": [50, 100]} | settings)
    rows = [encode(tokenizer, family, sentences(count, at), training) for at, count in enumerate((train, valid))]
    return Run(model or make_model(family, len(tokenizer)), tokenizer, objective_of(tokenizer, family, 0.3), *rows,
               training, seed)


def encode(tokenizer, family, texts, training):
    ids = [np.array(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    return pack(ids, frame_of(tokenizer, family), training.sequence_length, training.packing)
