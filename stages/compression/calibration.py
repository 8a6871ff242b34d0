"""Texts that a method is calibrated on: plain ones, or with words masked for a model that was trained on such.

A hidden word is always replaced by the mask token. Training leaves 10% of the words it asks for as they are, and
puts any word in the place of another 10% (``stages.training.objectives``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.common.errors import MethodError
from stages.common.records import read_table
from stages.compression import Context
from stages.compression.drawing import generator
from stages.compression.subject import Subject

_LINES_AT_ONCE = 256


def calibration_inputs(
    subject: Subject, context: Context, sequences: int, length: int, mask_probability: float
) -> Tensor:
    """What a model reads of the calibration texts: a masked one finds words hidden, the others plain text.

    Args:
        subject: The model.
        context: Names the corpus and the seed, of the masked positions too.
        sequences: How many.
        length: Tokens in each, special ones included.
        mask_probability: Share of the words that are hidden from a masked model, each by the mask token.

    Returns:
        int64 of shape [sequences, length].

    Raises:
        MethodError: See ``calibration_ids``.
        DataError: The corpus cannot be read.
    """
    ids = calibration_ids(subject, context, sequences, length)
    if subject.loaded.family != "masked":
        return ids
    return hide_words(subject, ids, mask_probability, generator(context.seed, "masked positions"))[0]


def hide_words(subject: Subject, ids: Tensor, probability: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Put the mask token in the place of some words.

    Args:
        subject: A masked model.
        ids: int64 of shape [sequences, length].
        probability: Chance of each word; special tokens stay.
        draw: Decides which.

    Returns:
        The ids with masks, and bool of the same shape: where they are.
    """
    special = torch.tensor(subject.loaded.tokenizer.all_special_ids)
    hidden = (torch.rand(ids.shape, generator=draw) < probability) & ~torch.isin(ids, special)
    return ids.masked_fill(hidden, subject.loaded.encoder.mask_id), hidden


def calibration_ids(subject: Subject, context: Context, sequences: int, length: int) -> Tensor:
    """Token sequences of equal length from the training split of the suite's corpus.

    Lines are taken in random order (seeded), joined and cut; each sequence gets the special tokens
    that the tokenizer puts around a text.

    Args:
        subject: The model, for its tokenizer.
        context: Names the corpus and the seed.
        sequences: How many.
        length: Tokens in each, special ones included.

    Returns:
        int64 of shape [sequences, length].

    Raises:
        MethodError: No corpus is given, it is too short, or the sequences are longer than the model reads.
        DataError: The corpus cannot be read.
    """
    if context.corpus is None:
        raise MethodError("needs texts to calibrate on", fix="give --corpus FILE.parquet (columns split and text)")
    encoder, tokenizer = subject.loaded.encoder, subject.loaded.tokenizer
    around = tokenizer("")["input_ids"]
    inner = length - len(around)
    if length > encoder.context or inner < 1:
        raise MethodError(f"sequences of {length} tokens do not fit the model",
                          fix=f"it reads {len(around) + 1} to {encoder.context} tokens")
    table = read_table(context.corpus, ["split", "text"])
    lines = [line for line in table.loc[table["split"] == "train", "text"] if line.strip()]
    order = torch.randperm(len(lines), generator=generator(context.seed, "calibration")).tolist()
    tokens: list[int] = []
    for start in range(0, len(lines), _LINES_AT_ONCE):
        chosen = [lines[index] for index in order[start : start + _LINES_AT_ONCE]]
        for ids in tokenizer(chosen, add_special_tokens=False)["input_ids"]:
            tokens.extend(ids)
        if len(tokens) >= sequences * inner:
            break
    if len(tokens) < sequences * inner:
        raise MethodError(f"gives {len(tokens) // inner} sequences of {length} tokens, {sequences} are asked for",
                          where=context.corpus, fix="ask for fewer or shorter calibration sequences")
    # A tokenizer puts its special tokens before and after; where it has but one, that stands before.
    before, after = around[: -(-len(around) // 2)], around[-(-len(around) // 2):]
    return torch.tensor([
        before + tokens[start : start + inner] + after for start in range(0, sequences * inner, inner)
    ])
