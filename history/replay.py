"""The engine once more, over what was recorded: the same points and events, bit for bit.

What makes that so is said in docs/replay.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct, structs

from history.recorded import Received
from history.schema import started_shard
from markets.config import MarketConfig, Shard
from markets.events import OpportunityEvent, Quote, SpreadPoints
from realtime.engine import SpreadEngine
from realtime.passing import Passing

SLOT_US: Final = 50_000
"""Results are handed on once per this much recorded time, at any speed: their order is always the same."""

SLOT_EVENTS: Final = 100
"""And after as many events. Each adds two points at most, fewer than a chart may gather: none is thinned."""

LEAD_IN_US: Final = 15 * 60 * 1_000_000
"""How long before its beginning a replay feeds the engine, so that bands and legs are what they were."""

_NS_PER_US: Final = 1_000


class Results(Struct):
    """What the engine made of one slot, by the recorded time `now_us`."""

    now_us: int
    points: list[SpreadPoints]
    events: list[OpportunityEvent]


class _Lane:
    """One symbol: no quote of another one can touch its charts, so it has an engine of its own.

    Its collector may have been restarted, on another machine perhaps, while others went on.
    """

    def __init__(self, config: MarketConfig) -> None:
        self._exchanges = [exchange.key for exchange in config.exchanges]
        self._engine = SpreadEngine(window_points=1)  # nobody looks at the window
        self._engine.configure(config)
        self._passing = Passing()
        self._passing.configure(config, 0)
        self._last: Quote | None = None

    def feed(self, event: Received, symbol: str) -> None:
        """Take one event; a state that names no exchange is of all of them."""
        if isinstance(event, Quote):
            self._last = event
            self._engine.on_quote(event)
            return
        for exchange in [event.exchange] if event.exchange else self._exchanges:
            self._engine.on_state(structs.replace(event, exchange=exchange, symbols=(symbol,)))

    def expire(self, now_us: int) -> None:
        """Let charts go stale until a time that is not before the last quote."""
        if self._last is not None:
            since_us = now_us - self._last.received_ts_us
            self._engine.expire(self._last.received_mono_ns + since_us * _NS_PER_US, now_us)

    def collect(self) -> tuple[list[SpreadPoints], list[OpportunityEvent]]:
        """What is new."""
        deltas = [delta for delta in self._engine.collect() if len(delta.points)]
        points = [SpreadPoints(d.symbol, d.exchange1, d.exchange2, d.points) for d in deltas]
        return points, self._passing.update(deltas)

    def counts(self) -> dict[str, int]:
        """What the engine did."""
        return structs.asdict(self._engine.counters)


class Replay:
    """Feeds recorded events to engines configured as now; symbols without a chart must not be fed."""

    def __init__(self, config: MarketConfig, symbols: Iterable[str]) -> None:
        self.counts: Counter[str] = Counter()
        """What the engines did (`realtime.engine.Counters`), complete once `run` has ended."""
        self._configs = {symbol: _only(config, symbol) for symbol in symbols}
        self._lanes = {symbol: _Lane(only) for symbol, only in self._configs.items()}
        self._touched: dict[str, None] = {}
        self._pending = Results(0, [], [])
        self._fed = 0

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
        if isinstance(event, Quote):
            self._lanes[event.symbol].feed(event, event.symbol)
            self._touched[event.symbol] = None
        elif not event.exchange and (shard := started_shard(event.reason)):
            self._restart(shard)
        else:
            for symbol in self._lanes if event.symbols == ("",) else event.symbols:
                self._lanes[symbol].feed(event, symbol)
                self._touched[symbol] = None

    def _restart(self, shard: Shard) -> None:
        """A collector began, with an engine that knows nothing; the one before saw the events until here."""
        owned = [symbol for symbol in self._lanes if shard.owns(symbol)]
        self._end(owned, self._pending.now_us)
        self._gather(owned)
        for symbol in owned:
            self._lanes[symbol] = _Lane(self._configs[symbol])

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


def _only(config: MarketConfig, symbol: str) -> MarketConfig:
    return structs.replace(
        config,
        instruments=frozenset(each for each in config.instruments if each.symbol == symbol),
        opportunities=tuple(each for each in config.opportunities if each.symbol == symbol),
    )


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
