"""The engine and the scanner once more, over what was recorded: the same points and events, bit for bit.

What makes that so, and where it is not, is said in docs/replay.md.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Final, TypeVar

from msgspec import Struct, structs

from history.recorded import Received
from history.schema import started_shard
from markets.config import MarketConfig, Shard
from markets.events import OpportunityEvent, Quote, SpreadPoints
from markets.fee_book import Fees
from markets.selection import scan_pairs
from realtime.engine import SpreadEngine
from realtime.lifecycle import opportunity_events
from realtime.rates import Rates
from realtime.scanner import Scanner

SLOT_US: Final = 50_000
"""Results are handed on once per this much recorded time, at any speed: their order is always the same."""

SLOT_EVENTS: Final = 100
"""And after as many events. Each adds two points at most, fewer than a chart may gather: none is thinned."""

LEAD_IN_US: Final = 15 * 60 * 1_000_000
"""How long before its beginning a replay feeds the engine, so that bands and legs are what they were."""

_NS_PER_US: Final = 1_000

T = TypeVar("T")


class Results(Struct):
    """What the engine made of one slot, by the recorded time `now_us`."""

    now_us: int
    points: list[SpreadPoints]
    events: list[OpportunityEvent]


class _Lane:
    """One symbol: no quote of another one can touch its charts and pairs, so it has engines of its own.

    Its collector may have been restarted, on another machine perhaps, while others went on.
    """

    def __init__(self, config: MarketConfig, symbol: str) -> None:
        self._exchanges = [exchange.key for exchange in config.exchanges]
        self._names = {each.exchange: each.symbol for each in config.listings}
        self._symbol = symbol
        self._fees = Fees(config)
        self._engine = SpreadEngine(window_points=1)  # nobody looks at the window
        self._engine.configure(config)
        self._scanner = Scanner()
        self._scanner.configure(config, symbol.__eq__, 0, 0)
        self._last: Quote | None = None

    @property
    def needs_rates(self) -> bool:
        """Whether some of its prices, or what its sizes are worth, are to be converted."""
        return bool(self._scanner.rates.legs)

    def feed(self, event: Received) -> None:
        """Take one event; a state that names no exchange is of all of them."""
        if isinstance(event, Quote):
            self._last = event
            self._engine.on_quote(event)
            self._scanner.on_quote(event)
            return
        for exchange in [event.exchange] if event.exchange else self._exchanges:
            name = self._names.get(exchange, self._symbol)
            state = structs.replace(event, exchange=exchange, symbols=(name,))
            self._engine.on_state(state)
            self._scanner.on_state(state)

    def hear(self, rates: dict[str, tuple[float, int]]) -> None:
        """Take over what stablecoins are worth, by symbol, and since when."""
        self._scanner.rates.hear(rates)

    def expire(self, now_us: int) -> None:
        """Let charts and opportunities age until a time that is not before the last quote."""
        if self._last is not None:
            since_us = now_us - self._last.received_ts_us
            self._age(self._last.received_mono_ns + since_us * _NS_PER_US, now_us)

    def _age(self, now_mono_ns: int, now_us: int) -> None:
        self._engine.expire(now_mono_ns, now_us)
        self._scanner.tick(now_us, now_mono_ns)
        self._engine.set_rates(self._scanner.rates.current)

    def collect(self) -> tuple[list[SpreadPoints], list[OpportunityEvent]]:
        """What is new as of the last quote."""
        if self._last is not None:
            self._age(self._last.received_mono_ns, self._last.received_ts_us)
        deltas = [delta for delta in self._engine.collect() if len(delta.points)]
        points = [SpreadPoints(d.symbol, d.exchange1, d.exchange2, d.points) for d in deltas]
        return points, opportunity_events(self._scanner.lifecycle.take(), self._fees)

    def counts(self) -> dict[str, int]:
        """What the engine did."""
        return structs.asdict(self._engine.counters)


class _RateBoard:
    """What stablecoins are worth, for every lane that needs it, whichever shard collected it."""

    def __init__(self, config: MarketConfig) -> None:
        rates = Rates()
        rates.configure(config.listings, config.gates)
        self.symbols = frozenset(rates.legs)
        self._max_age_us = config.gates.max_age_ms * 1_000
        self._mids: defaultdict[str, dict[str, tuple[float, int]]] = defaultdict(dict)

    def feed(self, event: Received, symbol: str) -> None:
        """Take one event of a symbol that says a rate."""
        if isinstance(event, Quote):
            self._mids[symbol][event.exchange] = (
                (event.bid + event.ask) / 2,
                event.received_ts_us - event.late_us,
            )
        elif event.state != "up":
            for exchange in [event.exchange] if event.exchange else list(self._mids[symbol]):
                self._mids[symbol].pop(exchange, None)

    def said(self, now_us: int) -> dict[str, tuple[float, int]]:
        """As shards tell each other: symbol -> rate and when it held; what is too old is not told."""
        fresh = {
            symbol: [mid for mid, ts_us in quoted.values() if now_us - ts_us <= self._max_age_us]
            for symbol, quoted in self._mids.items()
        }
        return {symbol: (median(mids), now_us) for symbol, mids in fresh.items() if mids}


class Replay:
    """Feeds recorded events to engines configured as now; `reads` are the symbols to be fed."""

    def __init__(self, config: MarketConfig, symbols: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        """What the engines did (`realtime.engine.Counters`), complete once `run` has ended."""
        self._configs = _one_each(config, symbols)
        self._lanes = {symbol: _Lane(only, symbol) for symbol, only in self._configs.items()}
        self._routes = _routes(self._configs)
        self._rates = _RateBoard(config)
        self._touched: dict[str, None] = {}
        self._pending = Results(0, [], [])
        self._fed = 0

    @property
    def reads(self) -> frozenset[str]:
        """The instruments' symbols that the lanes are made of, and those that say a rate."""
        return frozenset(self._routes) | self._rates.symbols

    def run(self, events: Iterable[Received], end_us: int) -> Iterator[Results]:
        """Results slot by slot, the last one with what went stale until `end_us`."""
        for event in events:
            now_us = self._pending.now_us
            if event.received_ts_us // SLOT_US != now_us // SLOT_US or self._fed >= SLOT_EVENTS:
                yield self._collect()
            self._feed(event)
            self._pending.now_us = event.received_ts_us
        self._end(self._lanes, end_us)
        yield self._collect()

    def _feed(self, event: Received) -> None:
        self._fed += 1
        for symbol in self._symbols_of(event):
            if symbol in self._rates.symbols:
                self._rates.feed(event, symbol)
            for lane in self._lanes_of(event.exchange, symbol):
                self._lanes[lane].feed(event)
                self._touched[lane] = None

    def _symbols_of(self, event: Received) -> Iterable[str]:
        """An instrument's symbol, or all; a collector's beginning is of none."""
        if isinstance(event, Quote):
            return (event.symbol,)
        if not event.exchange and (shard := started_shard(event.reason)):
            self._restart(shard)
            return ()
        return self.reads if event.symbols == ("",) else event.symbols

    def _lanes_of(self, exchange: str, symbol: str) -> Iterable[str]:
        """Those that compare an exchange's symbol, all exchanges' where none is named; mostly one."""
        by_exchange = self._routes.get(symbol, {})
        if exchange:
            return (by_exchange[exchange],) if exchange in by_exchange else ()
        return dict.fromkeys(by_exchange.values())

    def _restart(self, shard: Shard) -> None:
        """A collector began, with an engine that knows nothing; the one before saw the events until here."""
        owned = [symbol for symbol in self._lanes if shard.owns(symbol)]
        self._end(owned, self._pending.now_us)
        self._gather(owned)
        for symbol in owned:
            self._lanes[symbol] = _Lane(self._configs[symbol], symbol)

    def _end(self, symbols: Iterable[str], now_us: int) -> None:
        for symbol in symbols:
            lane = self._lanes[symbol]
            lane.expire(now_us)
            self.counts.update(lane.counts())
            self._touched[symbol] = None

    def _gather(self, symbols: Iterable[str]) -> None:
        rates = self._rates.said(self._pending.now_us)
        for symbol in symbols:
            lane = self._lanes[symbol]
            if lane.needs_rates:
                lane.hear(rates)
            points, events = lane.collect()
            self._pending.points += points
            self._pending.events += events

    def _collect(self) -> Results:
        self._gather(self._touched)
        self._touched.clear()
        self._fed = 0
        done, self._pending = self._pending, Results(self._pending.now_us, [], [])
        return done


def computable(config: MarketConfig) -> frozenset[str]:
    """The symbols of which there is something to compute: a chart, or a pair that a filter follows."""
    charted = {opportunity.symbol for opportunity in config.opportunities}
    return frozenset(charted | {pair.symbol for pair in scan_pairs(config) if pair.filters})


def _one_each(config: MarketConfig, symbols: Iterable[str]) -> dict[str, MarketConfig]:
    """A configuration per symbol, with nothing of the others."""
    instruments = _by(config.instruments, lambda each: each.shard_key)
    charts = _by(config.opportunities, lambda each: each.symbol)
    listings = _by(config.listings, lambda each: each.counts_as)
    said = _by((rule for rule in config.fee_rules if rule.said), lambda each: each.symbols)
    patterns = tuple(rule for rule in config.fee_rules if not rule.said)
    names = {symbol: {symbol} | {each.symbol for each in listings[symbol]} for symbol in symbols}
    return {
        symbol: structs.replace(
            config,
            instruments=frozenset(instruments[symbol]),
            opportunities=tuple(charts[symbol]),
            listings=tuple(listings[symbol]),
            fee_rules=patterns + tuple(rule for name in sorted(names[symbol]) for rule in said[name]),
        )
        for symbol in symbols
    }


def _by(rows: Iterable[T], name: Callable[[T], str]) -> defaultdict[str, list[T]]:
    found: defaultdict[str, list[T]] = defaultdict(list)
    for row in rows:
        found[name(row)].append(row)
    return found


def _routes(configs: dict[str, MarketConfig]) -> dict[str, dict[str, str]]:
    """An instrument's symbol -> exchange -> the symbol it is compared under."""
    routes: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for symbol, config in configs.items():
        aliases = {each.exchange: each.symbol for each in config.listings}
        for exchange in config.exchanges:
            routes[aliases.get(exchange.key, symbol)][exchange.key] = symbol
    return dict(routes)


def between(results: Results, start_us: int, end_us: int) -> Results:
    """Only what is of the range [start, end)."""
    points = [
        structs.replace(
            each, points=each.points[(each.points[:, 0] >= start_us) & (each.points[:, 0] < end_us)]
        )
        for each in results.points
    ]
    return Results(
        results.now_us,
        [each for each in points if len(each.points)],
        [event for event in results.events if start_us <= event.ts_us < end_us],
    )
