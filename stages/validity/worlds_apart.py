"""Two worlds that differ in the strength planted for one kind of group: found there, and nowhere else.

The noise control is the first model with Gaussian noise on every weight, as large as the weight's change between the
two models: a change of that size by itself must not look like less bias.
"""

from __future__ import annotations

from dataclasses import replace

from stages.lab.vocabularies import KINDS, Kind
from stages.validity.graded import DATASETS
from stages.validity.planted import SEEDS, Trained, name_of
from stages.validity.rows import Row
from stages.validity.simulated_runs import SimulatedRun
from stages.validity.trained_runs import judged, levels, run_of, values

CHANGED: Kind = "gender"
"""The kind whose strength differs between the worlds."""
QUALITY = (0.9, 1.1)
"""Perplexity of the second model relative to the first, each on its own world's held-out text: they are as good."""


def worlds_rows(trained: Trained, noised: SimulatedRun, seed: int) -> list[Row]:
    """Verdicts on the model of the less biased world, and on the noise control, as changes from the base model.

    Args:
        trained: Models of causal architecture, all seeds of the base world among them.
        noised: The noise control (``stages.validity.noise``).
        seed: Of the random streams.
    """
    seeds = [run_of(name, "neox", trained[name])
             for name in (name_of("neox", "base", number) for number in SEEDS["neox"])]
    alike = levels(seeds, seed)
    weaker = run_of(CHANGED, "neox", trained[name_of("neox", CHANGED)])
    table = judged(_without_corpus(seeds[0]), _without_corpus(weaker), alike, seed)
    control = judged(seeds[0], noised, alike, seed)
    called = table["verdict"].isin(("less", "more"))
    graded = table[(table["metric"] == "log_odds") & (table["category"] == CHANGED)]
    others = table["category"].isin([kind for kind in KINDS if kind != CHANGED])
    found = values([seeds[0], weaker], seed)
    before, after = found[found["metric"] == "perplexity"].sort_values("variant")["value"]
    return [
        Row("perplexity of the less biased world's model, relative", float(after / before), *QUALITY),
        Row("benchmarks that find less log-odds in the right group", float((graded["verdict"] == "less").sum()),
            float(len(DATASETS)), float(len(DATASETS))),
        Row("findings in the other groups", float((called & others).sum()), 0.0, 0.0),
        Row("findings of less in the noise control", float((control["verdict"] == "less").sum()), 0.0, 0.0),
    ]


def _without_corpus(run: SimulatedRun) -> SimulatedRun:
    """The benchmarks alone: the two worlds' held-out texts are not the same."""
    return replace(run, measures={name: measure for name, measure in run.measures.items() if name != "corpus"})
