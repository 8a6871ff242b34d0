"""The last checkpoint of a records folder, as comparisons read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.errors import DataError
from stages.common.params import Family
from stages.common.records import read_records, read_vectors
from stages.measures._run import read_run


@dataclass(frozen=True, eq=False)
class Run:
    """The records of one model and variant at its last checkpoint."""

    folder: Path
    """Folder of the checkpoint, e.g. ``data/records/mini/bert/int8/p100``."""
    family: Family
    measures: dict[str, str]
    """Name of the measure of each dataset that was scored."""

    def records(self, dataset: str) -> pd.DataFrame:
        """Records of a dataset (see ``stages.common.records``)."""
        return read_records(self.folder / f"{dataset}.parquet")

    def vectors(self, dataset: str) -> dict[str, np.ndarray]:
        """Embeddings of a dataset, by text."""
        return read_vectors(self.folder / f"{dataset}.vectors.parquet")


def open_run(folder: Path | str) -> Run:
    """Open a records folder at its last checkpoint.

    Raises:
        DataError: ``run.json`` is missing or malformed.
    """
    described = read_run(Path(folder))
    return Run(
        described.folder / described.in_order[-1],
        described.family,
        {slug: scored.measure for slug, scored in described.datasets.items()},
    )


@contextmanager
def located(run: Run, dataset: str) -> Iterator[None]:
    """Name the records file in errors that do not."""
    try:
        yield
    except DataError as error:
        if str(run.folder) in str(error):
            raise
        path = run.folder / f"{dataset}.parquet"
        raise DataError(error.what, where=path if error.where is None else f"{path}: {error.where}",
                        fix=error.fix) from error
