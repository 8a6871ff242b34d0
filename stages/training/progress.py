"""Progress of a training: a bar on a terminal, now and then a line anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Steps done, the latest note, and the time that remains, on stderr.

    Args:
        name: What is being done.
        total: Steps in all.
        start: Steps done before.
    """

    def __init__(self, name: str, total: int, start: int = 0) -> None:
        self._name, self._total, self._start, self._done = name, total, start, start
        self._terminal = sys.stderr.isatty()
        self._bar = tqdm(desc=name, total=total, initial=start, unit="step", disable=not self._terminal)
        self._began = self._spoke = time.monotonic()

    def advance(self, note: str) -> None:
        """Count one step."""
        self._done += 1
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update()
        now = time.monotonic()
        if not self._terminal and (now - self._spoke > _SECONDS_BETWEEN_LINES or self._done == self._total):
            self._spoke = now
            remaining = (now - self._began) / (self._done - self._start) * (self._total - self._done)
            line = f"{self._name}: step {self._done} of {self._total}, {note}, {remaining:.0f} s left"
            print(line, file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
