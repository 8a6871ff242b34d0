"""The tokenizer as the benchmarks see it: which ids a text becomes for a family of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stages.common.errors import ModelError
from stages.common.params import Family


@dataclass(frozen=True)
class Encoder:
    """A fast tokenizer and the model facts that decide how texts are encoded.

    Attributes:
        tokenizer: A Hugging Face fast tokenizer.
        family: Family of the model.
        context: Longest sequence the model takes, in tokens.
        vocabulary: Number of rows of the model's input embedding.
        leading_space: Words in mid-sentence are encoded with a space before them (RoBERTa's
            byte-level vocabulary); bias-bench does this for names containing "roberta".
    """

    tokenizer: Any
    family: Family
    context: int
    vocabulary: int
    leading_space: bool = False

    def encode(self, text: str) -> tuple[int, ...]:
        """Ids of a text, with the special tokens the tokenizer adds by itself.

        Raises:
            ModelError: The sequence is longer than the model's context, or an id lies
                outside the model's vocabulary. Nothing is ever truncated.
        """
        return self.check(self.tokenizer.encode(text), text)

    def encode_word(self, word: str) -> tuple[int, ...]:
        """Ids of a word inside a sentence, without special tokens."""
        return tuple(self.tokenizer.encode(f" {word}" if self.leading_space else word, add_special_tokens=False))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of some ids."""
        return str(self.tokenizer.decode(list(ids)))

    @property
    def mask_token(self) -> str:
        """The mask as text.

        Raises:
            ModelError: The tokenizer has none.
        """
        if self.tokenizer.mask_token is None:
            raise ModelError("the tokenizer has no mask token", fix="score this model as --family causal")
        return str(self.tokenizer.mask_token)

    @property
    def mask_id(self) -> int:
        """The mask as an id (see ``mask_token`` for errors)."""
        return int(self.tokenizer.convert_tokens_to_ids(self.mask_token))

    @property
    def start_ids(self) -> tuple[int, ...]:
        """What a causal model reads before a sentence's first token: ``<|endoftext|>`` (arXiv 2312.05662's code)."""
        token = self.tokenizer.bos_token or self.tokenizer.eos_token or "<|endoftext|>"
        return self.check(tuple(self.tokenizer.encode(token, add_special_tokens=False)), token)

    def check(self, ids: Sequence[int], text: str) -> tuple[int, ...]:
        """Refuse what the model cannot read: see ``encode``."""
        shown = text if len(text) <= 60 else f"{text[:57]}..."
        if len(ids) > self.context:
            raise ModelError(f"text of {len(ids)} tokens, but the model reads {self.context}: {shown!r}",
                             fix="use a model with a longer context, or leave the text out of the dataset")
        if ids and min(ids) < 0:
            raise ModelError(f"token id {min(ids)} of {shown!r} is negative", fix="ids count from 0")
        if ids and max(ids) >= self.vocabulary:
            raise ModelError(f"token id {max(ids)} of {shown!r} is outside the model's vocabulary of {self.vocabulary}",
                             fix="the tokenizer does not belong to this model")
        return tuple(ids)
