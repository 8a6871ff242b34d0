"""Fetch a dataset's files into ``data/raw``, or generate them from a planted world.

In the pipeline:  python -m stages.acquire --params params.yaml --dataset crows_pairs
By hand:          python -m stages.acquire --source data/sources/crows_pairs.yaml --out DIR
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.common.errors import run
from stages.common.params import Params, choose, load_params
from stages.data.gather import MIRROR_VARIABLE, find_mirror, gather
from stages.data.generate import generate
from stages.data.source import load_source


def acquire(params: Params, slug: str, mirror: str | None = None) -> Path:
    """Fill ``data/raw/<suite>/<slug>`` and return it.

    Raises:
        ParamsError: No such dataset, world or source manifest.
        DataError: A file is to be had nowhere, or is not the pinned one.
    """
    dataset = choose(params.datasets, slug, "dataset")
    folder = Path("data/raw") / params.suite / slug
    if dataset.source.startswith("lab:"):
        generate(params, dataset, folder)
    else:
        gather(load_source(dataset.source), folder, find_mirror(mirror))
    return folder


def main() -> None:
    """Read the command line and acquire one dataset."""
    parser = argparse.ArgumentParser(prog="python -m stages.acquire", description="Fetch or write a dataset's files.")
    parser.add_argument("--params", help="params file of a suite (with --dataset)")
    parser.add_argument("--dataset", help="slug of the dataset in the params file")
    parser.add_argument("--source", help="a source manifest, in place of --params and --dataset (with --out)")
    parser.add_argument("--out", help="folder to fill; replaced whole")
    parser.add_argument("--mirror", help=f"folder of benchmark files; default: the environment's {MIRROR_VARIABLE}")
    options = parser.parse_args()
    pipeline, by_hand = (options.params, options.dataset), (options.source, options.out)
    if all(pipeline) and not any(by_hand):
        folder = acquire(load_params(options.params), options.dataset, options.mirror)
    elif all(by_hand) and not any(pipeline):
        folder = Path(options.out)
        gather(load_source(options.source), folder, find_mirror(options.mirror))
    else:
        parser.error("give either --params and --dataset, or --source and --out")
    print(f"wrote {folder}")


if __name__ == "__main__":
    run(main)
