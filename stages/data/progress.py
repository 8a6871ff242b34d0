"""Progress of a download: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 10.0


def say(line: str) -> None:
    """Print a line about work under way (on stderr, where the bars are)."""
    print(line, file=sys.stderr, flush=True)


class Progress:
    """How much of a file has arrived.

    Args:
        name: What is being fetched.
        begin: Bytes that were there already.
        total: Bytes of the whole file, if known.
    """

    def __init__(self, name: str, begin: int, total: int | None) -> None:
        self._name, self._done, self._total = name, begin, total
        self._bar = tqdm(desc=name, initial=begin, total=total, unit="B", unit_scale=True, disable=None, leave=False)
        self._next_line = 0.0

    def __enter__(self) -> Progress:
        """Start the bar, or print the first line."""
        self._line()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Take the bar away."""
        self._bar.close()

    def advance(self, size: int) -> None:
        """Count ``size`` more bytes."""
        self._done += size
        self._bar.update(size)
        self._line()

    def _line(self) -> None:
        now = time.monotonic()
        if self._bar.disable and now >= self._next_line:
            self._next_line = now + _SECONDS_BETWEEN_LINES
            of = f" of {self._total / 1e6:.1f}" if self._total else ""
            say(f"downloading {self._name}: {self._done / 1e6:.1f}{of} MB")
