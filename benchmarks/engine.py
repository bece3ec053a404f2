"""Cost of one quote for the spread engine, beside recomputing its 30-minute window with polars.

    python benchmarks/engine.py

CPU time, medians of interleaved rounds in one run, so that a busy machine hits both sides alike;
polars gets one thread, as its CPU time would otherwise be spread over all of them. Takes about 10 s.
"""

import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final

os.environ["POLARS_MAX_THREADS"] = "1"  # read when polars is imported
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import polars as pl

from engine.charts.spread import SpreadEngine
from markets.config import ExchangeConfig, MarketConfig, Opportunity
from markets.events import Quote

WINDOW_S: Final = 30 * 60
ROUNDS: Final = 11
QUOTES_PER_ROUND: Final = 10_000
SERVED_PER_ROUND: Final = 2_000
QUOTES_PER_COLLECT: Final = 200
COLLECTS_PER_S: Final = 20
EXCHANGES: Final = ("binance", "bybit")
TARGETS: Final = {"us_per_point": 5, "x_cheaper_than_polars": 5000, "flat_10_to_100": 1.2}


def market(per_side_s: int) -> Iterator[Quote]:
    """An endless pair of quote streams, each at `per_side_s` quotes a second, prices walking in ticks."""
    rng = random.Random(per_side_s)
    step_ns, ticks, now_ns = 1_000_000_000 // (2 * per_side_s), 1_000_000, 0
    while True:
        for exchange in EXCHANGES:
            now_ns += step_ns
            ticks += rng.randint(-3, 3)
            bid = (ticks + rng.randint(-20, 20)) / 10
            yield Quote(exchange, "BTC/USDT", bid, 1.5, bid + 0.1, 0.7, None, now_ns // 1000, now_ns)


class Subject:
    """An engine with a full 30-minute window, and the same window as polars frames."""

    def __init__(self, per_side_s: int) -> None:
        self._market = market(per_side_s)
        self._live_batch = max(1, 2 * per_side_s // COLLECTS_PER_S)
        window = list(islice(self._market, 2 * per_side_s * WINDOW_S))
        exchanges = tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in EXCHANGES)
        self.engine = SpreadEngine(window_points=len(window))
        self.engine.configure(
            MarketConfig(1, exchanges, frozenset(), (Opportunity("BTC/USDT", *EXCHANGES, 1000),))
        )
        self.pair(window)
        self._sides = [_frame(window, exchange, n) for n, exchange in enumerate(EXCHANGES, start=1)]
        self.rows = len(self._sides[0])

    def pair(self, quotes: list[Quote]) -> float:
        """CPU seconds the quotes cost in runs of `QUOTES_PER_COLLECT`, handing the points over included."""
        begin = time.process_time()
        for start in range(0, len(quotes), QUOTES_PER_COLLECT):
            for quote in quotes[start : start + QUOTES_PER_COLLECT]:
                self.engine.on_quote(quote)
            self.engine.collect()
        return time.process_time() - begin

    def serve(self, quotes: list[Quote]) -> None:
        """Serve like a collector: collect 20 times a second of the stream's own time."""
        for n, quote in enumerate(quotes):
            self.engine.on_quote(quote)
            if n % self._live_batch == 0:
                self.engine.collect()

    def pairing_round(self) -> float:
        """µs per quote for pairing, bands and edges, in long runs."""
        return self.pair(self._next(QUOTES_PER_ROUND)) / QUOTES_PER_ROUND * 1e6

    def serving_round(self) -> float:
        """µs per quote at the rate it has: with one chart, runs are short."""
        quotes = self._next(SERVED_PER_ROUND)
        return cpu_us(lambda: self.serve(quotes)) / SERVED_PER_ROUND

    def _next(self, count: int) -> list[Quote]:
        return list(islice(self._market, count))

    def polars_round(self) -> float:
        """µs to recompute the window once, which is what one new quote would cost."""
        first, second = self._sides
        return cpu_us(lambda: _recompute(first, second))


def _frame(quotes: list[Quote], exchange: str, n: int) -> pl.DataFrame:
    rows = [(q.received_mono_ns, q.bid, q.ask) for q in quotes if q.exchange == exchange]
    return pl.DataFrame(rows, schema=["at_ns", f"bid{n}", f"ask{n}"], orient="row").set_sorted("at_ns")


def _recompute(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    joined = first.join_asof(second, on="at_ns", strategy="backward", tolerance=1_000_000_000)
    return joined.with_columns(spread=(pl.col("bid1") / pl.col("bid2") - 1) * 100).with_columns(
        upper=pl.col("spread").rolling_quantile(0.97, "linear", window_size=200, min_samples=1),
        lower=pl.col("spread").rolling_quantile(0.03, "linear", window_size=200, min_samples=1),
    )


def cpu_us(work: Callable[[], object]) -> float:
    """CPU time of one call, in µs."""
    begin = time.process_time()
    work()
    return (time.process_time() - begin) * 1e6


def measure() -> dict[int, dict[str, float]]:
    """Medians per rate; every round measures all sides once, one after the other."""
    subjects = {rate: Subject(rate) for rate in (10, 100)}
    samples: dict[int, dict[str, list[float]]] = {rate: defaultdict(list) for rate in subjects}
    for _ in range(ROUNDS):
        for rate, subject in subjects.items():
            samples[rate]["pairing"].append(subject.pairing_round())
            samples[rate]["served"].append(subject.serving_round())
            samples[rate]["polars"].append(subject.polars_round())
    return {
        rate: {name: median(values) for name, values in sides.items()} | {"rows": subjects[rate].rows}
        for rate, sides in samples.items()
    }


def figures(medians: dict[int, dict[str, float]]) -> dict[str, dict[str, float | bool]]:
    """The three figures with their targets; the ratio is the one at 10 quotes/s, the harder one."""
    slow, fast = medians[10], medians[100]
    values = {
        "us_per_point": max(slow["pairing"], fast["pairing"]),
        "x_cheaper_than_polars": slow["polars"] / slow["pairing"],
        "flat_10_to_100": fast["pairing"] / slow["pairing"],
    }
    return {
        name: {
            "value": round(value, 3),
            "target": TARGETS[name],
            "met": value >= TARGETS[name] if name.startswith("x_") else value <= TARGETS[name],
        }
        for name, value in values.items()
    }


def main() -> None:
    """Measure, print a table and, as the last line, the figures as JSON."""
    print(f"Python {sys.version.split()[0]}, polars {pl.__version__}; CPU µs, medians of {ROUNDS} rounds")
    medians = measure()
    heads = (
        "quotes/s per side",
        "rows per side",
        "in runs of 200",
        "at 20 collects/s",
        "polars",
        "polars/ours",
    )
    print("  ".join(heads))
    for rate, m in medians.items():
        ratio = m["polars"] / m["pairing"]
        cells = (str(rate), f"{m['rows']:,.0f}", f"{m['pairing']:.3f}", f"{m['served']:.3f}",
                 f"{m['polars']:,.0f}", f"{ratio:,.0f}")  # fmt: skip
        print("  ".join(cell.rjust(len(head)) for cell, head in zip(cells, heads, strict=True)))
    print(json.dumps({"benchmark": "engine", "figures": figures(medians)}))


if __name__ == "__main__":
    main()
