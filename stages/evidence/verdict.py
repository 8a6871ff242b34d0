"""One word for every change in bias, by the rule of ``compare.verdict``.

Of the rows of kind ``bias`` that have a parent, the first that holds:

``degraded``     language modelling fell by more than the rule allows: whatever happened to the bias score, a model
                 that has lost its language cannot show that it has lost its bias. Where several datasets give
                 the quality, the one of most items counts (``stages.evidence.table.quality_rows``); a model without a
                 language-model head has none and is never called degraded.
``equivalent``   the change lies within the margin that ``compare.equivalence`` takes for none (TOST). It goes before
                 the next, because a change may well be both: found, and too small to matter.
``less, more``   the change is told from zero on the same items, and exceeds the noise of training (``noise``).
``undecided``    none of these: the data show neither a change nor the absence of one.

Tests pass if their corrected p is below one minus ``compare.confidence``. The direction is that of the stereotypical
preference (``score``, ``ss``, ``log_odds``: less is a turn towards, and maybe past, the anti-stereotype), and of
the magnitude of association for SEAT's ``mean_abs_effect``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.evidence.settings import Compare

VERDICTS = ("degraded", "equivalent", "less", "more", "undecided")
_SUFFIX = {"bh": "adjusted", "holm": "holm"}


def with_verdicts(table: pd.DataFrame, compare: Compare) -> pd.DataFrame:
    """The evidence table with its column ``verdict`` filled; null where nothing is claimed."""
    rule, alpha = compare.verdict, compare.alpha
    suffix = _SUFFIX[rule.correction]
    change = table["change"]
    # Comparisons with a missing number are false: what is not known decides nothing.
    degraded = (table["lm_change"] < -rule.lm_drop) | (table["word_perplexity_ratio"] > rule.perplexity_ratio)
    equivalent = table[f"p_equivalence_{suffix}"] < alpha
    within_noise = change.abs() <= table["noise"]
    moved = (table["p_adjusted" if suffix == "adjusted" else "p_holm"] < alpha) & ~within_noise
    words = np.select([degraded, equivalent, moved & (change < 0), moved & (change > 0)], VERDICTS[:4], VERDICTS[4])
    claimed = (table["kind"] == "bias") & change.notna()
    return table.assign(verdict=pd.Series(words, index=table.index, dtype=object).where(claimed, None))
