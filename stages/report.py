"""Write a suite's results for readers: tables in Markdown and figures in SVG.

Usage: ``python -m stages.report --params params.yaml``. Reads the evidence table and the trajectories; the
same inputs give the same bytes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stages.common.errors import DataError, run
from stages.common.files import atomic_folder, write_text
from stages.common.params import Params, load_params
from stages.common.records import read_table
from stages.evidence.settings import compare_of
from stages.evidence.table import COLUMNS, OVERALL
from stages.reporting.tables import Order, dataset_section, quality_section

Panel = tuple[str, str, str, str]


def report_suite(params_file: str) -> None:
    """Write ``metrics/<suite>/report.md`` and the figures beside it.

    Raises:
        ParamsError: The params file has a mistake.
        DataError: The evidence table or a trajectory is missing or malformed.
    """
    # Matplotlib takes its time to import; mistakes in names are reported before that.
    params = load_params(params_file)
    table = read_table(Path("data", "evidence", f"{params.suite}.parquet"), list(COLUMNS))
    curves = _curves(params)

    from stages.reporting.forest import CHANGE, LEVEL, draw_forest
    from stages.reporting.trajectories import draw_trajectories

    target = Path("metrics", params.suite)
    compare = compare_of(params)
    percentages = table[table["metric"].isin(["score", "ss"])]
    figures = []
    with atomic_folder(target / "figures") as folder:
        for name, quantity in (("scores", LEVEL), ("changes", CHANGE)):
            if percentages[quantity.value].notna().any():
                draw_forest(
                    percentages, folder / f"{name}.svg", quantity, models=list(params.models),
                    variants=list(params.variants), baseline=compare.baseline,
                    categories=[*compare.categories, OVERALL], confidence=compare.confidence,
                )
                figures.append(name)
        if draw_trajectories(curves, folder / "trajectories.svg", panels=_panels(table), models=list(params.models),
                             variants=list(params.variants), baseline=compare.baseline):
            figures.append("trajectories")
    write_text(target / "report.md", _text(params, table, figures))


_CAPTIONS = {
    "scores": "Preference for the stereotype, by model and category",
    "changes": "Change of that preference from the parent, on the same items",
    "trajectories": "Bias and quality over training",
}


def _text(params: Params, table: pd.DataFrame, figures: Sequence[str]) -> str:
    compare = compare_of(params)
    order = Order(list(params.models), list(params.variants), compare.baseline, compare.categories,
                  1 - compare.confidence)
    datasets = [name for name in params.datasets if name in set(table.loc[table["kind"] == "bias", "dataset"])]
    intro = (
        f"# Results: {params.suite}\n\n"
        f"Every value stands with its {compare.confidence:.0%} interval, from {compare.resamples:,} resamples of whole "
        "clusters (items that share a swapped term, a target or a word are not independent). A change is that from "
        f"`{compare.baseline}` of the same model on the same items; arrows count the items that came to prefer the "
        "stereotype (↑) and that ceased to (↓); bold means that a permutation test that respects the clusters, "
        f"corrected over the whole grid (Benjamini-Hochberg), finds it at {order.alpha:.2g}. Quality stands in every "
        "table, because a damaged model also moves. For CrowS-Pairs and StereoSet, 50 is no preference on balance; it "
        "is not what an untrained network gets, whose scores scatter widely around 50." + _sources(table)
    )
    parts = [intro]
    parts += [f"![{_CAPTIONS[name]}](figures/{name}.svg)" for name in figures]
    parts += [dataset_section(table, dataset, order) for dataset in datasets]
    if (table["kind"] == "quality").any():
        parts.append(quality_section(table, order))
    return "\n\n".join(parts) + "\n"


def _sources(table: pd.DataFrame) -> str:
    """Where the LM score and the perplexity of the tables come from."""
    text = ""
    if (lm := _largest(table, "lm")) is not None:
        text += f" The LM score is that of all of `{lm}`."
    if (perplexity := _largest(table, "perplexity")) is not None:
        text += f" Perplexity is that of `{perplexity}`; a masked model's is a pseudo-perplexity."
    return text


def _panels(table: pd.DataFrame) -> list[Panel]:
    """Rows of the trajectory figure: each percentage of bias, and the LM score, of its largest dataset."""
    found = []
    for metric, label in (("score", "score, %"), ("ss", "SS, %"), ("lm", "LM score, %")):
        dataset = _largest(table, metric)
        if dataset is not None:
            found.append((dataset, OVERALL, metric, f"{dataset}\n{label}"))
    return found


def _largest(table: pd.DataFrame, metric: str) -> str | None:
    """The dataset of most items among those with a metric."""
    rows = table[table["metric"] == metric].sort_values(["items", "dataset"], ascending=[False, True], kind="stable")
    return str(rows["dataset"].iloc[0]) if len(rows) else None


def _curves(params: Params) -> pd.DataFrame:
    """The trajectories of all models and variants, stacked."""
    rows = []
    for model, variant in params.cells:
        path = Path("metrics", params.suite, "trajectories", model, f"{variant}.json")
        try:
            rows += json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError("no such file", where=path, fix=f"dvc repro measure@{model}-{variant}") from None
        except json.JSONDecodeError as error:
            raise DataError(f"not valid JSON: {error}", where=path, fix="dvc repro measure") from None
    return pd.DataFrame(rows, columns=["model", "variant", "fraction", "dataset", "category", "metric", "value"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and report."""
    parser = argparse.ArgumentParser(prog="python -m stages.report", description="Tables and figures of a suite.")
    parser.add_argument("--params", required=True, help="params file of the suite")
    report_suite(parser.parse_args(arguments).params)
    return 0


if __name__ == "__main__":
    run(main)
