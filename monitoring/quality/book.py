"""Book of a collector's own data: rates, rhythm, latency and rejects, by symbol and exchange.

Pure: no sockets, no clock, no Django. It takes events in batches and hands each kind to what follows it:
`Instruments` and `Feeds`. What the numbers mean is in docs/quality.md.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from markets.config import GateTerms, MarketConfig
from markets.events import FeedReport, Quote, SinkEvent, StreamState, Trade
from monitoring.quality import rows
from monitoring.quality.feeds import Feeds
from monitoring.quality.instruments import Instruments, stood_still
from monitoring.quality.wire import ExchangeQuality, Rows

Owns = Callable[[str], bool]


class DataQuality:
    """Every instrument and exchange of one shard. Memory is bounded by the configuration."""

    def __init__(self, now_ns: int) -> None:
        self.unknown = 0  # events of instruments that are not configured (any more)
        self.layout = 0  # rises whenever `names` says something else
        self.feeds = Feeds(now_ns)
        self._instruments = Instruments(now_ns)
        self._terms = GateTerms()
        self._now_ns = now_ns

    def configure(self, config: MarketConfig, owns: Owns, now_us: int, now_ns: int) -> None:
        """Follow a configuration; what stays keeps all that is known of it."""
        self._terms = config.gates
        are_others = self.feeds.set(sorted(each.key for each in config.exchanges), now_ns)
        wanted = sorted(
            (each for each in config.instruments if owns(each.shard_key)),
            key=lambda each: (each.exchange, each.symbol),
        )
        if are_others or wanted != self._instruments.listed:
            self._instruments.set(wanted, self.feeds.exchanges, now_us, now_ns)
            self.layout += 1

    # --- events ----------------------------------------------------------------------------------

    def take(self, events: Sequence[SinkEvent], now_ns: int) -> None:
        """Count what was received together, in order."""
        self._now_ns = now_ns
        self.feeds.latencies.turn(now_ns)
        self._instruments.turn(now_ns)
        said, places = self._placed(events)
        if not said:
            return
        place = np.array(places, np.intp)
        mono_ns = np.array([event.received_mono_ns for event in said], np.int64)
        self.feeds.take(said, self._instruments.each["exchange"][place].astype(np.intp), mono_ns)
        is_quote = [type(event) is Quote for event in said]
        if not all(is_quote):
            quotes = np.array(is_quote)
            self._instruments.take_trades(place[~quotes])
            said, place, mono_ns = list(compress(said, is_quote)), place[quotes], mono_ns[quotes]
        if said:
            self._instruments.take_quotes(said, place, mono_ns)

    def _placed(self, events: Sequence[Any]) -> tuple[Sequence[Any], list[int]]:
        """Quotes and trades of known instruments, and their rows; mostly that is all there are."""
        places = self._instruments.places
        try:
            return events, [places[event.exchange][event.symbol] for event in events]
        except (KeyError, AttributeError):
            said = [event for event in events if isinstance(event, Quote | Trade)]
            self._take_others(events)
            nowhere: dict[str, int] = {}
            known = [event for event in said if event.symbol in places.get(event.exchange, nowhere)]
            self.unknown += len(said) - len(known)
            return known, [places[event.exchange][event.symbol] for event in known]

    def _take_others(self, events: Iterable[SinkEvent]) -> None:
        for event in events:
            if isinstance(event, StreamState):
                self._instruments.take_state(event, self._now_ns)
                if event.state == "gap" and not stood_still(event):
                    self.feeds.refusals[event.exchange] = event.reason
            elif isinstance(event, FeedReport):
                self._take_report(event)

    def _take_report(self, report: FeedReport) -> None:
        refused = self.feeds.take_report(report)
        if refused is None:
            self.layout += 1
            return
        for (symbol, kind), count in refused:
            self._instruments.reject(report.exchange, symbol, kind, count)

    # --- reports ---------------------------------------------------------------------------------

    def assess(self, now_us: int, now_ns: int) -> None:
        """Say of every instrument what its silence means now."""
        self.layout += self.feeds.forget(now_ns)
        self._instruments.assess(self._terms, now_us, now_ns)

    def names(self) -> list[tuple[str, str]]:
        """Exchange and symbol of every row: the instruments of exchanges that are collected here."""
        here = self.feeds.connections
        return [(each.exchange, each.symbol) for each in self._instruments.listed if each.exchange in here]

    def rows(self, now_ns: int) -> Rows:
        """`SYMBOL_ROW`s, as of the last `assess`."""
        return rows.symbol_rows(self._instruments, now_ns)[self._collected()]

    def take_minute(self, now_ns: int) -> Rows:
        """`MINUTE_ROW`s of the time since the last call."""
        return rows.take_minute(self._instruments, now_ns)[self._collected()]

    def exchange_rows(self, now_ns: int) -> list[ExchangeQuality]:
        """Every exchange that is collected here, as of the last `assess`."""
        return rows.exchange_rows(self.feeds, self._instruments, now_ns)

    def _collected(self) -> NDArray[np.bool_]:
        """Mask of instruments whose exchanges are collected here."""
        return np.asarray(self.feeds.collected()[self._instruments.each["exchange"]])
