"""Two worlds that differ in the strength planted for one kind of group: found there, and nowhere else.

The noise controls are the first model with Gaussian noise on every weight. Noise as large as the weight's change
between the two models must not be called less bias; but it costs quality, which is enough to be called ``degraded``.
So there is a fainter one that leaves a model as good as the first, and in it nothing may fall significantly, whatever
the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from stages.lab.vocabularies import KINDS, Kind
from stages.validity.graded import DATASETS
from stages.validity.noise import FAINT, WHOLE
from stages.validity.planted import SEEDS, Trained, name_of
from stages.validity.rows import Row
from stages.validity.simulated_runs import SimulatedRun
from stages.validity.trained_runs import COMPARE, judged, levels, run_of, values

CHANGED: Kind = "gender"
"""The kind whose strength differs between the worlds."""
QUALITY = (0.9, 1.1)
"""Perplexity of a model relative to the first, each on its own world's held-out text: they are as good."""


def worlds_rows(trained: Trained, noised: Mapping[str, SimulatedRun], seed: int) -> list[Row]:
    """Verdicts on the model of the less biased world, and on the noise controls, as changes from the base model.

    Args:
        trained: Models of causal architecture, all seeds of the base world among them.
        noised: The noise controls (``stages.validity.noise``), by name.
        seed: Of the random streams.
    """
    seeds = [run_of(name, "neox", trained[name])
             for name in (name_of("neox", "base", number) for number in SEEDS["neox"])]
    alike = levels(seeds[1:], seed)
    weaker = run_of(CHANGED, "neox", trained[name_of("neox", CHANGED)])
    table = judged(_without_corpus(seeds[0]), _without_corpus(weaker), alike, seed)
    whole, faint = (judged(seeds[0], noised[name], alike, seed) for name in (WHOLE, FAINT))
    called = table["verdict"].isin(("less", "more"))
    graded = table[(table["metric"] == "log_odds") & (table["category"] == CHANGED)]
    others = table["category"].isin([kind for kind in KINDS if kind != CHANGED])
    return [
        Row("perplexity of the less biased world's model, relative", _relative(seeds[0], weaker, seed), *QUALITY),
        Row("benchmarks that find less log-odds in the right group", float((graded["verdict"] == "less").sum()),
            float(len(DATASETS)), float(len(DATASETS))),
        Row("findings in the other groups", float((called & others).sum()), 0.0, 0.0),
        Row("findings of less under noise as large as the worlds' distance", float((whole["verdict"] == "less").sum()),
            0.0, 0.0),
        Row("perplexity under fainter noise, relative", _relative(seeds[0], noised[FAINT], seed), *QUALITY),
        Row("significant drops under fainter noise, whatever the verdict", float(_drops(faint)), 0.0, 0.0),
    ]


def _drops(table: pd.DataFrame) -> int:
    """Falls of a bias measure that are told from zero and from the noise of the seeds."""
    found = (table["kind"] == "bias") & (table["p_adjusted"] < COMPARE.alpha)
    return int((found & (table["change"] < 0)).sum())


def _relative(before: SimulatedRun, after: SimulatedRun, seed: int) -> float:
    found = values([before, after], seed)
    first, second = found[found["metric"] == "perplexity"].sort_values("variant")["value"]
    return float(second / first)


def _without_corpus(run: SimulatedRun) -> SimulatedRun:
    """The benchmarks alone: the two worlds' held-out texts are not the same."""
    return replace(run, measures={name: measure for name, measure in run.measures.items() if name != "corpus"})
