"""Probe of the exchanges: `FEED=auto` asks before it decides between live and simulated."""

import asyncio
from collections.abc import Iterable

import websockets

from core.proxies import proxy_for, with_remote_names

PROBE_S = 8.0  # in all; with connecting and closing this stays under the 10 s a newcomer waits


async def any_answers(
    ws_urls: Iterable[str], timeout_s: float = PROBE_S, proxy: str = "", no_proxy: Iterable[str] = ()
) -> bool:
    """Whether at least one of these WebSocket URLs accepts us within `timeout_s` seconds.

    A completed handshake is asked for, not a mere connection: a firewall's error page answers too. The
    way out is the collectors' (core.proxies), and no other.
    """
    ways = [(url, with_remote_names(proxy_for(url, proxy, tuple(no_proxy))) or None) for url in ws_urls]
    attempts = [asyncio.create_task(_accepts(url, way), name=f"probe {url}") for url, way in ways]
    try:
        async with asyncio.timeout(timeout_s):
            for finished in asyncio.as_completed(attempts):
                if await finished:
                    return True
    except TimeoutError:
        pass  # silence is an answer, too
    finally:
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
    return False


async def _accepts(url: str, proxy: str | None) -> bool:
    try:
        async with websockets.connect(url, proxy=proxy, open_timeout=None, close_timeout=1):
            return True
    except (OSError, websockets.WebSocketException, EOFError):
        return False
