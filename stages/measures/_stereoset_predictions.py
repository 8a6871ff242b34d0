"""Upstream StereoSet's evaluation of a file of sentence scores, with upstream's format and numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from stages.common.errors import DataError
from stages.common.stereoset_file import KINDS, read_file
from stages.measures.stereotype_triples import summarise

_ROLES = {"stereotype": "stereo", "anti-stereotype": "anti", "unrelated": "unrelated"}


def score_predictions(gold: Path, predictions: Path) -> dict[str, Any]:
    """Score a predictions file against a StereoSet file.

    Args:
        gold: Upstream's data file, with an id for every sentence.
        predictions: ``{"intrasentence": [{"id": ..., "score": ...}, ...], "intersentence": [...]}``.
            One of the two lists may be left out, and is then not evaluated (bias-bench writes
            ``intrasentence`` alone); a list that is there must score every sentence of its kind.

    Returns:
        Upstream's results: ``Count``, ``LM Score``, ``SS Score`` and ``ICAT Score`` by kind and
        domain, of each kind ``overall``, and ``overall`` of both kinds. Upstream counts an item
        of a domain three times, once for each sentence, and an item of ``overall`` once; so does
        this. Domains without items are left out.

    Raises:
        DataError: A file is malformed; a sentence of the data file has no id or shares it; or
            scores are missing, unknown, repeated, or no finite numbers.
    """
    table = read_file(Path(gold))
    scores = _read_predictions(Path(predictions))
    items = {kind: _items(table[table["kind"] == kind], scores[kind], kind, Path(gold), Path(predictions))
             for kind in KINDS if kind in scores}
    results: dict[str, Any] = {}
    for kind, found in items.items():
        results[kind] = {
            **{domain: _results(group, sentences=3) for domain, group in found.groupby("category")},
            "overall": _results(found, sentences=1),
        }
    # Upstream pools the kinds with intersentence first; a term's place decides the order of summation.
    pooled = pd.concat([items[kind] for kind in reversed(KINDS) if kind in items])
    return {**results, "overall": _results(pooled, sentences=1)}


def _results(items: pd.DataFrame, sentences: int) -> dict[str, float]:
    metrics = summarise(items)
    return {
        "Count": float(len(items) * sentences),
        "LM Score": metrics["lm"],
        "SS Score": metrics["ss"],
        "ICAT Score": metrics["icat"],
    }


def _read_predictions(path: Path) -> dict[str, dict[str, float]]:
    """Scores by kind and sentence id."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"malformed JSON: {error}", where=path) from error
    if not isinstance(content, dict) or not content or not set(content) <= set(KINDS):
        raise DataError(f"is not an object of {' and '.join(KINDS)}", where=path)
    scores: dict[str, dict[str, float]] = {}
    for kind, entries in content.items():
        if not isinstance(entries, list):
            raise DataError("is not an array", where=f"{path}: {kind}")
        scores[kind] = {}
        for position, entry in enumerate(entries):
            where = f"{path}: {kind}[{position}]"
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or "score" not in entry:
                raise DataError(f"is {entry!r:.80}, not an object of id and score", where=where)
            identifier, score = entry["id"], entry["score"]
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
                raise DataError(f"score of {identifier} is {score!r:.40}, not a finite number", where=where)
            if identifier in scores[kind]:
                raise DataError(f"id {identifier} is there twice", where=where)
            scores[kind][identifier] = score
    return scores


def _items(table: pd.DataFrame, scores: dict[str, float], kind: str, gold: Path, predictions: Path) -> pd.DataFrame:
    """One row an item of one kind, in the order of the data file."""
    if table.empty:
        raise DataError(f"has {len(scores)} scores of {kind}, but {gold} has no such items", where=predictions)
    unnamed = table.loc[table["sentence_id"].isna(), "item"]
    if len(unnamed):
        raise DataError(f"{unnamed.nunique()} items have sentences without an id, the first {unnamed.iloc[0]}",
                        where=gold, fix="only a data file with ids can be matched with predictions")
    shared = table.loc[table["sentence_id"].duplicated(), "sentence_id"]
    if len(shared):
        raise DataError(f"sentence id {shared.iloc[0]} is there twice", where=gold)
    known = set(table["sentence_id"])
    _refuse(sorted(set(scores) - known), f"of {kind} that are not in {gold.name}", predictions)
    _refuse(sorted(known - set(scores)), f"of {kind} without a score", predictions)
    rows = table.assign(role=table["label"].map(_ROLES), score=table["sentence_id"].map(scores))
    labels = rows.groupby("item", sort=False)["role"].agg(lambda found: sorted(map(str, found)))
    odd = labels[[found != sorted(_ROLES.values()) for found in labels]]
    if len(odd):
        raise DataError(f"has not one sentence of each label {', '.join(_ROLES)}", where=f"{gold}: {odd.index[0]}")
    items = rows.pivot(index="item", columns="role", values="score").loc[labels.index]
    about = rows.drop_duplicates("item").set_index("item")
    return items.assign(category=about["category"], cluster=about["target"])


def _refuse(ids: list[str], what: str, path: Path) -> None:
    if ids:
        shown = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")
        raise DataError(f"{len(ids)} ids {what}: {shown}", where=path)
