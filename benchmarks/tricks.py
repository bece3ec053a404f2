"""Gain of each performance trick that can be taken out alone: the same work with it and without it.

    python benchmarks/tricks.py

CPU µs, medians of rounds in which both take turns, so that a busy machine slows them alike: read the
ratios. docs/performance_tricks.md says where each trick is and how to take it out. Takes about 20 s.
"""

import gzip
import json
import random
import sys
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec
import numpy as np

from benchmarks import scanner
from benchmarks.decode import FRAMES, RECEIVED, SYMBOLS
from benchmarks.engine import Subject, market
from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec
from collectors.exchanges.bingx import inflated
from engine.charts.bands import LOWER, UPPER, WINDOW, RollingBands, quantile
from engine.charts.points import POINT_COLUMNS, ChartDelta
from markets.events import Quote
from realtime.charts import wire
from realtime.charts.waiting import Portion

ROUNDS: Final = 15
Work = Callable[[], object]


@dataclass
class Trick:
    """The same work both ways; `count` is how many times each does it."""

    name: str
    count: int
    without: Work
    using: Work


def fast_paths() -> list[Trick]:
    """A quote's frame through the codec's fast path, and through `push`, which takes every form."""
    found = []
    for exchange in FRAMES:
        codec, frame = CODECS[exchange](SYMBOLS), FRAMES[exchange][0]
        if type(codec).decode is Codec.decode:
            continue

        def using(codec: Codec = codec, frame: str | bytes = frame) -> None:
            for _ in range(2_000):
                codec.decode(frame, *RECEIVED)

        def without(codec: Codec = codec, frame: str | bytes = frame) -> None:
            for _ in range(2_000):
                Codec.decode(codec, frame, *RECEIVED)

        found.append(Trick(f"fast path, {exchange}", 2_000, without, using))
    return found


def runs() -> Trick:
    """Quotes paired and handed over in runs of 200, and each when it comes."""
    subject, stream = Subject(1), market(1)
    for _ in range(3_600):  # what the subject's window took
        next(stream)
    quotes = [[next(stream) for _ in range(400)] for _ in range(2 * ROUNDS)]

    def one_by_one() -> None:
        for quote in quotes.pop(0):
            subject.engine.on_quote(quote)
            subject.engine.collect()

    return Trick("pairing in runs of 200", 400, one_by_one, lambda: subject.pair(quotes.pop(0)))


def bands() -> Trick:
    """Quantiles out of a list that stays sorted, and out of the window sorted again."""
    rng = random.Random(1)
    values = [rng.gauss(0, 0.1) for _ in range(1_000)]
    rolling, window = RollingBands(), values[:WINDOW]

    def sorting() -> None:
        for value in values:
            window.append(value)
            del window[0]
            ordered = sorted(window)
            quantile(ordered, UPPER), quantile(ordered, LOWER)

    return Trick("bands from a sorted list", 1_000, sorting, lambda: rolling.push(values, [], []))


def unrolled_quantile() -> Trick:
    """The positions of a full window worked out beforehand, and by `quantile` each time."""
    rng = random.Random(1)
    values = [rng.gauss(0, 0.1) for _ in range(1_000)]
    rolling, arrived, ordered = RollingBands(), values[:WINDOW], sorted(values[:WINDOW])

    def by_function() -> None:
        for at, value in enumerate(values):
            del ordered[bisect_left(ordered, arrived[at % WINDOW])]
            insort(ordered, value)
            arrived[at % WINDOW] = value
            quantile(ordered, UPPER), quantile(ordered, LOWER)

    return Trick("bands' positions worked out", 1_000, by_function, lambda: rolling.push(values, [], []))


def best_prices() -> Trick:
    """A quote held against the best prices of its symbol, and against each of its seven others, both ways."""
    desk = scanner.Desk.of(scanner.SPOT_PAIRS)
    config = scanner.configuration(desk)
    skipping, walking = scanner.Subject(desk, config, 0), scanner.Subject(desk, config, 0)
    for leg in walking.scanner.legs:
        leg.sell_reach = leg.buy_reach = inf
    quotes = [skipping.stream.take(2_000) for _ in range(ROUNDS)]

    def feed(to: scanner.Subject, round: Iterator[list[Quote]]) -> None:
        for quote in next(round):
            to.scanner.on_quote(quote)

    one, other = iter(quotes), iter(quotes)
    return Trick(
        "scanner: best prices first", 2_000, lambda: feed(walking, one), lambda: feed(skipping, other)
    )


def encoding() -> list[Trick]:
    """One batch of 20 charts for 50 viewers: each chart encoded once, then the whole message once."""
    points = np.ones((3, len(POINT_COLUMNS)))
    names = [f"C{n}/USDT" for n in range(20)]
    charts: list[ChartDelta] = [
        wire.ChartMessage(f"{name}|a|b", name, "a", "b", "live", "", points) for name in names
    ]
    plain = [ChartDelta(f"{name}|a|b", name, "a", "b", "live", "", points) for name in names]

    def encoded(charts: list[ChartDelta]) -> None:
        for _ in range(50):
            wire.update_json("delta", 1, charts, [], 0.0)

    def portion() -> None:
        shared = Portion(charts)
        for _ in range(50):
            shared.message(1, 0.0)

    return [
        Trick("a chart encoded once, 50 viewers", 50, lambda: encoded(plain), lambda: encoded(charts)),
        Trick("a message encoded once, 50 viewers", 50, lambda: encoded(charts), portion),
    ]


def raw_rows() -> Trick:
    """A batch of 100 charts with 3 points each, read from raw float64 rows and from lists of numbers."""
    points = np.ones((3, len(POINT_COLUMNS)))
    name = "BTC/USDT|a|b"
    raw = [wire.pack(ChartDelta(name, "BTC/USDT", "a", "b", "live", "", points)) for _ in range(100)]
    batch = wire.encode_batch(wire.Batch("1/1", 2, 1, raw))
    lists = msgspec.msgpack.encode([(name, "BTC/USDT", "a", "b", "live", "", points.tolist())] * 100)
    decode = msgspec.msgpack.Decoder(list[tuple[str, str, str, str, str, str, list[list[float]]]]).decode
    return Trick(
        "points as raw rows, per chart", 100,
        lambda: [np.array(each[6]) for each in decode(lists)],
        lambda: [wire.unpack(each) for each in wire.decode_batch(batch).charts],
    )  # fmt: skip


def inflating() -> Trick:
    """BingX's gzipped frame through zlib with room for it, and through the gzip module."""
    frame = FRAMES["bingx"][0]
    assert isinstance(frame, bytes)

    def library() -> None:
        for _ in range(1_000):
            gzip.decompress(frame)

    def ours() -> None:
        for _ in range(1_000):
            inflated(frame)

    return Trick("a small frame inflated", 1_000, library, ours)


def short_keys() -> Trick:
    """A stable sort of 6,000 chart numbers as 16-bit and as 64-bit integers."""
    wide = np.random.default_rng(1).integers(0, 3_000, 6_000)
    short = wide.astype(np.min_scalar_type(3_000))
    return Trick(
        "charts sorted as short numbers", 1,
        lambda: np.argsort(wide, kind="stable"), lambda: np.argsort(short, kind="stable"),
    )  # fmt: skip


@dataclass(slots=True)
class _Plain:
    exchange: str
    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    exchange_ts_us: int | None = None
    received_ts_us: int = 0
    received_mono_ns: int = 0
    late_us: int = 0


def structs() -> Trick:
    """Making a quote as a msgspec Struct without `gc`, and as a dataclass with slots."""

    def plain() -> None:
        for _ in range(10_000):
            _Plain("binance", "BTC/USDT", 1.0, 1.0, 1.1, 1.0, None, 1, 1)

    def struct() -> None:
        for _ in range(10_000):
            Quote("binance", "BTC/USDT", 1.0, 1.0, 1.1, 1.0, None, 1, 1)

    return Trick("a quote as a Struct", 10_000, plain, struct)


def main() -> None:
    """Print a table and the figures."""
    tricks = [
        *fast_paths(),
        runs(),
        bands(),
        unrolled_quantile(),
        best_prices(),
        *encoding(),
        raw_rows(),
        short_keys(),
        structs(),
        inflating(),
    ]
    figures = {}
    print(f"{'trick':38} {'without µs':>11} {'with µs':>9} {'times':>6}")
    costs: dict[str, tuple[list[float], list[float]]] = {trick.name: ([], []) for trick in tricks}
    for _ in range(ROUNDS):
        for trick in tricks:
            for work, kept in zip((trick.without, trick.using), costs[trick.name], strict=True):
                began = time.process_time()
                work()
                kept.append((time.process_time() - began) / trick.count * 1e6)
    for name, (without, using) in costs.items():
        before, after = median(without), median(using)
        print(f"{name:38} {before:11.3f} {after:9.3f} {before / after:6.1f}")
        figures[name] = {"without_us": round(before, 3), "with_us": round(after, 3)}
    print(json.dumps({"benchmark": "tricks", "figures": figures}))


if __name__ == "__main__":
    main()
