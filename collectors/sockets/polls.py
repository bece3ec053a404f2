"""Polls of what no channel of an exchange says, once a minute: intervals and bounds, sizes of contracts."""

import asyncio
import logging
import time
from collections import Counter
from typing import Any, Final

from collectors.sockets.exchange import FollowedExchange
from collectors.sockets.rest import ConnectFailed, Request, ask
from core.outage import Outage
from markets.events import StreamState, Terms

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 4 * 2**20
"""A thousand contracts of MEXC take 2 MB."""


class Polls:
    """Asks for the `polled` paths of one market, all symbols at once, whatever is followed.

    `counts`: `polls` that were answered, `polls_failed`. A path that fails is asked again a minute later, or
    when the exchange said; what was known of funding grows old and is unknown then (engine/funding/state.py).
    """

    def __init__(self, exchange: FollowedExchange) -> None:
        self.counts: Counter[str] = Counter()
        self._exchange = exchange
        self.failing: dict[str, dict[str, Any]] = {}
        """By path: since when (`since_us`), how often (`times`), and why last (`reason`)."""
        self._outages = {path: Outage(logger, logging.WARNING) for path in exchange.sheet.polled}

    async def run(self) -> None:
        """Ask until this is cancelled."""
        while True:
            waits = [await self._ask(path) for path in self._exchange.sheet.polled]
            await asyncio.sleep(max(self._exchange.timing.poll_s, *waits))

    async def _ask(self, path: str) -> float:
        """Ask for one path and emit what it says; returns how long the exchange wants to be left alone."""
        exchange = self._exchange
        base = (exchange.config.rest_url or exchange.sheet.rest_url).rstrip("/")
        request = Request("request of swaps", "GET", base + path, MOST_BYTES)
        try:
            body, wait_s = await ask(request, exchange.config, exchange.timing)
        except ConnectFailed as error:
            self.counts["polls_failed"] += 1
            before = self.failing.get(path, {"since_us": time.time_ns() // 1000, "times": 0})
            self.failing[path] = before | {"times": before["times"] + 1, "reason": str(error)}
            self._outages[path].begins("%s: %s", exchange.config.name, error, kind=str(error))
            return error.retry_after_s or 0.0
        self.counts["polls"] += 1
        self.failing.pop(path, None)
        self._outages[path].ends("%s answers what is asked of its swaps", exchange.config.name)
        said = exchange.codec.polled(body, *exchange.turns.stamps())
        for kind in (StreamState, Terms):
            if events := [event for event in said if isinstance(event, kind)]:
                exchange.emit(events)
        return wait_s or 0.0
