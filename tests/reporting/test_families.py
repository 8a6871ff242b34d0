from __future__ import annotations

import pytest

from stages.compression import names
from stages.reporting.families import BASELINE, COMBINED, NAMES, OTHER, family


@pytest.mark.parametrize(("methods", "expected"), [
    (["none"], BASELINE), (["int8_dynamic"], "quantization"), (["magnitude"], "pruning"),
    (["magnitude", "finetune"], "pruning"), (["finetune"], "training on"),
    (["magnitude", "round_to_nearest"], COMBINED), (["noise"], "control"), (["invented"], OTHER),
])
def test_families(methods, expected):
    assert family([{"method": method} for method in methods]) == expected


def test_every_method_there_is_has_a_family():
    assert {family([{"method": name}]) for name in names()} <= {*NAMES, BASELINE} - {OTHER}
