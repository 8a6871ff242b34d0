"""Apply a variant's compression methods to every checkpoint of a model, or to one model folder.

A variant with a step that trains is made from the last checkpoint, and holds one artefact for each checkpoint
of that training; a killed one is taken up again where it was.

python -m stages.compress --params params.yaml --model MODEL --variant VARIANT
python -m stages.compress FOLDER --family masked --variant '{"method": "int8_dynamic"}' --out DIR
python -m stages.compress --list [--json]
"""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages import compression
from stages.common.errors import ParamsError, run
from stages.common.params import FAMILIES
from stages.compression import Context, parse_variant
from stages.compression.in_suite import compress_checkpoints, compress_one


def describe_methods() -> list[dict[str, Any]]:
    """Name, version, summary and JSON schema of the settings of every method, sorted by name."""
    methods = [(name, compression.get(name)) for name in compression.names()]
    return [
        {
            "method": name,
            "version": module.VERSION,
            "summary": (inspect.getdoc(module) or "").splitlines()[0],
            "config": module.Config.model_json_schema(),
        }
        for name, module in methods
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m stages.compress", description="Compress a model.")
    parser.add_argument("folder", nargs="?", type=Path, metavar="FOLDER", help="model folder to compress by itself")
    parser.add_argument("--params", help="params file of a suite")
    parser.add_argument("--model", help="model of the suite")
    parser.add_argument("--variant", help="variant of the suite; with FOLDER, a method (or list of methods) as JSON")
    parser.add_argument("--family", choices=FAMILIES, help="with FOLDER: what the model is scored as")
    parser.add_argument("--out", type=Path, help="with FOLDER: artefact folder to write")
    parser.add_argument("--corpus", type=Path, help="with FOLDER: parquet of texts to calibrate or train on")
    parser.add_argument("--seed", type=int, default=0, help="with FOLDER: seed of methods that draw (default 0)")
    parser.add_argument("--list", action="store_true", help="print every method")
    parser.add_argument("--json", action="store_true", help="with --list: with the schema of its settings, as JSON")
    given = parser.parse_args(arguments)
    if given.list:
        _print_methods(given.json)
    elif given.folder is not None:
        _require(parser, given, "family", "variant", "out")
        steps = parse_variant(_json(given.variant), "--variant")
        compress_one(given.folder, given.out, steps, given.family, Context(given.seed, given.corpus))
    else:
        _require(parser, given, "params", "model", "variant")
        compress_checkpoints(given.params, given.model, given.variant)
    return 0


def _print_methods(as_json: bool) -> None:
    methods = describe_methods()
    if as_json:
        print(json.dumps(methods, indent=2, sort_keys=True))
    else:
        for method in methods:
            print(f"{method['method']:20} {method['summary']}")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ParamsError(f"not JSON: {error}", where="--variant",
                          fix="e.g. --variant '{\"method\": \"int8_dynamic\"}'") from error


def _require(parser: argparse.ArgumentParser, given: argparse.Namespace, *names: str) -> None:
    missing = [f"--{name}" for name in names if getattr(given, name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} needed (or FOLDER, or --list)" if given.folder is None
                     else f"{', '.join(missing)} needed with FOLDER")


if __name__ == "__main__":
    run(main)
