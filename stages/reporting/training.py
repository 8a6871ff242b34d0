"""What bias and quality do over training: trends, and the best point to stop."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stages.evidence.trends import ALL
from stages.evidence.trends_best import CEILING, FULL, INT8
from stages.evidence.trends_size import MIXED, PARAMETERS
from stages.reporting.view import Row, View
from stages.reporting.words import markdown, percent, short

_AGAINST = {"lm": "LM score", "fraction": "training", PARAMETERS: f"{PARAMETERS} ({MIXED})"}
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
    groups = [name for name in (ALL, *view.order.variants) if name in set(rows["variant"])]
    body = []
    for names, part in rows.groupby(["dataset", "category", "metric", "against"]):
        dataset, category, metric, against = map(str, names)
        found = {row["variant"]: row for row in part.to_dict("records")}
        body.append([f"{short(dataset, metric)}, {category}", _AGAINST.get(against, against),
                     *(_trend(found.get(group)) for group in groups)])
    intro = (
        "Kendall's τ-c of bias with quality, with the fraction of training, and over models with their size. p takes "
        "a run of training for one observation (sign flips of the correlation within runs), and r runs cannot give one "
        "below 2 / 2^r; the naive p, the study's, takes every checkpoint for one, and finds trends in curves that have "
        "nothing to do with each other (at a level of 5%, in some 40% of simulated sets of runs). `all` pools the "
        "variants that are applied to each checkpoint of a model's training; the fractions of one that is trained are "
        "of its own training. Size is compared among models of one architecture and task, where there are three sizes "
        "of it, and models are then the observations; models of different architectures differ in more than their "
        "size, so that a trend over all of them is described and not tested."
    )
    return f"### Trends\n\n{intro}\n\n{markdown(['bias', 'with', *groups], body, names=2)}"


def _trend(row: Row | None) -> str:
    if row is None or pd.isna(row["estimate"]):
        return "–"
    text = f"{row['estimate']:+.2f}".replace("-", "−")
    if not pd.isna(row["p_value"]):
        text += f" p {row['p_value']:.2f}"
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
    if row is None:
        return "–"
    mark = "†" if row["note"] == CEILING else ""
    return f"{percent(row['estimate'])} [{percent(row['low'])}, {percent(row['high'])}]{mark}"


def _claim(rows: pd.DataFrame) -> str:
    """What becomes of the study's claim in these models: sentences that follow from the intervals."""
    intro = ("The fraction of pretraining at which the checkpoint is best, with its interval over resampled terms (of "
             "equally good checkpoints, the earliest). Only variants that are applied to each checkpoint are compared; "
             "one that is trained has no fraction of pretraining.")
    by_lm = rows[(rows["metric"] == "lm") & (rows["model"] != "")]
    reached = by_lm[(by_lm["analysis"] == "best") & (by_lm["note"] == CEILING)]["model"].unique()
    if len(reached):
        intro += (f" †: the LM score is at its ceiling of 100 ({', '.join(reached)}); nothing can be better, the rule "
                  "and not the data chooses among checkpoints that reach it, and there is nothing to test.")
    tested = by_lm[by_lm["reference"].notna() & (by_lm["note"] != CEILING)]
    differences = tested[tested["analysis"] == "best_difference"]
    claim = (f"The study finds the best LM score at about {percent(FULL)} of pretraining in full precision and at "
             f"about {percent(INT8)} in int8, that is {100 * (FULL - INT8):.0f} points earlier.")
    if tested.empty:
        return f"{intro}\n\n{claim} These data cannot test that." if len(reached) else intro
    left_out = [_left_out(part, f"{percent(part['reference'].iloc[0])} for {variant}")
                for variant, part in tested[tested["analysis"] == "best"].groupby("variant", sort=True)]
    if differences.empty:
        return (f"{intro}\n\n{claim} The intervals by LM score leave out {', '.join(left_out)}; the difference cannot "
                "be tested.")
    left_out.append(_left_out(differences, "the difference"))
    against, count = (differences["note"] != "as claimed").sum(), len(differences)
    verdict = ("for these models the data contradict the claim" if against == count else
               "for these models the data do not contradict the claim" if not against else
               f"the data contradict the claim for {against} of these {count} models")
    return f"{intro}\n\n{claim} The intervals by LM score leave out {', '.join(left_out)}: {verdict}."


def _left_out(rows: pd.DataFrame, what: str) -> str:
    return f"{what} in {(rows['note'] != 'as claimed').sum()} of {len(rows)} models"


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
