"""The corpus as token sequences: ``datasets`` reads and tokenises it into Arrow, packing cuts it to length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from stages.common.errors import DataError
from stages.common.files import sha256_file

CACHE = Path(".cache/datasets")


@dataclass(frozen=True)
class Frame:
    """What a model family puts around the tokens of a sequence."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    between: tuple[int, ...]
    """What separates two texts in one sequence."""


def frame_of(tokenizer: Any, family: str) -> Frame:
    """``[CLS] ... [SEP]`` for masked models; for causal ones ``<|endoftext|>`` between texts."""
    if family == "masked":
        return Frame((tokenizer.cls_token_id,), (tokenizer.sep_token_id,), ())
    return Frame((), (), (tokenizer.eos_token_id,))


class Corpus:
    """A cleaned corpus table (columns ``split``, ``line``, ``text``), memory-mapped as Arrow.

    Args:
        parquet: The table.
        cache: Folder for the Arrow files; safe to delete.

    Raises:
        DataError: The table is missing or lacks a column.
    """

    def __init__(self, parquet: Path, cache: Path = CACHE) -> None:
        import datasets

        if not parquet.is_file():
            raise DataError("no such corpus table", where=parquet, fix="run the stage that writes it: dvc repro")
        datasets.disable_progress_bars()
        self._where = parquet
        # By content: the library itself knows a file again by its path and time.
        cache = cache / sha256_file(parquet)[:16]
        self._table = datasets.load_dataset("parquet", data_files=str(parquet), split="train", cache_dir=str(cache))
        missing = {"split", "line", "text"} - set(self._table.column_names)
        if missing:
            raise DataError(f"lacks the columns {', '.join(sorted(missing))}", where=parquet)

    def texts(self, split: str) -> Iterator[str]:
        """The texts of a split that are not blank, in the order of the corpus."""
        for batch in self._rows(split).iter(batch_size=1_000):
            yield from batch["text"]

    def encode(self, split: str, tokenizer: Any) -> list[np.ndarray]:
        """Token ids of a split's texts, without special tokens: one int64 array [tokens] a text.

        Raises:
            DataError: The split holds no text.
        """
        encoded = self._rows(split).map(
            _encode, fn_kwargs={"tokenizer": tokenizer}, batched=True, remove_columns=self._table.column_names
        )
        if not len(encoded):
            raise DataError(f"the corpus has no text in split {split!r}", where=self._where)
        column = encoded.with_format("arrow")[:]["ids"].combine_chunks()
        values, offsets = column.values.to_numpy(), column.offsets.to_numpy()
        return [row.astype(np.int64) for row in np.split(values[: offsets[-1]], offsets[1:-1])]

    def _rows(self, split: str) -> Any:
        return self._table.filter(_wanted, fn_kwargs={"split": split}, batched=True)


def pack(texts: list[np.ndarray], frame: Frame, length: int, packing: Literal["blocks", "lines"]) -> list[np.ndarray]:
    """Cut texts into sequences of at most ``length`` tokens, what frames them included.

    Args:
        texts: Token ids, one int64 array a text.
        frame: What goes around and between texts.
        length: Longest sequence.
        packing: ``blocks`` joins all texts and cuts them into sequences of exactly ``length``,
            dropping the rest; ``lines`` starts a sequence with every text.

    Raises:
        DataError: The texts do not fill one block.
    """
    room = length - len(frame.before) - len(frame.after)
    between = np.array(frame.between, dtype=np.int64)
    # A causal model learns a text's first token from the separator, and its end by predicting one.
    parts = [np.concatenate([between, text, between if packing == "lines" else between[:0]]) for text in texts]
    if packing == "blocks":
        joined = np.concatenate(parts)
        if len(joined) < room:
            raise DataError(f"the corpus has {len(joined)} tokens, fewer than one sequence of {room}",
                            where="training.sequence_length")
        pieces = list(joined[: len(joined) // room * room].reshape(-1, room))
    else:
        pieces = [part[start : start + room] for part in parts for start in range(0, len(part), room)]
    before, after = (np.array(ids, dtype=np.int64) for ids in (frame.before, frame.after))
    return [np.concatenate([before, piece, after]) for piece in pieces]


def _wanted(batch: dict[str, list[Any]], split: str) -> list[bool]:
    pairs = zip(batch["split"], batch["text"], strict=True)
    return [name == split and bool(text.strip()) for name, text in pairs]


def _encode(batch: dict[str, list[Any]], tokenizer: Any) -> dict[str, list[Any]]:
    # The tokenizer warns of texts longer than the model's context; packing cuts them.
    return {"ids": tokenizer(batch["text"], add_special_tokens=False, verbose=False)["input_ids"]}
