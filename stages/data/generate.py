"""Datasets written by a planted world, in the upstream file formats."""

from __future__ import annotations

from pathlib import Path

from stages.common.files import atomic_folder
from stages.common.params import Dataset, Params, choose
from stages.data.provenance import describe_file, write_provenance
from stages.lab.writer import write_dataset


def generate(params: Params, dataset: Dataset, folder: Path) -> None:
    """Have the world of a ``lab:<world>`` source write a dataset's files into ``folder``.

    Raises:
        ParamsError: The world does not exist, or cannot write this benchmark.
    """
    name = dataset.source.removeprefix("lab:")
    world = choose(params.worlds, name, "world")
    with atomic_folder(folder) as fresh:
        facts = write_dataset(world, dataset.benchmark, fresh)
        entries = {path.name: {**describe_file(path), "provenance": "generated", "licence": "Apache-2.0"}
                   for path in sorted(fresh.iterdir())}
        write_provenance(fresh, title=f"Planted world {name!r}, {dataset.benchmark}", files=entries, facts=facts)
