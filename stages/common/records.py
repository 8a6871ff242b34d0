"""Per-item records: the primary result, from which every metric is computed.

One parquet file a dataset, one row per scored text:

=========  =======  ==============================================================
column     type     meaning
=========  =======  ==============================================================
dataset    string   slug of the dataset in params, e.g. ``stereoset_dev``
item       string   own row key of the item, which a pair or triple shares; in SEAT
                    ``<test>/<role>/<position>``
category   string   bias type, domain, or corpus split
cluster    string   what items share: swapped term, target term, template
role       string   ``stereo | anti | unrelated``, SEAT's ``X | Y | A | B``, ``text``
direction  string   CrowS-Pairs' ``stereo | antistereo``; empty elsewhere
text_sha   string   key of the text (``stages.common.files.sha256_text``)
tokens     int32    tokens of the text as the model sees it, special ones included
words      int32    whitespace-separated words of the text, whatever the tokenizer
scored     int32    positions scored; 0 means the item could not be scored
score      float64  the benchmark's own score; NaN exactly where ``scored`` is 0
logprob    float64  sum of natural log-probabilities over the scored positions
entropy    float64  mean entropy (nats) of the model at the scored positions
ids        list     int32, the tokens looked for at the scored positions; of an
                    embedded text all its tokens; empty if the item was not scored
=========  =======  ==============================================================

Embedding datasets (SEAT) have ``scored`` 0 throughout and a second file
``<dataset>.vectors.parquet``: ``text_sha`` and ``vector`` (list of float32).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stages.common.errors import DataError
from stages.common.files import atomic_path

SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("item", pa.string()),
        ("category", pa.string()),
        ("cluster", pa.string()),
        ("role", pa.string()),
        ("direction", pa.string()),
        ("text_sha", pa.string()),
        ("tokens", pa.int32()),
        ("words", pa.int32()),
        ("scored", pa.int32()),
        ("score", pa.float64()),
        ("logprob", pa.float64()),
        ("entropy", pa.float64()),
        ("ids", pa.list_(pa.int32())),
    ]
)
KEYS = ["dataset", "category", "item", "role", "text_sha"]


def arrow_schema(columns: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of columns given as ``{name: type}``; types are ``string``, ``bool``, ``int64``, ``float64``."""
    return pa.schema([(name, pa.type_for_alias(kind)) for name, kind in columns.items()])


def write_table(path: Path | str, table: pa.Table) -> None:
    """Write an Arrow table as parquet atomically, without timestamps or writer-dependent metadata."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", store_schema=False)


def write_records(path: Path | str, records: pd.DataFrame) -> None:
    """Sort records by key and write them; the same records give the same bytes.

    Raises:
        DataError: A key is duplicated, or a score is NaN or infinite although positions were scored.
    """
    records = records.sort_values(KEYS, kind="stable", ignore_index=True)
    repeated = records.duplicated(KEYS)
    if repeated.any():
        raise DataError(f"duplicate record {records.loc[repeated, KEYS].iloc[0].to_dict()}", where=path)
    scored = records["scored"] > 0
    finite = np.isfinite(records[["score", "logprob", "entropy"]].to_numpy(dtype=float)).all(axis=1)
    broken = scored.to_numpy() & ~finite
    if broken.any():
        row = records.loc[broken].iloc[0]
        raise DataError(f"score of item {row['item']!r} ({row['role']}) is {row['score']}", where=path,
                        fix="the model gives no finite probabilities for this item")
    write_table(path, pa.Table.from_pandas(records, schema=SCHEMA, preserve_index=False))


def read_records(path: Path | str) -> pd.DataFrame:
    """Read one records file.

    Raises:
        DataError: The file is missing, is not parquet, or lacks a column.
    """
    return read_table(path, SCHEMA.names)


def write_vectors(path: Path | str, vectors: dict[str, np.ndarray]) -> None:
    """Write embeddings keyed by text: ``text_sha`` -> float32 vector of shape [hidden].

    Raises:
        DataError: A vector holds NaN or infinity.
    """
    keys = sorted(vectors)
    for key in keys:
        if not np.isfinite(vectors[key]).all():
            raise DataError(f"embedding of text {key} is not finite", where=path)
    column = pa.array([np.asarray(vectors[key], dtype=np.float32) for key in keys], pa.list_(pa.float32()))
    write_table(path, pa.table({"text_sha": pa.array(keys, pa.string()), "vector": column}))


def read_vectors(path: Path | str) -> dict[str, np.ndarray]:
    """Read embeddings written by ``write_vectors``."""
    frame = read_table(path, ["text_sha", "vector"])
    return {key: np.asarray(vector, dtype=np.float32)
            for key, vector in zip(frame["text_sha"], frame["vector"], strict=True)}


def read_table(path: Path | str, columns: list[str]) -> pd.DataFrame:
    """Read a parquet file whole and check that it has the named columns, in a frame with those first."""
    path = Path(path)
    if not path.is_file():
        raise DataError("no such file", where=path, fix="run the stage that writes it: dvc repro")
    try:
        frame: pd.DataFrame = pq.read_table(path).to_pandas()
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"not a readable parquet file: {error}", where=path) from error
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise DataError(f"lacks the columns {', '.join(missing)}", where=path)
    return frame[columns + [name for name in frame.columns if name not in columns]]
