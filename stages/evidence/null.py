"""The context-free null: what the measures say of a model whose tokens have random probabilities, whatever the context.

Every token id has a logit of its own, drawn from a standard normal. All positions share one softmax, so
its normaliser cancels wherever two texts of an item are compared, and is left out:

- mean log-probability (CrowS-Pairs, masked): the mean logit of the tokens looked for;
- mean probability (StereoSet, masked): the mean of exp(logit);
- geometric-mean probability (both, causal): exp of the mean logit, the first token like any other.

The texts of an item are taken at equal length, as the measures take them (``stages.measures._members``).

For embeddings (SEAT) every token id has a random normal vector, and a text's is the mean over its tokens, special
ones included. The token ids come from records (column ``ids``); neither model nor tokenizer is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from stages.common.query import Reduction
from stages.evidence.association import seat_tests
from stages.evidence.effect_sizes import AssociationTest
from stages.evidence.metrics import Measured, Metric
from stages.evidence.resampling import cluster_codes
from stages.evidence.seeds import generator
from stages.evidence.values import by_category
from stages.measures._members import COMPARED

_DRAWS = 50
"""Draws computed at one time."""

Draws = Iterator[tuple[str, str, np.ndarray]]
"""Category, metric, and its value in every draw."""


def item_null(
    rule: Measured, records: pd.DataFrame, reduction: Reduction, *, draws: int, seed: int, name: str
) -> Draws:
    """Draw a measure of pairs or triples of texts under the context-free null.

    Args:
        rule: How the records are counted.
        records: Of any model with this tokenizer; only items and ``ids`` matter.
        reduction: How a text's probabilities become its score.
        draws: How many.
        seed: The suite's seed.
        name: Dataset, the name of the random stream.
    """
    items = rule.items(records)
    items = items[items["usable"]]
    by_role = {str(role): part.set_index("item")["ids"].reindex(items.index) for role, part in records.groupby("role")}
    sought = [ids for part in by_role.values() for ids in part]
    texts, vocabulary = _mean_of_tokens(sought)
    length = np.mean([by_role[role].map(len).to_numpy() for role in COMPARED], axis=0)
    stream = generator(seed, "context-free", name)
    groups = [(category, metric, items.index.get_indexer(chosen.index), cluster_codes(chosen["cluster"]))
              for category, chosen in by_category(items) for metric in rule.metrics]
    found: list[list[np.ndarray]] = [[] for _ in groups]
    for start in range(0, draws, _DRAWS):
        count = min(_DRAWS, draws - start)
        logits = stream.standard_normal((vocabulary, count))
        means = texts @ logits
        scores = _scores(reduction, means, texts, logits).reshape(len(by_role), len(items), count)
        logs = means.reshape(scores.shape) * length[:, None]
        frame = pd.DataFrame({f"{kind}_{role}": values[place].ravel() for place, role in enumerate(by_role)
                              for kind, values in (("score", scores), ("log", logs))})
        per_item = {metric.name: (_shaped(metric.value(frame), count), _shaped(metric.weight(frame), count))
                    for metric in rule.metrics}
        for kept, (_, metric, rows, codes) in zip(found, groups, strict=True):
            values, weights = per_item[metric.name]
            kept.append(_means(metric, values[rows], weights[rows], codes))
    for (category, metric, _, _), kept in zip(groups, found, strict=True):
        yield category, metric.name, np.concatenate(kept)


def association_null(
    records: pd.DataFrame, hidden: int, ddof: int, *, draws: int, seed: int, name: str
) -> Draws:
    """Draw SEAT's mean absolute effect size under random vectors of tokens.

    Args:
        records: SEAT records of any model with this tokenizer; ``ids`` are all tokens of a text.
        hidden: Size of the model's embeddings.
        ddof: Of the effect size's standard deviation.
        draws: How many.
        seed: The suite's seed.
        name: Dataset, the name of the random stream.
    """
    distinct = records.drop_duplicates("text_sha")
    place = {text: number for number, text in enumerate(distinct["text_sha"])}
    texts, vocabulary = _mean_of_tokens(list(distinct["ids"]))
    chosen = seat_tests(records)
    tests = [test for of_category in chosen.values() for test in of_category]
    contrasts = _contrasts(tests, place)
    targets = [tuple(np.array([place[text] for text in part.texts]) for part in test.sets[:2]) for test in tests]
    stream = generator(seed, "context-free", name)
    effects = np.empty((draws, len(tests)))
    for draw in range(draws):
        vectors = texts @ stream.standard_normal((vocabulary, hidden), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        associations = (vectors @ (contrasts @ vectors).T).astype(np.float64)
        for number, (x, y) in enumerate(targets):
            s = associations[:, number]
            spread = np.concatenate([s[x], s[y]]).std(ddof=ddof)
            effects[draw, number] = (s[x].mean() - s[y].mean()) / spread
    names = [category for category, of_category in chosen.items() for _ in of_category]
    for category in chosen:
        yield category, "mean_abs_effect", np.abs(effects[:, [each == category for each in names]]).mean(axis=1)


def _mean_of_tokens(texts: Sequence[Sequence[int]]) -> tuple[csr_array, int]:
    """The matrix that takes a value a token to its mean over each text, and the number of distinct tokens."""
    lengths = np.array([len(ids) for ids in texts])
    distinct, columns = np.unique(np.concatenate([np.asarray(ids, dtype=np.int64) for ids in texts]),
                                  return_inverse=True)
    matrix = csr_array((np.repeat(1.0 / lengths, lengths), (np.repeat(np.arange(len(texts)), lengths), columns)),
                       shape=(len(texts), len(distinct)))
    # Texts of the same tokens in another order are ties, and must be so to the last bit.
    matrix.sum_duplicates()
    return matrix, len(distinct)


def _scores(reduction: Reduction, means: np.ndarray, texts: csr_array, logits: np.ndarray) -> np.ndarray:
    if reduction == "mean_logprob":
        return means
    if reduction == "geometric_mean_probability":
        return np.asarray(np.exp(means))
    return np.asarray(texts @ np.exp(logits))


def _shaped(values: np.ndarray, draws: int) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(-1, draws)


def _means(metric: Metric, values: np.ndarray, weights: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The metric in every draw, as ``Metric.totals`` and ``ClusterTotals.means`` give it."""
    clusters = csr_array((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(codes.max() + 1, len(codes)))
    total, weight = clusters @ values, clusters @ weights
    if metric.macro:
        return np.asarray(metric.of_mean((total / weight).mean(axis=0)))
    return np.asarray(metric.of_mean(total.sum(axis=0) / weight.sum(axis=0)))


def _contrasts(tests: Sequence[AssociationTest], place: dict[str, int]) -> csr_array:
    """The matrix that takes the texts' unit vectors to the mean over A less the mean over B of each test."""
    entries = [(number, place[text], sign / len(part.texts)) for number, test in enumerate(tests)
               for part, sign in zip(test.sets[2:], (1.0, -1.0), strict=True) for text in part.texts]
    rows, columns, values = (np.array(column) for column in zip(*entries, strict=True))
    return csr_array((values.astype(np.float32), (rows, columns)), shape=(len(tests), len(place)))
