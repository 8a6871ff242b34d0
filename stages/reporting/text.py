"""The report's text: the suite at a glance, then every number, and how to read them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stages.evidence.settings import Compare
from stages.evidence.table import OVERALL
from stages.reporting.brief import brief_section
from stages.reporting.overview import findings_section, overview_section
from stages.reporting.tables import compact_section, dataset_section
from stages.reporting.training import agreement_section, training_section
from stages.reporting.view import View

_BARS = {"checkpoints": "what adjacent checkpoints differ by", "seeds": "what another seed changes"}
_CAPTIONS = {
    "changes": "Change of the preference for the stereotype, on the same items",
    "quality": "Change of bias against change of quality",
    "scores": "Preference for the stereotype, by model and category",
    "agreement": "Rank correlation of the measures",
    "trajectories": "Bias and quality over training",
}


def report_text(view: View, suite: str, datasets: Sequence[str], figures: Sequence[str], compare: Compare) -> str:
    """The whole of ``report.md``.

    Args:
        view: Evidence and contrasts.
        suite: Its name.
        datasets: Those about bias, in order.
        figures: Names of the figures that were drawn.
        compare: How variants were compared.
    """
    of = {name: f"![{_CAPTIONS[name]}](figures/{name}.svg)" for name in figures}
    main = view.largest(datasets) if view.many else list(datasets)
    pooled = {view.headline(name): name for name in main}
    sections = [
        f"# Results: {suite}", _how_to_read(view, compare), of.get("changes", ""), of.get("quality", ""),
        overview_section(view), findings_section(view), brief_section(view, main), of.get("scores", ""),
        *(dataset_section(view, name) if name in main else compact_section(view, name, pooled[view.headline(name)])
          for name in datasets),
        agreement_section(view), of.get("agreement", ""), training_section(view, view.largest(datasets)),
        of.get("trajectories", ""),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _how_to_read(view: View, compare: Compare) -> str:
    verdict = compare.verdict
    alpha = f"{view.order.alpha:.2g}"
    bars = " and ".join(_BARS[name] for name in verdict.noise)
    noise = (f" and exceeds the noise of training ({bars}) wherever that is known of the model, which *Changes found* "
             "says of each" if bars else "")
    distilled = view.table[(view.table["variant"] == compare.baseline) & view.table["change"].notna()]
    teacher = (f" The `{compare.baseline}` of a model that has a teacher is compared with its teacher's."
               if len(distilled) else "")
    lines = [
        f"- A value stands with its {compare.confidence:.0%} interval, from {compare.resamples:,} resamples of whole "
        "clusters (items that share a swapped term, a target or a word are not independent). `57.1: −1.2 [−3.0, 0.4] "
        f"↑12 ↓8` is a variant's value and its change from `{compare.baseline}` of the same model on the same items; "
        "arrows count the items that came to prefer the stereotype (↑) and that ceased to (↓). **Bold**: a permutation "
        "test that respects the clusters (or what seeds differ by, where its p is the larger; of a contrast, Student's "
        "t with the jackknife's error), corrected over the "
        f"whole grid (Benjamini-Hochberg), finds it at {alpha}, and its interval leaves out 0; SEAT's permutation test "
        "alone takes the words as given, as if no others might have been chosen." + teacher,
        f"- The verdict, by a rule that stands in params: `degraded` if the LM score fell by more than "
        f"{verdict.lm_drop:g} points or perplexity grew by more than ×{verdict.perplexity_ratio:g}, so that the change "
        "is no evidence about bias; `equivalent` if it lies within the margin of equivalence; `less` or `more` if it "
        f"is found{noise}; `undecided` otherwise.",
        "- *Flips, sure to unsure*: shares of items whose preference flipped either way, from the items that the "
        "parent was surest of to those it was least sure of (by its entropy). A change among near-ties is what any "
        "disturbance does.",
        "- *Beyond quality* is the variant less an earlier checkpoint of its own parent with the same quality, "
        "interpolated: the difference that quality does not explain. *Beyond noise* is the variant less its parent "
        "under random noise that changes each weight matrix as much; it is known only of a variant that a `noise` "
        "control was made like, and of no other. Both, and the graded *log-odds* (over the scored positions, both "
        "texts at equal length, nats an item), are over all categories unless one is named.",
        "- 50 is no preference on balance, and not what an untrained network gets: its scores scatter widely. "
        "*Untrained network* and *no context* rows say how far; ° marks a model whose value lies inside what an "
        "untrained network of the same architecture gets. An uncompressed model's value is called `biased` if it lies "
        "outside that and is told from no preference." + _sources(view.table),
    ]
    return "\n".join(lines)


def _sources(table: pd.DataFrame) -> str:
    """Where the LM score and the perplexity of the tables come from."""
    text = ""
    if (lm := _largest(table[table["category"] == OVERALL], "lm")) is not None:
        text += f" The LM score is that of all of `{lm}`."
    if (perplexity := _largest(table, "perplexity")) is not None:
        text += f" Perplexity is that of `{perplexity}`; a masked model's is a pseudo-perplexity."
    return text


def _largest(table: pd.DataFrame, metric: str) -> str | None:
    """The dataset of most items among those with a metric."""
    rows = table[table["metric"] == metric].sort_values(["items", "dataset"], ascending=[False, True], kind="stable")
    return str(rows["dataset"].iloc[0]) if len(rows) else None
