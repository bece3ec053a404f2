"""Throughput of two shards on two cores, beside one: `collect --shard 1/2` and `2/2`.

    python benchmarks/shards.py [--seconds 5] [--turns 5]

Each shard is a process pinned to a core of its own: our codecs, the channel, the spread engine and the
scanner of its `RealtimeSink`, publishing to a real Redis, as fast as it goes. The frames of 8 exchanges
were made beforehand inside each process, so no sender on the same two cores is the limit; neither is
there a socket. What is left out costs each shard alike. One shard of all symbols (on the first core, the
second idle) takes turns with two of half of them; wall clock, medians. The last line is a JSON object.
"""

import argparse
import asyncio
import gzip
import json
import os
import random
import subprocess
import sys
import time
from itertools import combinations, product
from pathlib import Path
from statistics import median
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "arbsite.settings"

import django

from collectors.exchanges import CODECS, mexc_pb2
from core.channel import Channel
from markets.config import (
    ExchangeConfig,
    FilterConfig,
    InstrumentConfig,
    ListingConfig,
    MarketConfig,
    Opportunity,
    PairConfig,
    Shard,
)
from markets.defaults import EXCHANGES
from markets.events import SinkEvent

SYMBOLS: Final = 400
CHARTED: Final = 50
FRAMES: Final = 16_000
FRAMES_A_TURN: Final = 200
TARGET: Final = 1.8

# A quote of each exchange, with places for the instrument, both prices and the time in ms.
SHAPES: Final = {
    "binance": '{"stream":"x@bookTicker","data":{"u":7,"s":"%(id)s","b":"%(bid)s","B":"2.5","a":"%(ask)s",'
    '"A":"3.25"}}',
    "bybit": '{"topic":"orderbook.1.%(id)s","ts":%(ms)d,"type":"snapshot","data":{"s":"%(id)s",'
    '"b":[["%(bid)s","2.5"]],"a":[["%(ask)s","3.25"]],"u":5,"seq":9},"cts":%(ms)d}',
    "gate": '{"time":1700000000,"time_ms":%(ms)d,"channel":"spot.book_ticker","event":"update","result":'
    '{"t":%(ms)d,"u":5,"s":"%(id)s","b":"%(bid)s","B":"2.5","a":"%(ask)s","A":"3.25"}}',
    "kucoin": '{"topic":"/spotMarket/level1:%(id)s","type":"message","subject":"level1",'
    '"data":{"asks":["%(ask)s","3.25"],"bids":["%(bid)s","2.5"],"timestamp":%(ms)d}}',
    "okx": '{"arg":{"channel":"bbo-tbt","instId":"%(id)s"},"data":[{"asks":[["%(ask)s","3.25","0","4"]],'
    '"bids":[["%(bid)s","2.5","0","1"]],"ts":"%(ms)d","seqId":77}]}',
    "bitget": '{"action":"snapshot","arg":{"instType":"SPOT","channel":"books1","instId":"%(id)s"},"data":'
    '[{"asks":[["%(ask)s","3.25"]],"bids":[["%(bid)s","2.5"]],"ts":"%(ms)d","seq":8}],"ts":%(ms)d}',
    "bingx": '{"code":0,"dataType":"%(id)s@bookTicker","data":{"e":"bookTicker","u":5,"E":%(ms)d,"T":%(ms)d,'
    '"s":"%(id)s","b":"%(bid)s","B":"2.5","a":"%(ask)s","A":"3.25"}}',
}


def config() -> MarketConfig:
    """8 exchanges, every pair of them, a filter that opens episodes, and some watched charts."""
    keys = [row.key for row in EXCHANGES]
    names = [f"S{number:03}" for number in range(SYMBOLS)]
    listed = [
        (row.key, f"{base}/USDT", f"{base}{row.joiner}USDT", base) for row, base in product(EXCHANGES, names)
    ]
    pairs = list(combinations(keys, 2))
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in keys),
        instruments=frozenset(InstrumentConfig(key, symbol, native) for key, symbol, native, _ in listed),
        opportunities=tuple(
            Opportunity(f"{base}/USDT", *pair, 1000, (1,)) for base in names[:CHARTED] for pair in pairs[:4]
        ),
        filters=(FilterConfig(1, "wide", min_edge_bps=15.0, close_edge_bps=5.0),),
        listings=tuple(
            ListingConfig(key, symbol, native, base, "USDT", symbol, volume=1e6)
            for key, symbol, native, base in listed
        ),
        pairs=tuple(PairConfig(*pair, 1000) for pair in pairs),
    )


def frames(terms: MarketConfig, shard: Shard) -> list[tuple[str, str | bytes]]:
    """Quotes of the shard's instruments in random order, a few bps around a price of each symbol."""
    rng = random.Random(1)
    owned = sorted(
        (row.exchange, row.native_id, row.symbol) for row in terms.instruments if shard.owns(row.shard_key)
    )
    middle = {symbol: 10 ** rng.uniform(-1, 3) for _, _, symbol in owned}
    made = []
    for _ in range(FRAMES):
        exchange, native, symbol = rng.choice(owned)
        bid = middle[symbol] * (1 + rng.uniform(-2e-4, 2e-4))
        made.append((exchange, frame(exchange, native, f"{bid:.8f}", f"{bid * 1.0001:.8f}")))
    return made


def frame(exchange: str, native: str, bid: str, ask: str) -> str | bytes:
    """A quote as the exchange sends it."""
    ms = 1_700_000_000_123
    if exchange == "mexc":
        item = mexc_pb2.BookTicker(bidPrice=bid, bidQuantity="2.5", askPrice=ask, askQuantity="3.25")
        channel = f"spot@public.aggre.bookTicker.v3.api.pb@100ms@{native}"
        push = mexc_pb2.Push(channel=channel, symbol=native, sendTime=ms, publicAggreBookTicker=item)
        return push.SerializeToString()
    text = SHAPES[exchange] % {"id": native, "bid": bid, "ask": ask, "ms": ms}
    return gzip.compress(text.encode()) if exchange == "bingx" else text


# --- one shard ----------------------------------------------------------------------------------


async def carry(shard: Shard) -> None:
    """On each command carry everything as fast as it goes for so long; then say how many frames a second."""
    from realtime.sink import RealtimeSink

    terms = config()
    replay = frames(terms, shard)
    decode = {
        key: codec({row.native_id: row.symbol for row in terms.instruments if row.exchange == key}).decode
        for key, codec in CODECS.items()
    }
    channel: Channel[SinkEvent] = Channel("realtime")
    sink = RealtimeSink(channel, shard, lambda _event: None)
    sink.configure(terms)
    running = asyncio.create_task(sink.run())
    print("ready", flush=True)
    at = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        limit = float(line)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < limit:
            now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
            for exchange, each in replay[at : at + FRAMES_A_TURN]:
                channel.put_many(decode[exchange](each, now_us, now_ns))  # type: ignore[arg-type]
            at = (at + FRAMES_A_TURN) % FRAMES
            count += FRAMES_A_TURN
            while channel:  # noqa: ASYNC110 - the sink has no event for it
                await asyncio.sleep(0)
        print(count / (time.monotonic() - began), flush=True)
    channel.close()
    await running


class Worker:
    """A shard in a process of its own."""

    def __init__(self, shard: str, core: int) -> None:
        command = [sys.executable, __file__, "--shard", shard, "--core", str(core)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._answer() == "ready", f"shard {shard} did not start"

    def start(self, seconds: float) -> None:
        """Let it carry for so long."""
        assert self._process.stdin
        print(seconds, file=self._process.stdin, flush=True)

    def rate(self) -> float:
        """Frames a second of what was started."""
        return float(self._answer())

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


def together(workers: list[Worker], seconds: float) -> float:
    """Frames a second of all of them, carrying at the same time."""
    for worker in workers:
        worker.start(seconds)
    return sum(worker.rate() for worker in workers)


def measure(seconds: float, turns: int) -> tuple[float, float]:
    """Frames a second of one shard, and of two."""
    import tests.support.servers  # noqa: F401 - starts Redis, and puts its address into the settings

    first, second, *_ = sorted(os.sched_getaffinity(0))
    one = [Worker("1/1", first)]
    two = [Worker("1/2", first), Worker("2/2", second)]
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(turns + 1):
        for shards in (one, two):
            rate = together(shards, seconds)
            if turn:  # the first one warms up
                rates[len(shards)].append(rate)
    for worker in (*one, *two):
        worker.close()
    return median(rates[1]), median(rates[2])


def main() -> None:
    """Be a shard, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--shard", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.shard:
        os.sched_setaffinity(0, {options.core})
        django.setup()
        asyncio.run(carry(Shard.parse(options.shard)))
        return
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("two shards need two cores")
    one, two = measure(options.seconds, options.turns)
    print(f"one shard  {one:10,.0f} frames/s\ntwo shards {two:10,.0f} frames/s  {two / one:.2f} ×")
    figures: dict[str, Any] = {
        "two_shards_of_one": {"value": round(two / one, 2), "target": TARGET, "met": two / one >= TARGET},
        "one_shard_frames_s": {"value": round(one), "target": None, "met": None},
    }
    print(json.dumps({"benchmark": "shards", "figures": figures}))


if __name__ == "__main__":
    main()
