"""What bias and quality do over training: trends, and the best point to stop."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stages.reporting.view import Row, View
from stages.reporting.words import markdown, percent, short

_AGAINST = {"lm": "LM score", "fraction": "training", "parameters": "parameters"}
_CRITERIA = {"lm": "LM score", "icat": "ICAT (LM score and bias)"}


def training_section(view: View, datasets: Sequence[str]) -> str:
    """Trends and best checkpoints of some datasets, if any model was taken over training."""
    rows = view.contrasts[view.contrasts["dataset"].isin(list(datasets))]
    parts = [part for part in (_trends(view, rows), _best(view, rows)) if part]
    return "\n\n".join(["## Over training", *parts]) if parts else ""


def _trends(view: View, rows: pd.DataFrame) -> str:
    rows = rows[rows["analysis"] == "trend"]
    rows = rows[[category in view.summary_categories(dataset)
                 for dataset, category in zip(rows["dataset"], rows["category"], strict=True)]]
    if rows.empty:
        return ""
    groups = [name for name in ("all", *view.order.variants) if name in set(rows["variant"])]
    body = []
    for names, part in rows.groupby(["dataset", "category", "metric", "against"]):
        dataset, category, metric, against = map(str, names)
        found = {row["variant"]: row for row in part.to_dict("records")}
        body.append([f"{short(dataset, metric)}, {category}", _AGAINST[against],
                     *(_trend(found.get(group)) for group in groups)])
    intro = (
        "Kendall's τ-c of bias with quality, with the fraction of training, and over models with their size, as the "
        "study computed it. p takes a run of training for one observation (sign flips of the correlation within runs; "
        "for size, models are the observations), and r runs cannot give one below 2 / 2^r; the naive p takes every "
        "checkpoint for one, and finds trends in curves that have nothing to do with each other (at a level of 5%, in "
        "some 40% of simulated sets of runs)."
    )
    return f"### Trends\n\n{intro}\n\n{markdown(['bias', 'with', *groups], body, names=2)}"


def _trend(row: Row | None) -> str:
    if row is None or pd.isna(row["estimate"]):
        return "–"
    text = f"{row['estimate']:+.2f}".replace("-", "−") + f" p {row['p_value']:.2f}"
    if not pd.isna(row["p_naive"]):
        text += f" (naive {row['p_naive']:.2g}; {row['clusters']:.0f} run{'s' if row['clusters'] != 1 else ''})"
    return text


def _best(view: View, rows: pd.DataFrame) -> str:
    rows = rows[rows["analysis"].isin(["best", "best_difference"])]
    if rows.empty:
        return ""
    variants = [name for name in view.order.variants if name in set(rows["variant"])]
    models = [name for name in ("", *view.order.models) if name in set(rows["model"])]
    gains = [name for name in variants if name in set(rows.loc[rows["analysis"] == "best_difference", "variant"])]
    body = []
    for (dataset, metric), part in rows.groupby(["dataset", "metric"]):
        found = {(row["analysis"], row["model"], row["variant"]): row for row in part.to_dict("records")}
        for model in models:
            body.append([str(dataset), _CRITERIA[str(metric)], model or "*mean of models*",
                         *(_fraction(found.get(("best", model, variant))) for variant in variants),
                         *(_fraction(found.get(("best_difference", model, variant))) for variant in gains)])
    head = ["dataset", "best by", "model", *variants, *(f"{view.order.baseline} later than {name}" for name in gains)]
    return "### The best point to stop\n\n" + _claim(rows) + "\n\n" + markdown(head, body, names=3)


def _fraction(row: Row | None) -> str:
    return "–" if row is None else f"{percent(row['estimate'])} [{percent(row['low'])}, {percent(row['high'])}]"


def _claim(rows: pd.DataFrame) -> str:
    """What becomes of the study's claim in these models: a sentence that follows from the intervals."""
    intro = ("The fraction of training at which the checkpoint is best, with its interval over resampled terms (of "
             "equally good checkpoints, the earliest).")
    tested = rows[rows["reference"].notna() & (rows["analysis"] == "best_difference") & (rows["metric"] == "lm")]
    if tested.empty:
        return intro
    held = tested[tested["note"] == "as claimed"]
    return (f"{intro} The study finds the best LM score at about 80% of pretraining in full precision and at about 20% "
            f"in int8, a difference of 60 points: {_counted(len(held), len(tested))} of the intervals of that "
            "difference by LM score hold it.")


def _counted(some: int, of: int) -> str:
    return f"{some} of {of}" if some else f"none (of {of})"


def agreement_section(view: View) -> str:
    """How to read the figure of agreement."""
    rows = view.contrasts[view.contrasts["analysis"].isin(["agreement", "agreement_changes"])]
    if rows.empty:
        return ""
    return (
        "## Agreement of the measures\n\nSpearman's rank correlation over all models and variants: of the measures' "
        "values, and of their changes from the parent. Descriptive: variants of one model resemble each other, and "
        "no suite is a sample of all models. Intervals are in `contrast.json`.\n\n"
        + _strongest(rows[(rows["category"] == "overall") & (rows["analysis"] == "agreement_changes")])
    ).rstrip()


def _strongest(rows: pd.DataFrame) -> str:
    """The bias measures' agreement on what compression does, in words."""
    bias = rows[~rows["against"].str.endswith(("/lm", "/word_perplexity"))
                & rows["metric"].isin(["score", "ss", "mean_abs_effect"])
                & rows["against"].str.endswith(("/score", "/ss", "/mean_abs_effect"))]
    found: Sequence[str] = [
        f"{short(row['dataset'], row['metric'])} with {short(*row['against'].split('/'))} "
        + f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]".replace("-", "−")
        for row in bias.to_dict("records") if not pd.isna(row["low"])
    ]
    return f"Changes of the bias measures, all categories: {'; '.join(found)}." if found else ""
