"""Every exchange as its feed does: its connections, when it last spoke, how late its data comes.

Pure: no sockets, no clock, no Django.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from markets.events import FeedReport
from monitoring.quality.connections import Connections
from monitoring.quality.latency import Latencies

FORGOTTEN_S: Final = 10.0
"""An exchange whose feed reports no more is no longer collected here."""

HELD_MARGIN_US: Final = 1_000_000
"""What was sent so long before a process was held up may have been on its way to it."""


class Feeds:
    """By exchange, in the order of `exchanges`."""

    def __init__(self, now_ns: int) -> None:
        self.exchanges: list[str] = []
        self.connections: dict[str, Connections] = {}  # of those that are collected here
        self.latencies = Latencies(0, now_ns)
        self.spoke_ns = np.zeros(0, np.int64)  # its last quote or trade
        self.refusals: dict[str, str] = {}  # why a quote of it could not be used, the newest
        self._held_us = (0, 0)

    def set(self, exchanges: list[str], now_ns: int) -> bool:
        """Whether they are others: then the numbers by which instruments name theirs are, too."""
        if exchanges == self.exchanges:
            return False
        self.exchanges = exchanges
        self.latencies = Latencies(len(exchanges), now_ns)
        self.spoke_ns = np.zeros(len(exchanges), np.int64)
        return True

    def held_up(self, since_us: int, until_us: int) -> None:
        """This process stood still (wall clock): how late what was sent meanwhile comes is our own doing.

        So it is of what is sent while we catch up, which may take as long again.
        """
        self._held_us = since_us - HELD_MARGIN_US, until_us + (until_us - since_us)

    def take(self, events: Sequence[Any], exchange: NDArray[np.intp], mono_ns: NDArray[np.int64]) -> None:
        """Follow quotes and trades, by the number of each one's exchange and when it was received."""
        self.spoke_ns[exchange] = mono_ns
        received_us = (mono_ns + _wall_clock_ns(events)) / 1e3
        sent_us = np.array([event.exchange_ts_us for event in events], np.float64)  # None becomes NaN
        since_us, until_us = self._held_us
        sent_us[(sent_us >= since_us) & (sent_us <= until_us)] = np.nan
        self.latencies.take(exchange, (received_us - sent_us) / 1e3)

    def take_report(self, report: FeedReport) -> Iterable[tuple[tuple[str, str], int]] | None:
        """Refusals since the report before, by symbol and reason; None of a feed's first report."""
        connections = self.connections.get(report.exchange)
        if connections is None:
            self.connections[report.exchange] = Connections(report)
            return None
        return connections.take(report).items()

    def forget(self, now_ns: int) -> bool:
        """Forget feeds that report no more; whether there were any."""
        silent = [
            key
            for key, connections in self.connections.items()
            if now_ns - connections.report.received_mono_ns > FORGOTTEN_S * 1e9
        ]
        for key in silent:
            del self.connections[key]
        return bool(silent)

    def collected(self) -> NDArray[np.bool_]:
        """Mask of exchanges that are collected here."""
        return np.array([key in self.connections for key in self.exchanges], bool)


def _wall_clock_ns(events: Sequence[Any]) -> int:
    """Lead of the wall clock over the monotonic one; cheaper than to ask every event for both.

    Of three, as a process may be held up between reading the one and the other.
    """
    some = (events[0], events[len(events) // 2], events[-1])
    return max(int(event.received_ts_us * 1000 - event.received_mono_ns) for event in some)
