"""Where preferences flip: items by how uncertain the parent was of them.

Items are put in bins of equal numbers by the parent's entropy at the positions it scored. Flips that
sit in the uncertain bins are what any perturbation does to near-ties; flips among items that the
parent was sure of are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from stages.evidence.items import align
from stages.evidence.metrics import Metric

BIN_COLUMNS = {
    **dict.fromkeys(("model", "variant", "dataset"), "string"),
    "bin": "int64", "entropy_low": "float64", "entropy_high": "float64", "items": "int64",
    "flips_more": "int64", "flips_less": "int64", "flip_share": "float64",
    "margin": "float64", "margin_change": "float64",
}
"""Columns of the table of bins: ``bin`` counts from 1, the least uncertain; ``entropy_low`` and ``entropy_high`` are
the parent's least and greatest in it (nats). ``flip_share`` is the share of its items whose preference flipped either
way, ``margin`` the mean size of the parent's stereotype log-odds (nats an item), ``margin_change`` that of their
change."""
_DECIMALS = 9


def entropy_bins(
    metric: Metric, parent: pd.DataFrame, child: pd.DataFrame, bins: int, names: Mapping[str, str | float]
) -> Iterator[dict[str, str | float]]:
    """Flips of a preference by bins of the parent's entropy, over the items that both models could score.

    Where ties are left out, so are the items that either model sees as one.

    Items of equal entropy share a bin, so bins may differ in size; an empty one is left out. If the parent's
    entropy is not a number for some item (records of embeddings), there are no bins.

    Args:
        metric: A preference.
        parent: All items of one dataset (``stages.evidence.items.items_by_role``).
        child: The same items as another model scored them.
        bins: How many.
        names: Model, variant and dataset.
    """
    before, after = align(parent, child)
    both = metric.counts(before) & metric.counts(after)
    before, after = before[both], after[both]
    entropy = before["entropy"].to_numpy(dtype=np.float64)
    if not len(entropy) or not np.isfinite(entropy).all():
        return
    edges = np.quantile(entropy, np.arange(1, bins) / bins)
    place = np.searchsorted(edges, entropy, side="left")
    old, new = metric.value(before) > 50, metric.value(after) > 50
    margin = (before["log_stereo"] - before["log_anti"]).to_numpy()
    moved = (after["log_stereo"] - after["log_anti"]).to_numpy() - margin
    for number in np.unique(place):
        inside = place == number
        more, less = int(np.sum(new & ~old & inside)), int(np.sum(old & ~new & inside))
        yield {**names, "bin": int(number) + 1, "entropy_low": entropy[inside].min(),
               "entropy_high": entropy[inside].max(), "items": int(inside.sum()), "flips_more": more,
               "flips_less": less, "flip_share": (more + less) / int(inside.sum()),
               "margin": np.abs(margin[inside]).mean(), "margin_change": np.abs(moved[inside]).mean()}


def bins_table(rows: list[dict[str, str | float]]) -> pd.DataFrame:
    """Rows of ``entropy_bins`` as a sorted table with ``BIN_COLUMNS``."""
    table = pd.DataFrame(rows, columns=list(BIN_COLUMNS)).astype(
        {name: kind for name, kind in BIN_COLUMNS.items() if kind != "string"})
    numbers = [name for name, kind in BIN_COLUMNS.items() if kind == "float64"]
    table[numbers] = table[numbers].round(_DECIMALS)
    return table.sort_values(["model", "variant", "dataset", "bin"], ignore_index=True)


def flip_contrast(bins: pd.DataFrame) -> dict[str, float]:
    """Flips of one model, variant and dataset in the most uncertain bin against the least uncertain.

    Returns:
        ``flips_certain`` and ``flips_uncertain``, shares of items, and their ratio ``flips_uncertain_ratio``, which is
        left out where nothing flipped in the least uncertain bin. Empty with fewer than two bins.
    """
    if len(bins) < 2:
        return {}
    ordered = bins.sort_values("bin")
    low, high = float(ordered["flip_share"].iloc[0]), float(ordered["flip_share"].iloc[-1])
    ratio = {"flips_uncertain_ratio": high / low} if low > 0 else {}
    return {"flips_certain": low, "flips_uncertain": high, **ratio}
