from __future__ import annotations

import pytest

from stages.evidence.settings import Compare
from stages.lab.vocabularies import KINDS
from stages.validity import controls, planted, trained_runs
from tests.validity.synthetic import learned


@pytest.fixture
def trained(monkeypatch):
    """Every model that validation trains, with fewer seeds."""
    monkeypatch.setitem(planted.SEEDS, "neox", (1, 2, 3, 4))
    monkeypatch.setitem(planted.SEEDS, "bert", (1, 2))

    for module in (trained_runs, controls):
        monkeypatch.setattr(module, "COMPARE", Compare(resamples=100))

    def make(**settings):
        worlds = [cell.world for cell in planted.cells()]
        return {cell.name: learned(cell.name.split(".")[1], 100 * worlds.index(cell.world) + cell.seed,
                                   random=4 if len(cell.variants) > 1 else 0, **settings)
                for cell in planted.cells()}

    return make


@pytest.fixture
def kinds():
    return KINDS
