"""A folder of records: every dataset scored with every checkpoint of a model, and ``run.json`` beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stages.common.encoder import Encoder
from stages.common.files import atomic_folder, write_text
from stages.common.params import Family
from stages.common.query import Row
from stages.common.records import write_records, write_vectors

if TYPE_CHECKING:
    from stages.models.load import LoadedModel


class Source(Protocol):
    """A dataset to score."""

    @property
    def slug(self) -> str:
        """Its name in the records."""

    @property
    def benchmark(self) -> str:
        """What it is a dataset of."""

    @property
    def measure(self) -> str:
        """Module of ``stages.measures`` for its records."""

    def table(self) -> Any:
        """The dataset as one tidy table."""

    def plan(self, table: Any, encoder: Encoder) -> list[Row]:
        """What to ask of a model to score the table."""


def record(
    checkpoints: Mapping[str, str | Path], family: Family, sources: Sequence[Source], target: Path,
    how: Mapping[str, Any], *, threads: int | None = None, revision: str | None = None, int8: bool = False,
) -> None:
    """Score every source with every checkpoint, and put the folder in place whole.

    Args:
        checkpoints: Model folder, artefact or hub id of each checkpoint, by name; the least trained first.
        family: What they are scored as.
        sources: What to score.
        target: Records folder to write.
        how: Settings of the ``stages.scoring.engine.Scorer``.
        threads: Threads of torch; its own choice if left out.
        revision: Hub revision of the model.
        int8: Apply ``int8_dynamic`` while loading.

    Raises:
        DataError: A source is missing or malformed.
        ModelError: A checkpoint is not whole, or gives no finite scores.
    """
    tables = {source.slug: source.table() for source in sources}
    # Torch takes seconds to import; mistakes in names and data are reported before that.
    import torch

    from stages.compression.artefact import open_model
    from stages.compression.while_loading import open_int8
    from stages.scoring.engine import Scorer
    from stages.scoring.facts import checkpoint_facts, model_facts
    from stages.scoring.rows import score_rows

    if threads is not None:
        torch.set_num_threads(threads)
    plans = _Plans(sources, tables)
    about: dict[str, Any] = {}
    with atomic_folder(target) as folder:
        for number, (name, location) in enumerate(checkpoints.items(), 1):
            loaded = (open_int8 if int8 else open_model)(location, family, revision)
            about = model_facts(loaded)
            if int8 or how.get("dtype", "float32") != "float32":
                about["computed_in"] = "int8" if int8 else how["dtype"]
            rows = plans.of(loaded)
            scorer = Scorer(loaded, **how, consume=True)
            del loaded
            for source in sources:
                label = f"{name} ({number}/{len(checkpoints)}) {source.slug}"
                with _Bar(label) as bar:
                    records, vectors = score_rows(source.slug, rows[source.slug], scorer, bar.show)
                write_records(folder / name / f"{source.slug}.parquet", records)
                if vectors:
                    write_vectors(folder / name / f"{source.slug}.vectors.parquet", vectors)
            del scorer  # before the next checkpoint is opened
        manifest = {
            "family": family,
            "model": about,
            "checkpoints": {name: checkpoint_facts(location) for name, location in checkpoints.items()},
            "datasets": {
                source.slug: {"benchmark": source.benchmark, "measure": source.measure} for source in sources
            },
        }
        write_text(folder / "run.json", json.dumps(manifest, indent=2, sort_keys=True) + "\n")


class _Plans:
    """What to ask, planned again only where a checkpoint's tokenizer differs from the last one's."""

    def __init__(self, sources: Sequence[Source], tables: dict[str, Any]) -> None:
        self._sources, self._tables = sources, tables
        self._key: tuple[object, ...] = ()
        self._rows: dict[str, list[Row]] = {}

    def of(self, loaded: LoadedModel) -> dict[str, list[Row]]:
        encoder = loaded.encoder
        tokenizer = encoder.tokenizer
        key = (tokenizer.backend_tokenizer.to_str(), str(sorted(tokenizer.special_tokens_map.items())),
               encoder.context, encoder.vocabulary, encoder.leading_space)
        if key != self._key:
            self._rows = {source.slug: source.plan(self._tables[source.slug], encoder) for source in self._sources}
            self._key = key
        return self._rows


class _Bar:
    """Progress over a dataset's sequences: a bar on a terminal, one line elsewhere."""

    def __init__(self, label: str) -> None:
        from tqdm import tqdm

        self._label = label
        self._bar = tqdm(desc=label, unit="seq", disable=None, leave=False)

    def __enter__(self) -> _Bar:
        if self._bar.disable:
            print(f"scoring {self._label}", flush=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)
