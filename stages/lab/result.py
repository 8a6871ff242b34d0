"""What the models of one cell of a calibration grid say of its world's items, and its two files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from stages.common.files import atomic_folder
from stages.common.records import SCHEMA, read_table, write_table

LAST = "p100"
"""The checkpoint at the end of training."""
COLUMNS = ["variant", "checkpoint", *(name for name in SCHEMA.names if name != "ids")]
_RECORDS = pa.schema([("variant", pa.string()), ("checkpoint", pa.string()),
                      *(SCHEMA.field(name) for name in COLUMNS[2:])])
_VECTORS = pa.schema([("variant", pa.string()), ("text_sha", pa.string()), ("vector", pa.list_(pa.float32()))])


@dataclass(frozen=True, eq=False)
class CellResult:
    """Records and embeddings of every variant of one trained model."""

    records: pd.DataFrame
    """``variant``, ``checkpoint`` and the columns of ``stages.common.records``, token ids left out (``COLUMNS``)."""
    vectors: pd.DataFrame
    """Embeddings of SEAT's texts by the variants of the last checkpoint: ``variant``, ``text_sha``, ``vector``."""

    def of(self, variant: str, dataset: str, checkpoint: str = LAST) -> pd.DataFrame:
        """Records of one dataset by one model."""
        found = self.records
        chosen = (found["variant"] == variant) & (found["dataset"] == dataset) & (found["checkpoint"] == checkpoint)
        return found.loc[chosen, COLUMNS[2:]].reset_index(drop=True)

    def embeddings(self, variant: str) -> dict[str, np.ndarray]:
        """Embedding of each SEAT text, float32, by its key."""
        rows = self.vectors[self.vectors["variant"] == variant]
        return {key: np.asarray(vector, dtype=np.float32)
                for key, vector in zip(rows["text_sha"], rows["vector"], strict=True)}


def write_result(folder: Path, result: CellResult) -> None:
    """Put a folder in place that holds a result: ``records.parquet`` and ``vectors.parquet``."""
    with atomic_folder(folder) as temporary:
        for name, schema, table in (("records", _RECORDS, result.records), ("vectors", _VECTORS, result.vectors)):
            write_table(temporary / f"{name}.parquet",
                        pa.Table.from_pandas(table, schema=schema, preserve_index=False))


def read_result(folder: Path) -> CellResult:
    """Read what ``write_result`` wrote.

    Raises:
        DataError: A file is missing or broken.
    """
    return CellResult(read_table(folder / "records.parquet", COLUMNS),
                      read_table(folder / "vectors.parquet", _VECTORS.names))
