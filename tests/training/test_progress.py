"""Progress where nobody watches a terminal: plain lines on stderr."""

import pytest

from stages.training import progress
from stages.training.progress import Progress


def test_the_last_step_is_told_in_one_plain_line(capsys):
    with Progress("training", 3) as bar:
        for loss in ("3.0", "2.0", "1.0"):
            bar.advance(f"loss {loss}")
    assert capsys.readouterr().err == "training: step 3 of 3, loss 1.0, 0 s left\n"


def test_lines_come_ten_seconds_apart_and_say_how_long_it_takes(capsys, monkeypatch):
    # From step 40 of 100: 3 s a step, so that 20 steps are 60 s and the 40 left are 120 s.
    seconds = iter(range(0, 10_000, 3))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))
    with Progress("training", 100, start=40) as bar:
        for _ in range(20):
            bar.advance("loss 1")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training: step 44 of 100, loss 1, 168 s left"  # 12 s is the first moment over 10
    assert lines[-1] == "training: step 60 of 100, loss 1, 120 s left"
    assert len(lines) == 5


def test_an_error_passes_through():
    with pytest.raises(KeyError), Progress("training", 3):
        raise KeyError
