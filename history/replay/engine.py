"""The engine and the scanner once more, over what was recorded: the same points and events, bit for bit.

What makes that so, and where it is not, is said in docs/replay.md.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from engine.charts.spread import SpreadEngine
from engine.rates import Rates
from engine.scan.identity import SAMPLE_NS
from engine.scan.lifecycle import opportunity_events
from engine.scan.returns import MarketMoves
from engine.scan.scanner import MOST_BEHIND_NS, RATES_EVERY_NS, Scanner
from history.lake.schema import started_shard
from history.read.recorded import HOUR_US, Received
from markets.config import GateTerms, MarketConfig, Shard
from markets.events import Funding, MarkPrice, OpportunityEvent, Quote, SpreadPoints, StreamState, Terms
from markets.fees.book import Fees
from markets.selection import scan_pairs

SLOT_US: Final = 50_000
"""Results are handed on once per this much recorded time, at any speed: their order is always the same."""

SLOT_EVENTS: Final = 100
"""And after as many events. Each adds two points at most, fewer than a chart may gather: none is thinned."""

LEAD_IN_US: Final = 15 * 60 * 1_000_000
"""How long before its beginning a replay feeds the engine, so that bands and legs are what they were."""

FOREIGN_NS: Final = 10_000_000_000
"""Monotonic clocks that are further apart than this are of two machines, or of two boots."""

_NS_PER_US: Final = 1_000

Said = dict[str, tuple[float, int]]
"""Rates that shards publish to each other: symbol -> rate and when it held, µs."""

T = TypeVar("T")


class Results(Struct):
    """Results of the engine for one slot, by the recorded time `now_us`."""

    now_us: int
    points: list[SpreadPoints]
    events: list[OpportunityEvent]


class _Lane:
    """One symbol: no quote of another one can touch its charts and pairs, so it has engines of its own.

    `market` is that of all lanes of its collector; `now` both clocks when it began.
    """

    def __init__(self, config: MarketConfig, symbol: str, market: MarketMoves, now: tuple[int, int]) -> None:
        self._exchanges = [exchange.key for exchange in config.exchanges]
        self._names = {each.exchange: each.symbol for each in config.listings}
        self._symbol = symbol
        self._fees = Fees(config)
        self._engine = SpreadEngine(window_points=1)  # nobody reads the window
        self._engine.configure(config)
        self._scanner = Scanner(self._engine.set_rates, market)
        self._scanner.configure(config, symbol.__eq__, *now)
        self._last: Quote | None = None

    @property
    def needs_rates(self) -> bool:
        """Whether some of its prices, or what its sizes are worth, are to be converted."""
        return bool(self._scanner.rates.legs)

    def feed(self, event: Received) -> None:
        """Take one event; a state that names no exchange is of all of them."""
        if isinstance(event, Quote):
            self._last = event
            self._scanner.on_quote(event)
            self._engine.on_quote(event)
            return
        for exchange in [event.exchange] if event.exchange else self._exchanges:
            name = self._names.get(exchange, self._symbol)
            state = structs.replace(event, exchange=exchange, symbols=(name,))
            self._scanner.on_state(state)
            self._engine.on_state(state)

    def learn(self, event: Terms) -> None:
        """Take over what an exchange says of a swap."""
        if isinstance(event, Funding):
            self._scanner.on_funding(event)
        else:
            self._scanner.on_mark(event)

    def start(self, now_mono_ns: int) -> None:
        """Note the clock of its collector, known from here on."""
        self._scanner.start(now_mono_ns)

    def receive(self, rates: Said) -> None:
        """Apply the rates of currencies, by symbol, and since when they hold."""
        self._scanner.rates.receive(rates)

    def follow_rates(self, now_us: int, now_mono_ns: int) -> None:
        """Judge by the rates of currencies as last received."""
        self._scanner.follow_rates(now_us, now_mono_ns)

    def moves(self) -> NDArray[np.float64]:
        """The return of every leg since the samples before."""
        return self._scanner.gatekeeper.identity.moves()

    def tick(self, now_us: int, now_mono_ns: int) -> None:
        """Let opportunities age, and sample when the market was."""
        self._scanner.tick(now_us, now_mono_ns)

    def expire(self, now_us: int) -> None:
        """Let charts and opportunities age until a time that is not before the last quote."""
        if self._last is not None:
            since_us = now_us - self._last.received_ts_us
            self._age(self._last.received_mono_ns + since_us * _NS_PER_US, now_us)

    def clock_at(self, now_us: int, now_mono_ns: int) -> int:
        """Monotonic clock of its own, where its collector's is that of another machine."""
        if self._last is None:
            return now_mono_ns
        own_ns = self._last.received_mono_ns + (now_us - self._last.received_ts_us) * _NS_PER_US
        return now_mono_ns if abs(own_ns - now_mono_ns) < FOREIGN_NS else own_ns

    def _age(self, now_mono_ns: int, now_us: int) -> None:
        self._scanner.tick(now_us, now_mono_ns)
        self._engine.expire(now_mono_ns, now_us)

    def collect(self) -> tuple[list[SpreadPoints], list[OpportunityEvent]]:
        """Collect what is new as of the last quote."""
        if self._last is not None:
            self._age(self._last.received_mono_ns, self._last.received_ts_us)
        deltas = [delta for delta in self._engine.collect() if len(delta.points)]
        points = [SpreadPoints(d.symbol, d.exchange1, d.exchange2, d.points) for d in deltas]
        return points, opportunity_events(self._scanner.lifecycle.take(), self._fees)

    def counts(self) -> dict[str, int]:
        """Counters of the engine."""
        return structs.asdict(self._engine.counters)


class _RateBoard:
    """Rates of currencies, for every lane that needs them, whichever shard collected them.

    A scanner per symbol that says a rate, as its collector had one: with its jumps, ages and interruptions.
    """

    def __init__(self, config: MarketConfig) -> None:
        rates = Rates()
        rates.configure(config.listings, config.gates)
        self.symbols = frozenset(rates.legs) & {each.symbol for each in config.listings}
        self._config = structs.replace(config, filters=(), pairs=(), opportunities=())
        self._exchanges = [exchange.key for exchange in config.exchanges]
        self._scanners: dict[str, Scanner] = {}
        self._last: dict[str, Received] = {}
        for symbol in self.symbols:
            self.begin(symbol)

    def begin(self, symbol: str) -> None:
        """Start from nothing, like its collector."""
        self._last.pop(symbol, None)
        self._scanners[symbol] = Scanner()
        self._scanners[symbol].configure(self._config, symbol.__eq__, 0, 0)

    def feed(self, event: Received, symbol: str) -> None:
        """Take one event of a symbol that says a rate."""
        scanner = self._scanners[symbol]
        if event.received_mono_ns:
            self._last[symbol] = event
        if isinstance(event, Quote):
            scanner.on_quote(event)
            return
        for exchange in [event.exchange] if event.exchange else self._exchanges:
            scanner.on_state(structs.replace(event, exchange=exchange, symbols=(symbol,)))

    def said(self, now_us: int) -> Said:
        """Rates as shards publish them: symbol -> rate and when it held; those too old are left out."""
        found: Said = {}
        for symbol, last in self._last.items():
            rates = self._scanners[symbol].rates
            rates.reckon(now_us, last.received_mono_ns + (now_us - last.received_ts_us) * _NS_PER_US)
            found |= {name: (rate, now_us) for name, rate in rates.own().items()}
        return found


class _Process:
    """A collector that ran: its lanes follow rates and sample prices together, at full seconds of its clock.

    Lanes whose clock is another machine's, as the beginning of their collector was not read, do so at the
    same wall time.
    """

    def __init__(self, configs: dict[str, MarketConfig], rates: _RateBoard, now: tuple[int, int]) -> None:
        self.lanes: dict[str, _Lane] = {}
        self._market = MarketMoves()
        for symbol, config in configs.items():
            self.lanes[symbol] = _Lane(config, symbol, self._market, now)
        self._rates = rates
        self._offset_ns: int | None = None  # of its monotonic clock to the wall clock
        self._round_ns = 0

    def advance(self, event: Received) -> None:
        """Do what is due before an event, of any collector, counts."""
        if not event.received_mono_ns:
            return  # it says nothing of the clock
        offset_ns = event.received_mono_ns - event.received_ts_us * _NS_PER_US
        if self._offset_ns is None:
            self._round_ns = (event.received_mono_ns // RATES_EVERY_NS + 1) * RATES_EVERY_NS
            for lane in self.lanes.values():
                lane.start(event.received_mono_ns)
        if self._offset_ns is None or abs(offset_ns - self._offset_ns) < FOREIGN_NS:
            self._offset_ns = offset_ns
        self.advance_to(event.received_ts_us)

    def advance_to(self, now_us: int) -> None:
        """Do what is due until a wall time."""
        if self._offset_ns is None:
            return
        now_ns = now_us * _NS_PER_US + self._offset_ns
        if now_ns - self._round_ns > MOST_BEHIND_NS:
            self._round_ns = (now_ns - MOST_BEHIND_NS) // RATES_EVERY_NS * RATES_EVERY_NS
        while self._round_ns <= now_ns:
            self._round((self._round_ns - self._offset_ns) // _NS_PER_US, self._round_ns)
            self._round_ns += RATES_EVERY_NS

    def _round(self, now_us: int, now_mono_ns: int) -> None:
        is_sample = now_mono_ns % SAMPLE_NS == 0
        lanes = [lane for lane in self.lanes.values() if is_sample or lane.needs_rates]
        clocks = [lane.clock_at(now_us, now_mono_ns) for lane in lanes]
        said = self._rates.said(now_us) if any(lane.needs_rates for lane in lanes) else {}
        for lane, clock in zip(lanes, clocks, strict=True):
            lane.receive(said)
            lane.tick(now_us, clock)
        if is_sample:
            moves = [lane.moves() for lane in lanes]
            coins = np.repeat(np.arange(len(lanes)), [len(each) for each in moves])
            self._market.take(np.concatenate(moves), coins)
            for lane, clock in zip(lanes, clocks, strict=True):
                lane.tick(now_us, clock)

    def leave(self, symbols: Iterable[str]) -> None:
        """Release lanes whose collector started again."""
        for symbol in symbols:
            self.lanes.pop(symbol, None)

    def follow_rates(self, event: StreamState) -> None:
        """A stream that says a rate broke: that counts at once."""
        needing = [lane for lane in self.lanes.values() if lane.needs_rates]
        now_us, said = event.received_ts_us, self._rates.said(event.received_ts_us) if needing else {}
        for lane in needing:
            clock = lane.clock_at(now_us, event.received_mono_ns)
            lane.tick(now_us, clock)
            lane.receive(said)
            lane.follow_rates(now_us, clock)


class Replay:
    """Feeds recorded events to engines configured as now; `reads` are the symbols to be fed."""

    def __init__(self, config: MarketConfig, symbols: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        """What the engines did (`engine.charts.spread.Counters`), complete once `run` has ended."""
        self._configs = _one_each(structs.replace(config, gates=_standing(config.gates)), symbols)
        self._rates = _RateBoard(config)
        self._processes: dict[str, _Process] = {}  # by the symbols that its lanes compare, or that say a rate
        self._running: tuple[_Process, ...] = ()
        self._lanes: dict[str, _Lane] = {}
        self._begin(self._configs, (0, 0), Shard())
        self._routes = _routes(self._configs)
        self._touched: dict[str, None] = {}
        self._pending = Results(0, [], [])
        self._fed = 0

    @property
    def reads(self) -> frozenset[str]:
        """The instruments' symbols that the lanes are made of, and those that say a rate."""
        return frozenset(self._routes) | self._rates.symbols

    def run(self, events: Iterable[Received | Terms], end_us: int) -> Iterator[Results]:
        """Results slot by slot, the last one with what went stale until `end_us`."""
        for event in events:
            if isinstance(event, Funding | MarkPrice):  # a gate asks for it later; it moves no clock
                for lane in self._lanes_of(event.exchange, event.symbol):
                    self._lanes[lane].learn(event)
                continue
            now_us = self._pending.now_us
            if event.received_ts_us // SLOT_US != now_us // SLOT_US or self._fed >= SLOT_EVENTS:
                yield self._collect()
            self._feed(event)
            self._pending.now_us = event.received_ts_us
        for process in self._running:
            process.advance_to(end_us)
        self._end(self._lanes, end_us)
        yield self._collect()

    def _feed(self, event: Received) -> None:
        self._fed += 1
        symbols = self._symbols_of(event)
        for process in self._running:
            process.advance(event)
        for symbol in symbols:
            for lane in self._lanes_of(event.exchange, symbol):
                self._lanes[lane].feed(event)
                self._touched[lane] = None
            if symbol in self._rates.symbols:
                self._rates.feed(event, symbol)
                if isinstance(event, StreamState):
                    self._processes[symbol].follow_rates(event)

    def _symbols_of(self, event: Received) -> Iterable[str]:
        """An instrument's symbol, or all; a collector's beginning is of none."""
        if isinstance(event, Quote):
            return (event.symbol,)
        if not event.exchange and (shard := started_shard(event.reason)):
            self._restart(shard, (event.received_ts_us, event.received_mono_ns))
            return ()
        return self.reads if event.symbols == ("",) else event.symbols

    def _lanes_of(self, exchange: str, symbol: str) -> Iterable[str]:
        """Lanes that compare an exchange's symbol, all exchanges' where none is named; mostly one."""
        by_exchange = self._routes.get(symbol, {})
        if exchange:
            return (by_exchange[exchange],) if exchange in by_exchange else ()
        return dict.fromkeys(by_exchange.values())

    def _restart(self, shard: Shard, now: tuple[int, int]) -> None:
        """A collector began, with an engine that knows nothing; the one before saw the events until here."""
        owned = [symbol for symbol in self._lanes if shard.owns(symbol)]
        self._end(owned, self._pending.now_us)
        self._gather(owned)
        for process in self._running:
            process.leave(owned)
        self._begin({symbol: self._configs[symbol] for symbol in owned}, now, shard)

    def _begin(self, configs: dict[str, MarketConfig], now: tuple[int, int], shard: Shard) -> None:
        process = _Process(configs, self._rates, now)
        self._lanes |= process.lanes
        saying = {symbol for symbol in self._rates.symbols if shard.owns(symbol)}
        self._processes |= dict.fromkeys(saying.union(configs), process)
        self._running = tuple(dict.fromkeys(self._processes.values()))
        for symbol in saying:
            self._rates.begin(symbol)

    def _end(self, symbols: Iterable[str], now_us: int) -> None:
        for symbol in symbols:
            lane = self._lanes[symbol]
            lane.expire(now_us)
            self.counts.update(lane.counts())
            self._touched[symbol] = None

    def _gather(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            points, events = self._lanes[symbol].collect()
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


def _standing(gates: GateTerms) -> GateTerms:
    """Gates by which a row of funding or of a mark price stands as long as in the lake: what is said again
    makes no row."""
    hour_s = HOUR_US / 1e6
    return structs.replace(gates, funding_max_age_s=hour_s, mark_max_age_s=hour_s)


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
    """Keep only what is of the range [start, end)."""
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
