"""An hour of the simulated market, sped up: recorded, compacted, read and replayed.

    python benchmarks/simulated_hour.py [--minutes 60] [--lake DIR]

Eight exchanges, 20 symbols, 5 quotes a second and instrument: 2.9 million quotes, with trades, an
exchange that goes down and one that loses something. The clocks are the session's own, everything
else is what a collector does: the engine and the scanner, collected every 50 ms; the lake's buffer,
committed once per second of the session. Then the hour is compacted, one chart is read, and all of it
is replayed and compared with what was stored, to the last bit. Takes about five minutes; --lake keeps
the tables.
"""

import argparse
import datetime
import heapq
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from itertools import product
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "arbsite.settings"
os.environ["SECRET_KEY"] = token_urlsafe(50)

import django

from engine.charts.spread import SpreadEngine
from engine.scan.lifecycle import opportunity_events
from engine.scan.scanner import Scanner
from history.lake.inventory import files_of
from history.lake.schema import SCHEMAS, collector_started
from history.lake.tables import Lake
from history.maintenance import compaction
from history.read.reader import LakeReader
from history.read.recorded import Recorded
from history.replay.engine import Replay, computable
from history.replay.output import Lines, Store
from history.write.appending import Appender
from history.write.buffer import Buffer, StateRow
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
from markets.defaults import FILTER_BASES, FILTER_PAIRS
from markets.events import Liveness, Quote, Side, SpreadPoints, StreamState, Trade
from simulator.catalogue import EXCHANGES, Listing, listings
from simulator.market import Market

START_US: Final = 1_767_261_600_000_000  # 2026-01-01 10:00 UTC
BOOT_NS: Final = 86_400_000_000_000
RATE: Final = 5.0
TRADE_SHARE: Final = 0.2
OPEN_BPS: Final = -14.0  # the invented market is calm: after 20 bps of fees little is left
CLOSE_BPS: Final = -17.0
COLLECT_US: Final = 50_000
SECOND_US: Final = 1_000_000

Received = Quote | Trade | StreamState


def config(symbols: tuple[Listing, ...]) -> MarketConfig:
    """The default desk's twenty charts, and a filter that follows all symbols; their coins are confirmed."""
    bases = [listing.symbol for listing in symbols if listing.base in FILTER_BASES]
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in EXCHANGES),
        instruments=frozenset(
            InstrumentConfig(key, each.symbol, each.base) for key, each in product(EXCHANGES, symbols)
        ),
        opportunities=tuple(Opportunity(s, *pair, 1000, (1,)) for s in bases for pair in FILTER_PAIRS),
        filters=(FilterConfig(1, "wide", min_edge_bps=OPEN_BPS, close_edge_bps=CLOSE_BPS),),
        listings=tuple(
            ListingConfig(key, each.symbol, each.base, each.base, each.quote, each.symbol, volume=each.volume)
            for key, each in product(EXCHANGES, symbols)
        ),
        pairs=tuple(PairConfig(*pair, 1000) for pair in FILTER_PAIRS),
        identities=tuple(
            IdentityConfig(each.symbol, *pair, "confirmed") for each in symbols for pair in FILTER_PAIRS
        ),
    )


def session(symbols: tuple[Listing, ...], seconds: int) -> Iterator[Received]:
    """Events a collector would have received, in order."""
    rng = random.Random(1)
    market = Market(EXCHANGES, symbols, 1)
    names = tuple(listing.symbol for listing in symbols)
    for key in EXCHANGES:
        yield StreamState(key, names, "up", "", *_stamps(rng, 0.0))
    due = [
        (rng.random() / RATE, row, column)
        for row, column in product(range(len(EXCHANGES)), range(len(symbols)))
    ]
    heapq.heapify(due)
    troubles: list[tuple[float, str, Liveness, str]] = [
        (seconds / 3, "okx", "down", "no frame for 20 s"),
        (seconds / 3 + 30, "okx", "up", ""),
        (seconds / 2, "bybit", "gap", "12 events dropped: RealtimeSink is too slow"),
    ]
    while due[0][0] < seconds:
        at, row, column = heapq.heappop(due)
        heapq.heappush(due, (at + rng.uniform(0.5, 1.5) / RATE, row, column))
        if troubles and troubles[0][0] <= at:
            _, key, state, reason = troubles.pop(0)
            yield StreamState(key, names, state, reason, *_stamps(rng, at))
        if EXCHANGES[row] == "okx" and seconds / 3 <= at < seconds / 3 + 30:
            continue
        market.advance(at)
        yield from _ticks(rng, EXCHANGES[row], symbols[column], market.shown[row][column], at)
    for key in EXCHANGES:
        yield StreamState(key, names, "down", "collector stopped", *_stamps(rng, float(seconds)))


def _stamps(rng: random.Random, at: float) -> tuple[int, int]:
    """Both clocks; they are read one after the other."""
    now_ns = int(at * 1e9)
    return START_US + now_ns // 1000, BOOT_NS + now_ns + rng.randrange(40, 200)


def _ticks(
    rng: random.Random, key: str, listing: Listing, price: float, at: float
) -> Iterator[Quote | Trade]:
    """A quote half a spread around the price, and now and then a trade at one of its sides."""
    symbol, tick, decimals = listing.symbol, listing.tick, listing.price_decimals
    half = price * 0.6e-4 * rng.uniform(0.5, 1.5)
    ticks = int((price - half) / tick)
    bid = round(ticks * tick, decimals)
    ask = round(max(ticks + 1, int((price + half) / tick)) * tick, decimals)
    typical = listing.volume * 1e-5 / price
    lot = 10.0**-listing.size_decimals
    bid_size, ask_size = (
        max(lot, round(typical * rng.lognormvariate(0, 0.8), listing.size_decimals)) for _ in "ba"
    )
    ts_us, mono_ns = _stamps(rng, at)
    exchange_us = (ts_us - rng.randrange(2_000, 40_000)) // 1000 * 1000
    yield Quote(key, symbol, bid, bid_size, ask, ask_size, exchange_us, ts_us, mono_ns)
    if rng.random() < TRADE_SHARE:
        side: Side = "buy" if rng.random() < 0.5 else "sell"
        taken, size = (
            ask if side == "buy" else bid,
            max(lot, round(bid_size * rng.random(), listing.size_decimals)),
        )
        yield Trade(key, symbol, taken, size, side, str(mono_ns), exchange_us, ts_us, mono_ns)


class Collector:
    """Collector that makes rows in the lake of a session."""

    def __init__(self, lake: Lake, terms: MarketConfig) -> None:
        self._engine = SpreadEngine()
        self._engine.configure(terms)
        self._scanner = Scanner()
        self._scanner.configure(terms, lambda symbol: True, START_US, BOOT_NS)
        self._fees = {exchange.key: exchange.taker_fee_bps / 10_000 for exchange in terms.exchanges}
        self._buffer = Buffer()
        self._appenders = {table: Appender(lake, table, "sink-simulated-hour") for table in SCHEMAS}
        self._collected_us = self._flushed_us = START_US
        self._sequence = 0
        self.rows = dict.fromkeys(SCHEMAS, 0)

    def run(self, received: Iterator[Received]) -> None:
        """Take everything in; flush once per second of the session."""
        self._buffer.add([StateRow("", "", "up", collector_started(Shard()), START_US, BOOT_NS)])
        for event in received:
            if event.received_ts_us >= self._collected_us + COLLECT_US:
                self._collect(event)
            if event.received_ts_us >= self._flushed_us + SECOND_US:
                self._flush()
                self._flushed_us = event.received_ts_us
            if isinstance(event, Quote):
                self._engine.on_quote(event)
                self._scanner.on_quote(event)
            elif isinstance(event, StreamState):
                self._engine.on_state(event)
                self._scanner.on_state(event)
            self._buffer.add([event])
        self._collect(event)
        self._flush()

    def _collect(self, event: Received) -> None:
        self._engine.expire(event.received_mono_ns, event.received_ts_us)
        self._scanner.tick(event.received_ts_us, event.received_mono_ns)
        deltas = self._engine.collect()
        self._buffer.add(
            SpreadPoints(d.symbol, d.exchange1, d.exchange2, d.points) for d in deltas if len(d.points)
        )
        self._buffer.add(opportunity_events(self._scanner.lifecycle.take(), self._fees))
        self._collected_us = event.received_ts_us

    def _flush(self) -> None:
        self._sequence += 1
        for table, rows in self._buffer.tables().items():
            self._appenders[table].append(rows, self._sequence)
            self._appenders[table].checkpoint_if_due()
            self.rows[table] += len(rows)


class Hash(BytesIO):
    """A file that keeps nothing but the digest of what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = sha256()

    def write(self, content: Any, /) -> int:
        self.digest.update(content)
        return len(content)


def sizes(lake: Lake) -> dict[str, dict[str, int]]:
    """Files and bytes of each table."""
    found = {table: files_of(lake, table) for table in SCHEMAS}
    return {table: {"files": len(each), "bytes": int(each["bytes"].sum())} for table, each in found.items()}


def compact(lake: Lake) -> None:
    """Every closed hour of every table."""
    for table in SCHEMAS:
        for step in compaction.plan(lake, table, datetime.datetime.now(datetime.UTC)):
            step.work()


def query(lake: Lake) -> dict[str, Any]:
    """One chart's points of the hour, as the dashboard asks for them."""
    reader = LakeReader(lake)
    frame = reader.scan("spreads", symbol="BTC/USDT", exchange1="binance", exchange2="bybit").collect()
    low, high = reader.range("quotes") or (0, 0)
    return {"points": len(frame), "seconds_covered": round((high - low) / 1e6, 1)}


def replayed(lake: Lake, terms: MarketConfig, output: Any) -> Replay:
    """Replay everything, as fast as it goes."""
    replay = Replay(terms, computable(terms))
    recorded = Recorded(LakeReader(lake), replay.reads)
    low, high = recorded.range() or (0, 0)
    for results in replay.run(recorded.events(low, high + 1), high + 1):
        output.add(results)
    output.close()
    return replay


def different(lake: Lake, study: Lake) -> dict[str, int]:
    """Rows of either lake that the other does not have, bit for bit."""
    found = {}
    for table in ("spreads", "opportunities"):
        stored, again = (
            frame.sort(frame.columns)
            for frame in (LakeReader(each).scan(table).collect() for each in (lake, study))
        )
        found[table] = (
            0 if stored.equals(again) else len(stored.join(again, on=stored.columns, how="anti")) or -1
        )
    return found


def timed(name: str, figures: dict[str, Any], work: Any) -> Any:
    """Do it; note how long it took."""
    began = time.perf_counter()
    result = work()
    figures[f"{name}_s"] = round(time.perf_counter() - began, 2)
    return result


def main() -> None:
    """Do it all and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--lake", type=Path)
    options = parser.parse_args()
    django.setup()
    symbols = listings(20)
    terms = config(symbols)
    with tempfile.TemporaryDirectory() as folder:
        lake, study = Lake(str(options.lake or Path(folder) / "lake")), Lake(str(Path(folder) / "study"))
        figures: dict[str, Any] = {"minutes": options.minutes}
        collector = Collector(lake, terms)
        timed("record", figures, lambda: collector.run(session(symbols, options.minutes * 60)))
        figures["rows"] = collector.rows
        figures["as_written"] = sizes(lake)
        timed("compact", figures, lambda: compact(lake))
        figures["compacted"] = sizes(lake)
        figures["query"] = timed("query", figures, lambda: query(lake))
        hashes = [Hash(), Hash()]
        replay = timed("replay", figures, lambda: replayed(lake, terms, Lines(hashes[0])))
        figures["replayed"] = dict(replay.counts)
        timed("replay_again", figures, lambda: replayed(lake, terms, Lines(hashes[1])))
        figures["same_bytes_twice"] = hashes[0].digest.digest() == hashes[1].digest.digest()
        figures["sha256"] = hashes[0].digest.hexdigest()
        timed("replay_and_store", figures, lambda: replayed(lake, terms, Store(study, "hour")))
        figures["rows_unlike_live"] = different(lake, study)
        print(json.dumps(figures, indent=2))
        same, unlike = figures["same_bytes_twice"], sum(map(abs, figures["rows_unlike_live"].values()))
        judged = {
            "same_bytes_twice": {"value": same, "target": True, "met": same},
            "rows_unlike_live": {"value": unlike, "target": 0, "met": not unlike},
        }
        print(json.dumps({"benchmark": "simulated_hour", "figures": judged}))


if __name__ == "__main__":
    main()
