"""Score datasets with a model: per-item records, the primary result.

In the pipeline:  python -m stages.score --params params.yaml --model MODEL --variant VARIANT
On any model:     python -m stages.score MODEL --family masked --benchmarks crows_pairs,stereoset --data DIR --out DIR

MODEL is a model folder, a compressed artefact or a hub id. DIR of ``--data`` holds, for each
benchmark, ``<benchmark>.parquet`` (a clean table) or ``<benchmark>/`` (upstream's files).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import benchmarks
from stages.common.absent import is_absent, write_absent
from stages.common.errors import DataError, ModelError, ParamsError, run
from stages.common.files import atomic_folder, write_text
from stages.common.params import FAMILIES, Family, Frozen, choose, load_params, parse
from stages.common.records import read_table, write_records, write_vectors

DEVICES = ("auto", "cpu", "cuda")
DTYPES = ("float32", "bfloat16")

if TYPE_CHECKING:
    from stages.common.query import Row
    from stages.models.load import LoadedModel


@dataclass(frozen=True)
class Source:
    """A dataset to score."""

    slug: str
    benchmark: str
    options: Frozen
    path: Path
    """Clean table (parquet), or folder of upstream's files."""

    def table(self) -> Any:
        """The dataset as one tidy table.

        Raises:
            DataError: It is missing or malformed.
        """
        benchmark = benchmarks.get(self.benchmark)
        if self.path.suffix == ".parquet":
            return read_table(self.path, benchmark.COLUMNS)
        provenance = self.path / "provenance.json"
        return benchmark.read(self.path, _read_json(provenance).get("facts", {}) if provenance.is_file() else {})


def score_suite(params_file: str, model: str, variant: str) -> Path:
    """Score every dataset of a suite with every checkpoint of a compressed model.

    Returns:
        The records folder written, put in place whole.

    Raises:
        ParamsError: The params file does not know the model or variant, or no dataset suits the family.
        DataError: A clean table is missing.
        ModelError: A checkpoint is missing, not whole, or gives no finite scores.
    """
    params = load_params(params_file)
    family = choose(params.models, model, "model").family
    choose(params.variants, variant, "variant")
    folder = Path("models") / params.suite / "compressed" / model / variant
    target = Path("data") / "records" / params.suite / model / variant
    if is_absent(folder):
        write_absent(target, model, variant)
        return target
    sources = []
    for slug, dataset in params.datasets.items():
        benchmark = benchmarks.get(dataset.benchmark)
        if family in benchmark.FAMILIES:
            options = parse(benchmark.Options, dataset.options, f"{params_file}: datasets.{slug}.options")
            path = Path("data") / "clean" / params.suite / f"{slug}.parquet"
            sources.append(Source(slug, dataset.benchmark, options, path))
    if not sources:
        raise ParamsError(f"no dataset can be scored with a {family} model", where=f"{params_file}: datasets")
    checkpoints = {path.name: path for path in sorted(folder.glob("p*")) if path.is_dir()}
    if not checkpoints:
        raise ModelError("holds no checkpoint", where=folder, fix=f"dvc repro compress@{model}-{variant}")
    _score(checkpoints, family, sources, target, params.threads, None, {"token_budget": params.scoring.token_budget})
    return target


def score_model(
    model: str, family: Family, names: Sequence[str], data: Path, target: Path,
    revision: str | None = None, threads: int | None = None, device: str = "cpu", dtype: str = "float32",
    int8: bool = False,
) -> None:
    """Score benchmarks with one model outside a suite; the records lie in ``target`` as a suite's do.

    Args:
        model: Model folder, compressed artefact or hub id.
        family: What it is scored as.
        names: Benchmarks.
        data: Folder of clean tables or upstream's files.
        target: Records folder to write.
        revision: Hub revision of the model.
        threads: Threads of torch; its own choice if left out.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where present.
        dtype: ``float32``; or ``bfloat16``, which changes scores.
        int8: Apply ``int8_dynamic`` while loading; the float32 weights are never held whole.

    Either of the last two is noted in ``run.json``, as no artefact says it.

    Raises:
        ParamsError: Unknown family, benchmark, device or dtype, or a benchmark not defined for the family.
        DataError: ``data`` lacks a benchmark, or holds it malformed.
        ModelError: The model is not whole, or gives no finite scores.
    """
    choose(dict.fromkeys(FAMILIES), family, "family")
    choose(dict.fromkeys(DEVICES), device, "device")
    choose(dict.fromkeys(DTYPES), dtype, "dtype")
    sources = [_find(name, family, data) for name in dict.fromkeys(names)]
    _score({"p100": model}, family, sources, target, threads, revision, {"device": device, "dtype": dtype},
           int8=int8)


def _find(name: str, family: Family, data: Path) -> Source:
    benchmark = benchmarks.get(name)
    if family not in benchmark.FAMILIES:
        raise ParamsError(f"benchmark {name!r} is not defined for {family} models", where="--benchmarks",
                          fix=f"its families are: {', '.join(benchmark.FAMILIES)}")
    for path in (data / f"{name}.parquet", data / name):
        if path.exists():
            return Source(name, name, benchmark.Options(), path)
    raise DataError(f"holds neither {name}.parquet nor {name}/", where=data, fix="give the folder of the data")


def _score(
    checkpoints: dict[str, Any], family: Family, sources: Sequence[Source], target: Path,
    threads: int | None, revision: str | None, how: dict[str, Any], *, int8: bool = False,
) -> None:
    """Score every source with every checkpoint, with a ``Scorer`` made by ``how``, and put the folder in place."""
    tables = {source.slug: source.table() for source in sources}
    # Torch takes seconds to import; mistakes in names and data are reported before that.
    import torch

    from stages.compression.artefact import open_model
    from stages.compression.while_loading import open_int8
    from stages.scoring.engine import Scorer
    from stages.scoring.rows import score_rows

    if threads is not None:
        torch.set_num_threads(threads)
    plans = _Plans(sources, tables)
    about: dict[str, Any] = {}
    with atomic_folder(target) as folder:
        for number, (name, location) in enumerate(checkpoints.items(), 1):
            loaded = (open_int8 if int8 else open_model)(location, family, revision)
            about = _about(loaded)
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
            "checkpoints": {name: _checkpoint(location) for name, location in checkpoints.items()},
            "datasets": {
                source.slug: {"benchmark": source.benchmark, "measure": benchmarks.get(source.benchmark).MEASURE}
                for source in sources
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
            self._rows = {
                source.slug: benchmarks.get(source.benchmark).plan(self._tables[source.slug], encoder, source.options)
                for source in self._sources
            }
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


def _about(loaded: LoadedModel) -> dict[str, Any]:
    """Facts of a model that metrics are set against: its size, as it is stored."""
    about: dict[str, Any] = {"architecture": loaded.architecture, "parameters": loaded.parameters}
    folder = Path(loaded.location)
    if folder.is_dir():
        about["stored_bytes"] = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return about


def _checkpoint(location: Any) -> dict[str, Any]:
    path = Path(location) / "checkpoint.json"
    return _read_json(path) if path.is_file() else {"fraction": 1.0}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"not valid JSON: {error}", where=path, fix="run the stage that writes it again") from error
    if not isinstance(facts, dict):
        raise DataError(f"expected a JSON object, found {type(facts).__name__}", where=path)
    return facts


def _names(text: str) -> Iterable[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def main() -> None:
    """Read the command line and score."""
    parser = argparse.ArgumentParser(prog="python -m stages.score", description="Score datasets with a model.")
    parser.add_argument("location", nargs="?", metavar="MODEL", help="model folder, artefact or hub id")
    parser.add_argument("--params", help="params file of a suite (with --model and --variant)")
    parser.add_argument("--model", help="slug of the model in the params file")
    parser.add_argument("--variant", help="slug of the variant in the params file")
    parser.add_argument("--family", help=f"what MODEL is: {', '.join(FAMILIES)}")
    parser.add_argument("--benchmarks", help=f"of {', '.join(benchmarks.names())}; separated by commas")
    parser.add_argument("--data", type=Path, help="folder of clean tables or upstream's files")
    parser.add_argument("--out", type=Path, help="records folder to write; replaced whole")
    parser.add_argument("--revision", help="hub revision of MODEL")
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own)")
    parser.add_argument("--device", help="cpu (default), cuda, or auto for cuda where present")
    parser.add_argument("--dtype", help="float32 (default), or bfloat16: faster, and changes scores")
    parser.add_argument("--int8", action="store_true", help="apply int8_dynamic to MODEL while it is loaded")
    given = parser.parse_args()
    suite = (given.params, given.model, given.variant)
    alone = (given.location, given.family, given.benchmarks, given.data, given.out)
    if all(suite) and not any((*alone, given.revision, given.threads, given.device, given.dtype, given.int8)):
        print(f"wrote {score_suite(given.params, given.model, given.variant)}")
    elif all(alone) and not any(suite):
        if given.threads is not None and given.threads < 1:
            parser.error("--threads must be at least 1")
        score_model(given.location, given.family, list(_names(given.benchmarks)), given.data, given.out,
                    given.revision, given.threads, given.device or "cpu", given.dtype or "float32", int8=given.int8)
        print(f"wrote {given.out}")
    else:
        parser.error("give --params, --model and --variant; or MODEL, --family, --benchmarks, --data and --out")


if __name__ == "__main__":
    run(main)
