"""An invented session of a collector: what it received, and what its engine made of it live."""

import random
from collections.abc import Iterator, Sequence

from msgspec import Struct

from core.names.symbols import base_of
from engine.charts.spread import SpreadEngine
from engine.scan.lifecycle import opportunity_events
from engine.scan.scanner import Scanner
from history.lake.schema import collector_started
from markets.config import (
    ExchangeConfig,
    FilterConfig,
    IdentityConfig,
    InstrumentConfig,
    ListingConfig,
    MarketConfig,
    Opportunity,
    PairConfig,
    Shard,
)
from markets.events import OpportunityEvent, Quote, SpreadPoints, StreamState

NOON_US = 1_760_000_400_000_000  # 2025-10-09 09:00 UTC: an hour begins
EXCHANGES = ("binance", "bybit", "okx")
SYMBOLS = ("BTC/USDT", "DOGE/USDT")  # of two shards, the second and the first
PAIRS = (("binance", "bybit"), ("binance", "okx"))
TOLERANCE_MS = 1000


def config(symbols: Sequence[str] = SYMBOLS) -> MarketConfig:
    """Three exchanges, two pairs, and two filters that an edge trembles about.

    The coins are confirmed to be the same, for what is invented here has nothing to do with each other.
    """
    return MarketConfig(
        revision=7,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 8.0) for key in EXCHANGES),
        instruments=frozenset(
            InstrumentConfig(key, s, s.replace("/", "-" if key == "okx" else ""))
            for key in EXCHANGES
            for s in symbols
        ),
        opportunities=tuple(Opportunity(s, *pair, TOLERANCE_MS, (1,)) for s in symbols for pair in PAIRS),
        filters=(
            FilterConfig(1, "wide", min_edge_bps=-15.0, close_edge_bps=-25.0),
            FilterConfig(2, "held", min_edge_bps=-18.0, min_duration_ms=30, charted=False),
        ),
        listings=tuple(
            ListingConfig(key, s, s.replace("/", ""), base_of(s), "USDT", s)
            for key in EXCHANGES
            for s in symbols
        ),
        pairs=tuple(PairConfig(*pair, TOLERANCE_MS) for pair in PAIRS),
        identities=tuple(IdentityConfig(s, *pair, "confirmed") for s in symbols for pair in PAIRS),
    )


class Session(Struct):
    """Everything in order of receipt."""

    received: list[Quote | StreamState]

    @property
    def quotes(self) -> list[Quote]:
        return [event for event in self.received if isinstance(event, Quote)]

    @property
    def states(self) -> list[StreamState]:
        return [event for event in self.received if isinstance(event, StreamState)]


def session(
    count: int,
    *,
    seed: int = 1,
    start_us: int = NOON_US,
    boot_ns: int = 5_000_000_000,
    shard: Shard | None = None,
    symbols: tuple[str, ...] = SYMBOLS,
) -> Session:
    """A collector's start, its streams coming up, `count` quotes with pauses, an interruption, the end.

    `boot_ns` is what its monotonic clock shows at the start.
    """
    dice = random.Random(seed)
    clock = _Clock(dice, start_us, boot_ns)
    received: list[Quote | StreamState] = [
        StreamState("", ("",), "up", collector_started(shard or Shard()), *clock.tick(0))
    ]
    received += [StreamState(key, symbols, "up", "", *clock.tick(1)) for key in EXCHANGES]
    for number in range(count):
        if number == count // 2:
            received.append(StreamState("okx", symbols, "down", "no frame for 20 s", *clock.tick(3)))
            received.append(StreamState("okx", symbols, "up", "", *clock.tick(900)))
        if number == count // 3:
            received.append(StreamState("bybit", symbols[:1], "gap", "12 events dropped", *clock.tick(3)))
        pause_ms = dice.choice((0.01, 5, 20, 40)) if dice.random() > 0.005 else 1700
        bid = 100 * (1 + dice.gauss(0, 0.0006))
        sizes = dice.uniform(0.1, 5), dice.uniform(0.1, 5)
        ask = bid * (1 + dice.uniform(0, 0.0003))
        stamps, late_us = clock.tick(pause_ms), dice.choice((0, 0, 0, 0, 0, 0, 300_000, 2_000_000))
        received.append(
            Quote(
                dice.choice(EXCHANGES),
                dice.choice(symbols),
                bid,
                sizes[0],
                ask,
                sizes[1],
                None,
                *stamps,
                late_us,
            )
        )
    received += [
        StreamState(key, symbols, "down", "collector stopped", *clock.tick(0.1)) for key in EXCHANGES
    ]
    return Session(received)


class _Clock:
    """Both stamps of a frame; they are read one after the other, so they differ a little each time."""

    def __init__(self, dice: random.Random, start_us: int, boot_ns: int) -> None:
        self._dice = dice
        self._offset_ns = boot_ns - start_us * 1000
        self._now_ns = start_us * 1000

    def tick(self, milliseconds: float) -> tuple[int, int]:
        self._now_ns += int(milliseconds * 1_000_000) + self._dice.randrange(200, 90_000)
        return self._now_ns // 1000, self._now_ns + self._offset_ns + self._dice.randrange(30, 150)


class Live:
    """Collector at work on what it receives: it collects and expires at moments of its own."""

    def __init__(self, terms: MarketConfig, seed: int) -> None:
        self.points: list[SpreadPoints] = []
        self.events: list[OpportunityEvent] = []
        self._dice = random.Random(seed)
        self._engine = SpreadEngine()
        self._engine.configure(terms)
        self._scanner = Scanner()
        self._scanner.configure(terms, lambda symbol: True, 0, 0)
        self._fees = {exchange.key: exchange.taker_fee_bps / 10_000 for exchange in terms.exchanges}

    def run(self, received: Sequence[Quote | StreamState]) -> None:
        """Take everything, to the end."""
        for event, following in zip(received, [*received[1:], None], strict=True):
            if isinstance(event, Quote):
                self._engine.on_quote(event)
                self._scanner.on_quote(event)
            elif event.exchange:
                self._engine.on_state(event)
                self._scanner.on_state(event)
            for now_ns, now_us in self._moments(event, following):
                self._engine.expire(now_ns, now_us)
                self._scanner.tick(now_us, now_ns)
                self._collect()
        self._collect()

    def _moments(
        self, event: Quote | StreamState, following: Quote | StreamState | None
    ) -> Iterator[tuple[int, int]]:
        """Now and then a moment between two events, always before what is received next."""
        if following is not None and self._dice.random() < 0.3:
            pause_us = int((following.received_ts_us - event.received_ts_us) * self._dice.random())
            yield event.received_mono_ns + pause_us * 1000, event.received_ts_us + pause_us + 1

    def _collect(self) -> None:
        deltas = [delta for delta in self._engine.collect() if len(delta.points)]
        self.points += [SpreadPoints(d.symbol, d.exchange1, d.exchange2, d.points) for d in deltas]
        self.events += opportunity_events(self._scanner.lifecycle.take(), self._fees)


def live(*sessions: Session, terms: MarketConfig | None = None, seed: int = 1) -> Live:
    """Results of one collector after the other from what it received."""
    whole = Live(terms or config(), seed)
    for number, each in enumerate(sessions):
        one = Live(terms or config(), seed + number)
        one.run(each.received)
        whole.points += one.points
        whole.events += one.events
    return whole
