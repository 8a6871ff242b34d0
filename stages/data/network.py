"""Whether a host can be reached at all, found out within seconds."""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
from urllib.parse import urlsplit

import requests

DEADLINE_SECONDS = 2.5


def why_unreachable(url: str) -> str | None:
    """Why no connection to the host of ``url`` (or to the proxy set for it) opens; ``None`` if one does.

    The answer takes at most ``DEADLINE_SECONDS``, name resolution included, and is kept for
    the life of the process: a dataset of many files asks for an absent host once.
    """
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    address = urlsplit(proxy if proxy and "://" in proxy else f"http://{proxy}" if proxy else url)
    port = address.port or (443 if address.scheme == "https" else 80)
    return _why_closed(address.hostname or "", port)


@functools.cache
def _why_closed(host: str, port: int) -> str | None:
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    async def knock() -> None:
        # One address after the other without waiting for each to time out: a host has many.
        _, writer = await asyncio.open_connection(host, port, happy_eyeballs_delay=0.25)
        writer.close()

    def attempt() -> None:
        try:
            asyncio.run(knock())
        except OSError as error:
            answer.put(str(error))
        else:
            answer.put(None)

    # A thread left behind, as a name look-up without network can neither be timed nor stopped.
    threading.Thread(target=attempt, daemon=True).start()
    try:
        return answer.get(timeout=DEADLINE_SECONDS)
    except queue.Empty:
        return f"no answer within {DEADLINE_SECONDS} s"
