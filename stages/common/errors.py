"""Errors as part of the interface: what was wrong, where it is, what to do about it."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable


class ProjectError(Exception):
    """A mistake the user can act on; printed as one line, without a traceback.

    Args:
        what: What was found to be wrong.
        where: The file, row, key or tensor at fault, if one can be named.
        fix: What the user can do about it.
    """

    def __init__(self, what: str, *, where: object = None, fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(str(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where is not None else ""
        advice = f" ({self.fix})" if self.fix else ""
        return f"{place}{self.what}{advice}"


class ParamsError(ProjectError):
    """A key or value in a params file that the pipeline does not know."""


class DataError(ProjectError):
    """Input data that is missing, malformed, tampered with or fails its expectations."""


class ModelError(ProjectError):
    """A model that cannot be loaded whole, or cannot be used for what was asked."""


class MethodError(ProjectError):
    """A compression method whose settings make no sense for the model at hand."""


def run(main: Callable[[], int | None]) -> None:
    """Run a command-line entry point; exit 1 with one clear line on a ``ProjectError``.

    Set ``STAGES_TRACEBACK=1`` to see where in the code a ``ProjectError`` was raised.
    """
    # Importing torch and transformers makes a million objects that stay: looking through them for cycles again and
    # again takes a fifth of the time that the imports take, of each stage.
    gc.set_threshold(100_000, 20, 100)
    try:
        code = main()
    except ProjectError as error:
        if os.environ.get("STAGES_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # The reader (head, less) went away; point stdout elsewhere so that exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code or 0)
