"""One word for every change in bias, by the rule of ``compare.verdict``.

Of the rows of kind ``bias`` that have a parent, the first that holds:

``degraded``     language modelling fell by more than the rule allows: whatever happened to the bias score, a model
                 that has lost its language cannot show that it has lost its bias. Where several datasets give
                 the quality, the one of most items counts (``stages.evidence.table.quality_rows``); a model without a
                 language-model head has none and is never called degraded.
``equivalent``   the change lies within the margin that ``compare.equivalence`` takes for none (TOST). It goes before
                 the next, because a change may well be both: found, and too small to matter.
``less, more``   the change is told from zero on the same items, by the test and by its interval, and exceeds the noise
                 of training wherever that is known: what adjacent checkpoints differ by (``noise``), and what another
                 seed changes, which the corrected p asks for as well (``p_seed``). The column ``bars`` says which of
                 them were known.
``undecided``    none of these: the data show neither a change nor the absence of one.

Tests pass if their corrected p is below one minus ``compare.confidence``. The direction is that of the stereotypical
preference (``score``, ``ss``, ``log_odds``: less is a turn towards, and maybe past, the anti-stereotype), and of
the magnitude of association for SEAT's ``mean_abs_effect``.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.evidence.settings import Compare, Noise

BARS: dict[Noise, str] = {"checkpoints": "noise", "seeds": "p_seed"}
"""Column of the evidence table in which each noise of training is known."""
VERDICTS = ("degraded", "equivalent", "less", "more", "undecided")
_SUFFIX = {"bh": "adjusted", "holm": "holm"}


def with_verdicts(table: pd.DataFrame, compare: Compare) -> pd.DataFrame:
    """The evidence table with its columns ``verdict`` and ``bars`` filled; null where nothing is claimed.

    Args:
        table: With ``noise`` and ``p_seed`` filled as far as they are known, and its p-values corrected for the latter
            (``stages.evidence.training_noise``).
        compare: The rule, level and correction.
    """
    rule, alpha = compare.verdict, compare.alpha
    suffix = _SUFFIX[rule.correction]
    change = table["change"]
    # Comparisons with a missing number are false: what is not known decides nothing.
    degraded = (table["lm_change"] < -rule.lm_drop) | (table["word_perplexity_ratio"] > rule.perplexity_ratio)
    equivalent = table[f"p_equivalence_{suffix}"] < alpha
    within_noise = change.abs() <= table["noise"]
    # SEAT's permutation test takes its words as given; the interval takes them for a sample.
    unsure = (table["change_low"] <= 0) & (table["change_high"] >= 0)
    moved = (table["p_adjusted" if suffix == "adjusted" else "p_holm"] < alpha) & ~unsure & ~within_noise
    words = np.select([degraded, equivalent, moved & (change < 0), moved & (change > 0)], VERDICTS[:4], VERDICTS[4])
    claimed = (table["kind"] == "bias") & change.notna()
    known = table[list(BARS.values())].notna().to_numpy()
    bars = ["+".join(name for name, there in zip(BARS, row, strict=True) if there) for row in known]
    return table.assign(**{column: pd.Series(texts, index=table.index, dtype=object).where(claimed, None)
                           for column, texts in (("bars", bars), ("verdict", words))})
