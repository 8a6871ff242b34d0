"""Random models of the sizes that matter, with tokenizers trained on the texts to be scored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerFast

from stages.common.params import Family
from stages.models.load import LoadedModel, describe


@dataclass(frozen=True)
class Subject:
    """A model to be timed; speed does not depend on the values of its weights."""

    name: str
    architecture: str
    family: Family
    config: dict[str, Any]


SUBJECTS = (
    Subject("bert-base", "bert", "masked", {}),
    Subject(
        "roberta-base", "roberta", "masked",
        {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    ),
    Subject(
        "pythia-70m", "gpt_neox", "causal",
        {"vocab_size": 50304, "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8,
         "intermediate_size": 2048},
    ),
)  # fmt: skip

_LEARNED_TOKENS = 10_000
"""Size of the tokenizers. The texts are few, and with the models' own vocabulary sizes nearly all
of their words would be one token; so the number of tokens comes close to the real tokenizers'."""


def build(subject: Subject, texts: Iterable[str]) -> LoadedModel:
    """A random model of a subject's size with a tokenizer trained on ``texts``."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(subject.architecture, **subject.config)
    auto = AutoModelForMaskedLM if subject.family == "masked" else AutoModelForCausalLM
    tokenizer = _wordpiece(texts) if subject.architecture == "bert" else _byte_level(texts, subject.family)
    return describe(auto.from_config(config, dtype=torch.float32), tokenizer, subject.family, subject.name)


def quantize(loaded: LoadedModel) -> LoadedModel:
    """The same model after ``quantize_dynamic`` of every Linear."""
    model = torch.ao.quantization.quantize_dynamic(loaded.model, {torch.nn.Linear}, dtype=torch.qint8)
    return describe(model, loaded.tokenizer, loaded.family, loaded.location, parameters=loaded.parameters)


def _wordpiece(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = WordPieceTrainer(vocab_size=_LEARNED_TOKENS, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]",
                                   mask_token="[MASK]")


def _byte_level(texts: Iterable[str], family: Family) -> PreTrainedTokenizerFast:
    masked = family == "masked"
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if masked else ["<|endoftext|>"]
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=_LEARNED_TOKENS, special_tokens=special, initial_alphabet=alphabet,
                         show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    if not masked:
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", mask_token="<mask>")
