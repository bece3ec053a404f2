"""Cost of the whole way: receive, decode, pair with three exchanges, bands, delta, one publish per flush.

    .venv/bin/python benchmarks/pipeline.py

The parts are the collector's own: connections, codecs, channel, engine, publisher, and a real Redis. It is
compared with receiving alone (the same library and loop, frames only counted), and with how one writes it
first: `websockets`, json.loads, and waiting for a Redis publish per delta. Frames come one by one over 48
plain sockets, and as a firehose for 3 s. Sender and Redis have one core, the client has the other; clients
take turns, figures are medians of CPU µs per frame, kernel time included. Takes about 2 minutes; the last
line is a JSON object with every figure, its target and whether it is met.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
import uvloop
import websockets.asyncio.client
from redis.asyncio import Redis
from websockets.exceptions import ConnectionClosed

from arbsite.desk import embedded
from benchmarks.receive import FIREHOSE, Counted, Gauge, one_run, pin, serve, with_picows

EXCHANGES: Final = ("binance", "bybit", "okx", "bitget")
SYMBOLS: Final = 12  # each on all four exchanges: six charts, three of which a quote touches
CONNECTIONS: Final = 48
VARIANTS: Final = 20  # frames per instrument; every one has other prices
ROUNDS: Final = 5
SECONDS: Final = 2.0
FIREHOSE_S: Final = 3.0
FAST, SLOW = 20_000, 4_000
TURNS: Final = (
    ("receive", FAST), ("whole", FAST), ("receive", SLOW), ("whole", SLOW), ("plain", SLOW),
    ("whole", FIREHOSE),
)  # fmt: skip
MOST_TAX, LEAST_GAIN, MOST_LATE_MS = 1.4, 5.5, 100.0
CHANNEL_CAPACITY: Final = 100_000

Run = dict[str, float]


# --- frames -------------------------------------------------------------------------------------------


def native_id(exchange: str, n: int) -> str:
    """Native id of the n-th symbol at an exchange."""
    return f"S{n:02}-USDT" if exchange == "okx" else f"S{n:02}USDT"


def frame(exchange: str, n: int, bid: float) -> str:
    """A quote of the n-th symbol in the shape its exchange has."""
    name, b, a = native_id(exchange, n), f"{bid:.2f}", f"{bid + 0.1:.2f}"
    return {
        "binance": f'{{"stream":"{name.lower()}@bookTicker","data":{{"u":400900217123,"s":"{name}","b":"{b}",'
        f'"B":"0.51000000","a":"{a}","A":"1.20000000"}}}}',
        "bybit": f'{{"topic":"orderbook.1.{name}","ts":1700000000125,"type":"snapshot","data":{{"s":"{name}",'
        f'"b":[["{b}","0.510000"]],"a":[["{a}","1.200000"]],"u":59438060,"seq":42812822291}},'
        '"cts":1700000000123}',
        "okx": f'{{"arg":{{"channel":"bbo-tbt","instId":"{name}"}},"data":[{{"asks":[["{a}","1.2","0","3"]],'
        f'"bids":[["{b}","0.51","0","2"]],"ts":"1700000000123","seqId":1234567890}}]}}',
        "bitget": f'{{"action":"snapshot","arg":{{"instType":"SPOT","channel":"books1","instId":"{name}"}},'
        f'"data":[{{"asks":[["{a}","1.20000"]],"bids":[["{b}","0.51000"]],"seq":9,"ts":"1700000000123"}}],'
        '"ts":1700000000130}',
    }[exchange]


def exchange_of(connection: int) -> str:
    """Exchange of a connection."""
    return EXCHANGES[connection % len(EXCHANGES)]


def frames(symbols: int) -> list[list[str | bytes]]:
    """Frames that each connection carries: its share of its exchange's symbols, with prices that wander."""
    rng, own = random.Random(4), list[list[str | bytes]]()
    per_exchange = CONNECTIONS // len(EXCHANGES)
    for connection in range(CONNECTIONS):
        exchange, share = exchange_of(connection), connection // len(EXCHANGES)
        mine = range(share, symbols, per_exchange)
        own.append([
            frame(exchange, n, 100 * (n + 1) + rng.uniform(-0.2, 0.2)) for _ in range(VARIANTS) for n in mine
        ])  # fmt: skip
    return own


# --- clients ------------------------------------------------------------------------------------------


async def receive_alone(port: int, symbols: int) -> Run:
    """The collector's library and loop; frames are counted and dropped."""
    counted = Counted()
    closed = [await with_picows(_url(port), None, counted) for _ in range(CONNECTIONS)]
    return await measured(lambda: counted.frames, [each() for each in closed])


async def whole_way(port: int, count: int) -> Run:
    """The collector's own parts, from its sockets to Redis."""
    import django

    django.setup()
    from collectors.exchanges import CODECS
    from collectors.sockets.connection import Connection
    from collectors.sockets.exchange import FollowedExchange
    from collectors.sockets.timing import Timing
    from collectors.sockets.turns import Turns
    from collectors.supervisor import Outlet
    from markets.config import ExchangeConfig, InstrumentConfig, MarketConfig, Opportunity, Shard
    from markets.events import Event
    from realtime.sink import RealtimeSink

    symbols = [f"S{n:02}/USDT" for n in range(count)]
    exchanges = tuple(ExchangeConfig(key, key, True, 10.0, 10.0, "", _url(port)) for key in EXCHANGES)
    outlets = Outlet.chain([RealtimeSink], Shard(), CHANNEL_CAPACITY)
    channel = outlets[0].channel
    outlets[0].configure(
        MarketConfig(
            1,
            exchanges,
            frozenset(
                InstrumentConfig(key, symbols[n], native_id(key, n))
                for key in EXCHANGES
                for n in range(count)
            ),
            tuple(
                Opportunity(symbol, *pair, 1000) for symbol in symbols for pair in combinations(EXCHANGES, 2)
            ),
        )
    )

    def emit(events: Sequence[Event]) -> None:
        for outlet in outlets:
            outlet.channel.put_many(events)

    late_ms, took_ms = [0.0], list[float]()
    _watch_flushes(late_ms, took_ms)
    sink, turns = asyncio.create_task(outlets[0].run()), Turns()
    channel.fetch_from(turns.hand_on)
    links = {
        each.key: FollowedExchange(
            each, CODECS[each.key]({native_id(each.key, n): symbols[n] for n in range(count)}),
            emit, Timing(), turns,
        )
        for each in exchanges
    }  # fmt: skip
    lines = [
        await Connection.open(str(n), links[exchange_of(n)], lambda: None) for n in range(CONNECTIONS)
    ]  # fmt: skip
    rss: list[int] = []

    async def weigh() -> None:
        while True:
            rss.append(psutil.Process().memory_info().rss)
            await asyncio.sleep(0.25)

    weighing = asyncio.create_task(weigh())
    run = await measured(lambda: channel.accepted, [line.run() for line in lines])
    weighing.cancel()
    channel.close()
    await sink
    counters = outlets[0].sink.stats()
    settled = rss[len(rss) // 2 :]
    return run | {
        "points": counters["points"], "published": counters["batches_published"], "dropped": channel.dropped,
        "paused": turns.paused, "flush_late_max_ms": max(late_ms), "flush_took_ms": median(took_ms),
        "rss_mb": settled[-1] / 2**20, "grown_mb": (settled[-1] - settled[0]) / 2**20,
    }  # fmt: skip


def _watch_flushes(late_ms: list[float], took_ms: list[float]) -> None:
    """Note how late the publisher's turns begin, 50 ms after the one before, and how long flushes take."""
    from realtime.charts.publisher import FLUSH_EVERY_S, Publisher

    flush, expected = Publisher.flush, float("inf")
    is_due: Callable[[Publisher], bool] = vars(Publisher)["due"].fget

    def due(self: Publisher) -> bool:
        nonlocal expected
        now = time.perf_counter()
        late_ms.append((now - expected) * 1e3)
        expected = now + FLUSH_EVERY_S
        return is_due(self)

    async def timed_flush(self: Publisher) -> None:
        nonlocal expected
        started = time.perf_counter()
        await flush(self)
        now = time.perf_counter()
        took_ms.append((now - started) * 1e3)
        expected = now + FLUSH_EVERY_S

    Publisher.due = property(due)  # type: ignore[assignment, method-assign]
    Publisher.flush = timed_flush  # type: ignore[method-assign]


async def written_first(port: int, symbols: int) -> Run:
    """`websockets`, json.loads, a dictionary, and a publish that is waited for per delta."""
    from engine.charts.bands import RollingBands

    redis = Redis.from_url(os.environ["REDIS_URL"])
    book: dict[tuple[str, str], tuple[float, float]] = {}
    bands: dict[tuple[str, str, str], RollingBands] = defaultdict(RollingBands)
    counted = Counted()

    async def handle(exchange: str, text: str | bytes) -> None:
        symbol, bid, ask = _quote(exchange, json.loads(text))
        book[exchange, symbol] = (bid, ask)
        for other in EXCHANGES:
            if other != exchange and (quote := book.get((other, symbol))):
                spread = (bid / quote[0] - 1) * 100
                upper: list[float] = []
                lower: list[float] = []
                bands[symbol, exchange, other].push([spread], upper, lower)
                delta = {"symbol": symbol, "pair": [exchange, other], "at": time.time(), "spread": spread,
                         "upper": upper[0], "lower": lower[0], "edge": bid / quote[1] - 1}  # fmt: skip
                await redis.publish("spreads", json.dumps(delta))
        counted.frames += 1

    async def read(connection: websockets.asyncio.client.ClientConnection, exchange: str) -> None:
        with suppress(ConnectionClosed):
            async for text in connection:
                await handle(exchange, text)

    connect = websockets.asyncio.client.connect
    readers = [
        read(await connect(_url(port), compression=None, proxy=None, ping_interval=None), exchange_of(n))
        for n in range(CONNECTIONS)
    ]
    run = await measured(lambda: counted.frames, readers)
    await redis.aclose()
    return run


def _quote(exchange: str, frame: dict[str, Any]) -> tuple[str, float, float]:
    if exchange == "binance":
        data = frame["data"]
        return data["s"], float(data["b"]), float(data["a"])
    if exchange == "bybit":
        data = frame["data"]
        return data["s"], float(data["b"][0][0]), float(data["a"][0][0])
    data = frame["data"][0]
    return frame["arg"]["instId"].replace("-", ""), float(data["bids"][0][0]), float(data["asks"][0][0])


async def measured(count: Callable[[], int], readers: Sequence[Awaitable[Any]]) -> Run:
    """Run the readers to their end beside a timer."""
    gauge = Gauge(count)
    timer = asyncio.create_task(gauge.run())
    await asyncio.gather(*readers)
    timer.cancel()
    return gauge.figures()


def _url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/"


CLIENTS: Final = {"receive": receive_alone, "whole": whole_way, "plain": written_first}


# --- the run ------------------------------------------------------------------------------------------


def measure(rounds: int, seconds: float, symbols: int) -> dict[tuple[str, int], list[Run]]:
    """All runs, by client and rate."""
    runs: dict[tuple[str, int], list[Run]] = defaultdict(list)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # Redis stops with us
    pin(1)
    with (
        tempfile.TemporaryDirectory(prefix="pipeline") as folder,
        embedded.running(embedded.redis(Path(folder)), Path(folder) / "redis.log") as url,
    ):
        os.environ.update(
            REDIS_URL=url,
            ARB_HOME=folder,
            ENV_FILE=os.devnull,
            DJANGO_SETTINGS_MODULE="arbsite.settings",
            PRIVATE_TARGETS="127.0.0.1",
        )
        for _ in range(rounds):
            for client, rate in TURNS:
                length = FIREHOSE_S if rate == FIREHOSE else seconds
                me = [
                    sys.executable,
                    __file__,
                    f"--seconds={length}",
                    f"--rate={rate}",
                    f"--symbols={symbols}",
                ]
                runs[client, rate].append(one_run([*me, "--serve"], [*me, f"--client={client}"], length))
    return runs


def figures(runs: dict[tuple[str, int], list[Run]]) -> dict[str, dict[str, Any]]:
    """Figures that are promised, measured as ratios between clients of one round, and in the firehose."""

    def ratio(above: tuple[str, int], below: tuple[str, int]) -> float:
        pairs = zip(runs[above], runs[below], strict=True)
        return round(median(one["us"] / other["us"] for one, other in pairs), 2)

    flood = runs["whole", FIREHOSE]
    tax = ratio(("whole", FAST), ("receive", FAST))
    gain = ratio(("plain", SLOW), ("whole", SLOW))
    late = round(max(max(run["late_max_ms"], run["flush_late_max_ms"]) for run in flood), 1)
    grown = round(max(run["grown_mb"] for run in flood), 1)
    lost = int(sum(run["lost"] for each in runs.values() for run in each))
    return {
        "tax_over_receiving": {"value": tax, "target": MOST_TAX, "met": tax <= MOST_TAX},
        "x_cheaper_than_plain": {"value": gain, "target": LEAST_GAIN, "met": gain >= LEAST_GAIN},
        "firehose_flush_late_ms": {"value": late, "target": MOST_LATE_MS, "met": late <= MOST_LATE_MS},
        "firehose_grown_mb": {"value": grown, "target": 8.0, "met": grown <= 8.0},
        "frames_lost": {"value": lost, "target": 0, "met": lost == 0},
    }


def main() -> None:
    """Measure, print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(description="What the whole way from a socket to Redis costs.")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per run")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--symbols", type=int, default=SYMBOLS, help="at least 12; each makes six charts")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=int, default=FIREHOSE, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(frames(asked.symbols), asked.rate, asked.seconds, None)
    elif asked.client:
        pin(0)
        factory = None if asked.client == "plain" else uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            print(json.dumps(runner.run(CLIENTS[asked.client](asked.port, asked.symbols))))
    else:
        report(measure(asked.rounds, asked.seconds, asked.symbols))


def report(runs: dict[tuple[str, int], list[Run]]) -> None:
    """The table and the figures."""
    print(f"{'frames/s':>9} {'client':8} {'CPU µs':>7} {'taken/s':>9} {'late max':>10}  what else")
    for (client, rate), each in runs.items():
        middle = {name: median(run[name] for run in each) for name in each[0]}
        rest = {name: round(value, 1) for name, value in middle.items() if name not in _SHOWN}
        print(
            f"{rate or 'firehose':>9} {client:8} {middle['us']:7.2f} {middle['per_s']:9,.0f}"
            f" {max(run['late_max_ms'] for run in each):7.1f} ms  {rest or ''}"
        )
    print(json.dumps({"benchmark": "pipeline", "figures": figures(runs)}))


_SHOWN: Final = {"us", "per_s", "late_max_ms", "late_p99_ms", "cpu_s", "seconds", "frames"}


if __name__ == "__main__":
    main()
