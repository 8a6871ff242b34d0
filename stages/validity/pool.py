"""Simulations spread over processes: each part has its own random streams, so that workers change the time alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Protocol

WORKERS = 2


class Spread(Protocol):
    """Calls a function of a module with each tuple of arguments, and gives the results in order."""

    def __call__(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The results."""


def here(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """A ``Spread`` over nothing but this process."""
    return [function(*given) for given in arguments]


@contextmanager
def processes(workers: int = WORKERS) -> Iterator[Spread]:
    """A ``Spread`` over new processes, which see this one's environment and nothing else of it."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:

        def spread(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
            waiting = [executor.submit(function, *given) for given in arguments]
            return [one.result() for one in waiting]

        yield spread
