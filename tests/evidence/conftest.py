from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evidence.synthetic import world, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Write a parent and a child, by default of the same data with the child's preferences weakened."""

    def write(shrink: float = 0.6, seed: int = 3) -> tuple[Path, Path]:
        return (write_run(tmp_path / "parent", world(seed)), write_run(tmp_path / "child", world(seed, shrink)))

    return write
