"""Is any exchange within reach? `FEED=auto` asks before it decides between live and simulated."""

import asyncio
from collections.abc import Iterable

import websockets

PROBE_S = 8.0  # in all; with connecting and closing this stays under the 10 s a newcomer waits


async def any_answers(ws_urls: Iterable[str], timeout_s: float = PROBE_S) -> bool:
    """Whether at least one of these WebSocket URLs accepts us within `timeout_s` seconds.

    A completed handshake is asked for, not a mere connection: a firewall's error page answers too.
    """
    attempts = [asyncio.create_task(_accepts(url), name=f"probe {url}") for url in ws_urls]
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


async def _accepts(url: str) -> bool:
    try:
        async with websockets.connect(url, open_timeout=None, close_timeout=1):
            return True
    except (OSError, websockets.WebSocketException, EOFError):
        return False
