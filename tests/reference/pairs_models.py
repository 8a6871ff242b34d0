"""Tiny models and tokenizers for tests, made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)

_SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    """One id a word: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, then ``words`` from 5."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: place for place, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]",
                                   cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def wordpiece(texts: Sequence[str] = (), size: int = 0, *, pieces: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A lower-casing WordPiece tokenizer like BERT's, trained on texts or of given pieces (ids from 5)."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {piece: place for place, piece in enumerate([*special, *pieces])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    if texts:
        tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]",
                                   cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")


def byte_level(texts: Sequence[str], size: int, *, roberta: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer like RoBERTa's (with its space-eating mask) or GPT-2's."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["<|endoftext|>"]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if not roberta:
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>")
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", mask_token=AddedToken("<mask>", lstrip=True, special=True))


def tiny(architecture: str, texts: Sequence[str]) -> tuple[Any, Any]:
    """A random model of an architecture and a tokenizer trained on some texts."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        # Weights far from zero, so that scores depend on the context and differ between sentences.
        if architecture == "bert":
            tokenizer = wordpiece(texts, 180)
            model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64,
                                               initializer_range=0.3, **_SIZE))
        elif architecture == "roberta":
            tokenizer = byte_level(texts, 330, roberta=True)
            model = RobertaForMaskedLM(RobertaConfig(
                vocab_size=len(tokenizer), max_position_embeddings=80, type_vocab_size=1, pad_token_id=1,
                bos_token_id=0, eos_token_id=2, initializer_range=0.3, **_SIZE))
        elif architecture == "gpt2":
            tokenizer = byte_level(texts, 330, roberta=False)
            model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=80, n_embd=32, n_layer=2,
                                               n_head=2, bos_token_id=0, eos_token_id=0, initializer_range=0.3))
        else:
            tokenizer = byte_level(texts, 330, roberta=False)
            model = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=len(tokenizer), max_position_embeddings=80,
                                                     bos_token_id=0, eos_token_id=0, initializer_range=0.3, **_SIZE))
    return model.float().eval(), tokenizer
