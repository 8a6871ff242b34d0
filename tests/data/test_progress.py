"""Progress is a bar on a terminal and plain lines elsewhere."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from stages.data.progress import Progress

SCRIPT = """
from stages.data.progress import Progress
with Progress("items.csv", 0, 2_000_000) as bar:
    bar.advance(500_000)
"""


def test_a_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=Path(__file__).parents[2], stderr=theirs, check=True)
    shown = os.read(ours, 4096).decode()
    os.close(theirs)
    os.close(ours)
    assert "\ritems.csv:" in shown
    assert "/2.00M" in shown
    assert "downloading" not in shown


def test_a_line_every_ten_seconds_elsewhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("stages.data.progress.time.monotonic", lambda: now[0])
    with Progress("items.csv", 1_000_000, 4_000_000) as bar:
        for now[0] in (104.0, 109.0, 111.0, 112.0):
            bar.advance(500_000)
    assert capsys.readouterr().err.splitlines() == [
        "downloading items.csv: 1.0 of 4.0 MB", "downloading items.csv: 2.5 of 4.0 MB"]
