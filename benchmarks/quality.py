"""Cost of data quality for the collector per event, and its memory for 8,000 instruments.

    python benchmarks/quality.py

Quotes and trades of 1,000 symbols on 8 exchanges in random order, 20,000 a second, taken as the sink takes
them, every 250 ms. Beside it, in the same run: the same counting event by event with an object per
instrument. CPU time, medians of interleaved rounds; then one report and one minute, and what a reader
needs to read them. Takes about 15 s.
"""

import json
import random
import sys
import time
import tracemalloc
from bisect import bisect_left
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig
from markets.events import FeedReport, Quote, SinkEvent, StreamState, Trade
from monitoring.quality import wire
from monitoring.quality.book import DataQuality
from monitoring.quality.latency import EDGES_MS

EXCHANGES: Final = ("binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx")
SYMBOLS: Final = tuple(f"C{n}/USDT" for n in range(1_000))
PER_S: Final = 20_000
PER_TURN: Final = PER_S // 4
TURNS_PER_ROUND: Final = 8
ROUNDS: Final = 15
TRADES_ONE_IN: Final = 6
EDGES: Final = EDGES_MS.tolist()
TARGETS: Final = {
    "us_per_event": 0.6,
    "x_cheaper_than_one_by_one": 1.5,
    "report_ms": 20.0,
    "report_bytes": 500_000,
    "held_mb": 6.0,
    "hour_in_redis_mb": 4.0,
}


def configuration() -> MarketConfig:
    """Configuration with everything listed everywhere."""
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in EXCHANGES),
        instruments=frozenset(
            InstrumentConfig(key, symbol, symbol) for key in EXCHANGES for symbol in SYMBOLS
        ),
        opportunities=(),
    )


class Stream:
    """Quotes and trades of all instruments in random order; Binance's quotes carry no time."""

    def __init__(self) -> None:
        self._rng = random.Random(1)
        self.now_ns = 10**13

    def beginning(self) -> list[SinkEvent]:
        """Events at the beginning: everything is up."""
        return [
            event
            for key in EXCHANGES
            for event in (
                StreamState(key, SYMBOLS, "up", "", self.now_ns // 1000, self.now_ns),
                FeedReport(
                    key, "live", "", 1, 2_000, 0, {}, {}, self.now_ns, self.now_ns // 1000, self.now_ns
                ),
            )
        ]

    def turn(self) -> list[SinkEvent]:
        """Events of 250 ms."""
        rng = self._rng
        events: list[SinkEvent] = []
        for _ in range(PER_TURN):
            self.now_ns += 1_000_000_000 // PER_S
            symbol, exchange = rng.choice(SYMBOLS), rng.choice(EXCHANGES)
            now_us = self.now_ns // 1000
            sent_us = now_us - rng.randint(2_000, 60_000)
            if rng.randrange(TRADES_ONE_IN) == 0:
                events.append(Trade(exchange, symbol, 100.0, 1.0, "buy", "1", sent_us, now_us, self.now_ns))
            else:
                bid = 100 + rng.randint(-5, 5) / 100
                sent = None if exchange == "binance" else sent_us
                events.append(Quote(exchange, symbol, bid, 1.5, bid + 0.02, 0.7, sent, now_us, self.now_ns))
        return events


class One:
    """State of one instrument, as one would write it first."""

    __slots__ = ("gap_ms", "last_ns", "longest_ms", "quotes", "spread", "trades")

    def __init__(self) -> None:
        self.quotes = self.trades = self.last_ns = 0
        self.gap_ms = self.longest_ms = self.spread = 0.0


class OneByOne:
    """The same numbers, event by event."""

    def __init__(self) -> None:
        self.each = {key: {symbol: One() for symbol in SYMBOLS} for key in EXCHANGES}
        self.latencies = {key: [0] * 100 for key in EXCHANGES}
        self.quickest = dict.fromkeys(EXCHANGES, 1e9)

    def take(self, events: list[SinkEvent]) -> None:
        """Count each."""
        edges = EDGES
        for event in events:
            if not isinstance(event, Quote | Trade):
                continue
            one = self.each[event.exchange][event.symbol]
            if isinstance(event, Quote):
                one.quotes += 1
                gap_ms = (event.received_mono_ns - one.last_ns) / 1e6
                one.gap_ms += (gap_ms - one.gap_ms) / 16
                one.longest_ms = max(one.longest_ms, gap_ms)
                one.last_ns = event.received_mono_ns
                one.spread = event.ask / event.bid - 1
            else:
                one.trades += 1
            if event.exchange_ts_us is not None:
                delay_ms = (event.received_ts_us - event.exchange_ts_us) / 1e3
                self.quickest[event.exchange] = min(self.quickest[event.exchange], delay_ms)
                self.latencies[event.exchange][bisect_left(edges, delay_ms)] += 1


def cpu(work: Any) -> float:
    """CPU seconds."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def measure() -> dict[str, float]:
    """Medians; every round measures both, one after the other, and then a report."""
    stream, one_by_one = Stream(), OneByOne()
    quality = DataQuality(stream.now_ns)
    quality.configure(configuration(), lambda _: True, 0, stream.now_ns)
    quality.take(stream.beginning(), stream.now_ns)
    samples = defaultdict(list)
    report = b""
    for _ in range(ROUNDS):
        spent = {"together": 0.0, "one by one": 0.0}
        for number in range(TURNS_PER_ROUND):
            turn, now_ns = stream.turn(), stream.now_ns
            work = {
                "together": partial(quality.take, turn, now_ns),
                "one by one": partial(one_by_one.take, turn),
            }
            for name in sorted(work, reverse=bool(number % 2)):  # who is first finds them less at hand
                spent[name] += cpu(work[name])
        for name, seconds in spent.items():
            samples[name].append(seconds / (TURNS_PER_ROUND * PER_TURN) * 1e6)
        begin = time.process_time()
        now_ns = stream.now_ns
        quality.assess(now_ns // 1000, now_ns)
        exchanges, rows = quality.exchange_rows(now_ns), quality.rows(now_ns)
        shard_report = wire.ShardReport("1/1", now_ns // 1000, "0" * 16, exchanges, rows.tobytes())
        report = wire.encode(shard_report)
        samples["report"].append((time.process_time() - begin) * 1e3)
        begin = time.process_time()
        np.frombuffer(wire.decode_report(report).rows, wire.SYMBOL_ROW)
        samples["read"].append((time.process_time() - begin) * 1e3)
        quality.take([FeedReport(key, "live", "", 1, 2, 0, {}, {}, now_ns, 0, now_ns) for key in EXCHANGES],
                     now_ns)  # fmt: skip
    found = {name: median(values) for name, values in samples.items()}
    assert sum(row.quotes_per_min for row in exchanges) > PER_S * 40
    minute = len(wire.minute_value("0" * 16, quality.take_minute(stream.now_ns)))
    return found | {"bytes": len(report), "hour": minute * wire.HOUR_MINUTES / 1e6}


def held_mb() -> float:
    """Memory of all state after some seconds, between two reports, without configuration and quotes'
    texts."""
    stream, config = Stream(), configuration()
    turns = [(stream.turn(), stream.now_ns) for _ in range(12)]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    quality = DataQuality(10**13)
    quality.configure(config, lambda _: True, 0, 10**13)
    quality.take(Stream().beginning(), 10**13)
    for events, now_ns in turns:
        quality.take(events, now_ns)
    quality.assess(0, stream.now_ns)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / 1e6


def main() -> None:
    """Measure, print a table and, as the last line, the figures as JSON."""
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}; CPU, medians of {ROUNDS} rounds")
    found = measure()
    values = {
        "us_per_event": found["together"],
        "x_cheaper_than_one_by_one": found["one by one"] / found["together"],
        "report_ms": found["report"],
        "report_bytes": found["bytes"],
        "held_mb": held_mb(),
        "hour_in_redis_mb": found["hour"],
    }
    print(f"{'counted together, every 250 ms':34}{found['together']:10.2f} µs per event")
    print(f"{'counted one by one':34}{found['one by one']:10.2f} µs per event")
    print(f"{'a report of 8,000 instruments':34}{found['report']:10.2f} ms, every 2 s")
    print(f"{'reading it':34}{found['read']:10.2f} ms")
    print(f"{'its size':34}{found['bytes']:10,.0f} bytes")
    print(f"{'memory':34}{values['held_mb']:10.2f} MB")
    print(f"{'an hour of minutes in Redis':34}{found['hour']:10.2f} MB")
    figures = {
        name: {
            "value": round(value, 3),
            "target": TARGETS[name],
            "met": value >= TARGETS[name] if name.startswith("x_") else value <= TARGETS[name],
        }
        for name, value in values.items()
    }
    print(json.dumps({"benchmark": "quality", "figures": figures}))


if __name__ == "__main__":
    main()
