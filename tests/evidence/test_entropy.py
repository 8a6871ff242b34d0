from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages import measures
from stages.evidence.entropy import BIN_COLUMNS, bins_table, entropy_bins, flip_contrast
from stages.evidence.metrics import measured
from tests.evidence.synthetic import pairs

RULE = measured("pair_preference", measures.get("pair_preference").Options(), "masked")
NAMES = {"model": "m", "variant": "int8", "dataset": "toy"}


def bins(before, after, entropies, count=2):
    """Bins of pairs given by their margins; an item's texts have entropies that average to the one given."""
    tables = []
    for margins in (before, after):
        records = pairs({f"i{n:02d}": margin for n, margin in enumerate(margins)})
        spread = np.where(records["role"] == "stereo", 0.25, -0.25)
        records["entropy"] = np.repeat(entropies, 2) + spread
        tables.append(RULE.items(records))
    return bins_table(list(entropy_bins(RULE.metrics[0], *tables, count, NAMES)))


def test_flips_and_margins_by_hand():
    # Sure of items 0 and 1, unsure of 2 and 3. Item 1 keeps its preference, 2 turns away, 3 turns to the stereotype.
    found = bins((0.4, -0.2, 0.1, -0.3), (0.3, -0.1, -0.1, 0.1), (1.0, 1.5, 3.0, 3.5))
    assert list(found.columns) == list(BIN_COLUMNS)
    assert found["items"].tolist() == [2, 2]
    assert found[["flips_more", "flips_less"]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert found["flip_share"].tolist() == [0.0, 1.0]
    assert found["margin"].tolist() == pytest.approx([0.3, 0.2])
    assert found["margin_change"].tolist() == pytest.approx([0.1, 0.3])
    assert found[["entropy_low", "entropy_high"]].to_numpy().tolist() == [[1.0, 1.5], [3.0, 3.5]]
    # Nothing flipped where the parent was sure: a ratio would divide by zero, and is left out.
    assert flip_contrast(found) == {"flips_certain": 0.0, "flips_uncertain": 1.0}


def test_the_ratio_is_of_the_most_uncertain_to_the_least():
    flipped = [0, 0, 4, 7, 8, 9]  # of twelve items in three bins of four
    before = np.full(12, 0.2)
    after = np.where(np.isin(np.arange(12), flipped), -0.2, 0.2)
    found = bins(before, after, np.arange(12.0), 3)
    assert found["flip_share"].tolist() == [0.25, 0.5, 0.5]
    assert flip_contrast(found.sample(frac=1, random_state=0))["flips_uncertain_ratio"] == 2.0


def test_items_of_equal_entropy_share_a_bin():
    found = bins((0.1,) * 6, (-0.1,) * 6, (1.0, 1.0, 1.0, 1.0, 1.0, 2.0), 3)
    assert found["items"].tolist() == [5, 1]
    assert flip_contrast(bins((0.1,) * 4, (-0.1,) * 4, (1.0,) * 4)) == {}


def test_items_that_one_side_could_not_score_are_in_no_bin():
    records = pairs({f"i{n}": 0.1 for n in range(4)}).assign(entropy=np.repeat([1.0, 2.0, 3.0, np.nan], 2))
    records.loc[records["item"] == "i3", ["scored", "score", "logprob"]] = [0, np.nan, np.nan]
    items = RULE.items(records)
    found = bins_table(list(entropy_bins(RULE.metrics[0], items, items, 3, NAMES)))
    assert found["items"].sum() == 3


def test_no_entropy_no_bins():
    items = RULE.items(pairs({"a": 0.1, "b": 0.2}))
    assert not list(entropy_bins(RULE.metrics[0], items.assign(entropy=np.nan), items, 2, NAMES))
    assert not list(entropy_bins(RULE.metrics[0], items.iloc[:0], items.iloc[:0], 2, NAMES))
    empty = bins_table([])
    assert list(empty.columns) == list(BIN_COLUMNS)
    assert isinstance(empty, pd.DataFrame)
