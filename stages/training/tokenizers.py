"""Tokenizers trained on a suite's corpus, saved in the form that ``AutoTokenizer`` loads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from stages.common import params

PAD, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
END_OF_TEXT = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], spec: params.Tokenizer, family: str, context: int) -> Any:
    """Train a fast tokenizer.

    Args:
        texts: The training split, one text each.
        spec: Kind, size of the vocabulary (special tokens included), and letter case.
        family: ``masked`` models frame a text as BERT does, ``[CLS] text [SEP]``; ``causal``
            ones add nothing and know ``<|endoftext|>``.
        context: Longest sequence of the model, in tokens.

    Returns:
        A ``PreTrainedTokenizerFast``; the same texts give the same vocabulary.
    """
    tokenizer = _KINDS[spec.kind](spec, _special_tokens(family, spec.kind), list(texts))
    if family == "masked":
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {END}",
            pair=f"{START} $A {END} $B:1 {END}:1",
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in (START, END)],
        )
        roles = {"pad_token": PAD, "cls_token": START, "sep_token": END, "mask_token": MASK}
    else:
        roles = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    if spec.kind != "bpe":
        roles["unk_token"] = UNKNOWN
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=context, **roles)


def _special_tokens(family: str, kind: str) -> list[str]:
    special = [PAD, UNKNOWN, START, END, MASK] if family == "masked" else [END_OF_TEXT, UNKNOWN]
    return [token for token in special if token != UNKNOWN or kind != "bpe"]  # bytes leave nothing unknown


def _wordpiece(spec: params.Tokenizer, special: list[str], texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=spec.lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    # The trainer numbers the letters inside words in an order that changes from run to run, and breaks
    # ties between merges by number. Naming them as its special tokens fixes both; they are special in no other way.
    letters = sorted(set("".join(tokenizer.normalizer.normalize_str(text) for text in texts)) - set(" \t\n"))
    inside = [f"##{letter}" for letter in letters]
    trainer = trainers.WordPieceTrainer(
        vocab_size=spec.vocab_size, special_tokens=[*special, *inside], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    trained = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token=UNKNOWN))
    trained.normalizer, trained.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    trained.decoder = tokenizer.decoder
    trained.add_special_tokens(special)
    return trained


def _bpe(spec: params.Tokenizer, special: list[str], texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if spec.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=spec.vocab_size,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _word(spec: params.Tokenizer, special: list[str], texts: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    if spec.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=spec.vocab_size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


_KINDS = {"wordpiece": _wordpiece, "bpe": _bpe, "word": _word}
