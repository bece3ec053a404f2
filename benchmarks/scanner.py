"""Cost of one quote for the scanner when 1,000 symbols on 8 exchanges are compared: 28,000 pairs, both ways.

    python benchmarks/scanner.py
    python benchmarks/scanner.py --pairs 120000     the spot and swap markets of all eight

Beside it, in the same run: asking the quote's own pairs by a plain loop over dictionaries, and computing
all pairs again with numpy. CPU time, medians of interleaved rounds. The quotes hop between symbols,
so that most of what is touched is not in the processor's caches, as in a real collector. In the lively
market one symbol in twenty has an open episode, whose quotes are all judged. Depth at a size is asked of two
books of 200 levels, of which the walk takes 25, and of none, where the best levels are all that is known.
Takes about 30 s, with 120,000 pairs two minutes.
"""

import argparse
import json
import random
import sys
import time
import tracemalloc
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from msgspec import structs

from core.names.market_keys import SWAP_SUFFIX
from core.names.symbols import base_of
from engine.books.book import Book
from engine.books.sequences import COUNTED
from engine.gates.depth import Asked, Depth
from engine.scan.scanner import Scanner
from markets.config import ExchangeConfig, FilterConfig, GateTerms, ListingConfig, MarketConfig, PairConfig
from markets.events import BookUpdate, Quote

EXCHANGES: Final = ("binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx")
SPOT_PAIRS: Final = 28_000
ROUNDS: Final = 15
QUOTES_PER_ROUND: Final = 20_000
NUMPY_QUOTES_PER_ROUND: Final = 10
LIVELY_ONE_IN: Final = 20
FEE: Final = 0.001
TRIGGER_BPS: Final = 5.0
TARGETS: Final = {
    "us_per_quote": 2.5,
    "us_per_quote_lively": 4.0,
    "x_cheaper_than_loop": 2.0,
    "x_cheaper_than_all_pairs": 50.0,
    "configure_s": 0.5,
    "bytes_per_pair": 700.0,
    "us_per_depth_check": 20.0,
    "us_per_depth_check_top": 12.0,
    "us_per_depth_kept": 80.0,
}
ALL_MARKETS_TARGETS: Final = TARGETS | {
    "us_per_quote": 8.0,
    "us_per_quote_lively": 8.0,
    "configure_s": 2.0,
    "bytes_per_pair": 600.0,
}


class Desk(NamedTuple):
    """Symbols and markets that are compared: each symbol on each market."""

    markets: tuple[str, ...]
    symbols: tuple[str, ...]

    @classmethod
    def of(cls, pairs: int) -> "Desk":
        """Choose as many symbols as make about so many pairs; swaps too, where spot markets have fewer."""
        markets: tuple[str, ...] = EXCHANGES
        if pairs > SPOT_PAIRS:
            markets += tuple(key + SWAP_SUFFIX for key in EXCHANGES)
        each = len(markets) * (len(markets) - 1) // 2
        return cls(markets, tuple(f"C{n}/USDT" for n in range(max(1, pairs // each))))

    @property
    def targets(self) -> dict[str, float]:
        """Targets for its figures."""
        return TARGETS if self.markets == EXCHANGES else ALL_MARKETS_TARGETS


def configuration(desk: Desk) -> MarketConfig:
    """Configuration with everything listed everywhere, and one filter that follows it all."""
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, FEE * 1e4, FEE * 1e4) for key in desk.markets),
        instruments=frozenset(),
        opportunities=(),
        filters=(FilterConfig(1, "all", min_edge_bps=TRIGGER_BPS, close_edge_bps=0.0),),
        listings=tuple(
            ListingConfig(key, symbol, symbol, base_of(symbol), "USDT", symbol)
            for key in desk.markets
            for symbol in desk.symbols
        ),
        pairs=tuple(PairConfig(one, two, 1000) for one, two in combinations(desk.markets, 2)),
        gates=GateTerms(),
    )


class Stream:
    """Quotes of all instruments in random order; on `wide` symbols one exchange stays dearer."""

    def __init__(self, desk: Desk, wide: int = 0) -> None:
        self._rng = random.Random(1)
        self._desk = desk
        self._now_ns = 10**12
        self._wide = set(desk.symbols[:wide])
        self.taken = 0

    def take(self, count: int) -> list[Quote]:
        """The next quotes, 20,000 a second."""
        rng, desk, quotes = self._rng, self._desk, []
        self.taken += count
        for _ in range(count):
            self._now_ns += 50_000
            symbol, exchange = rng.choice(desk.symbols), rng.choice(desk.markets)
            bid = 100 + rng.randint(-5, 5) / 100
            if exchange == "okx" and symbol in self._wide:
                bid += 0.6
            quotes.append(
                Quote(exchange, symbol, bid, 1.5, bid + 0.02, 0.7, None, self._now_ns // 1000, self._now_ns)
            )
        return quotes


class Loop:
    """The quote's own pairs, asked as one would write it first."""

    def __init__(self, desk: Desk) -> None:
        self._markets = desk.markets
        self.quotes: dict[tuple[str, str], Quote] = {}
        self.found = 0

    def on_quote(self, quote: Quote) -> None:
        """Keep it and ask each other exchange, both ways."""
        self.quotes[quote.exchange, quote.symbol] = quote
        for exchange in self._markets:
            other = self.quotes.get((exchange, quote.symbol))
            if other is None or exchange == quote.exchange:
                continue
            for buy, sell in ((quote, other), (other, quote)):
                edge = (sell.bid * (1 - FEE)) / (buy.ask * (1 + FEE)) * 1e4 - 1e4
                if edge >= TRIGGER_BPS:
                    self.found += 1


class AllPairs:
    """All pairs, computed again with numpy after each quote."""

    def __init__(self, desk: Desk) -> None:
        self._bid = np.full((len(desk.symbols), len(desk.markets)), 100.0)
        self._ask = self._bid + 0.02
        sides = list(combinations(range(len(desk.markets)), 2))
        self._sell, self._buy = np.array(sides + [(two, one) for one, two in sides]).T
        self._symbol = {symbol: n for n, symbol in enumerate(desk.symbols)}
        self._market = {key: n for n, key in enumerate(desk.markets)}

    def on_quote(self, quote: Quote) -> None:
        """Keep it and compute."""
        place = self._symbol[quote.symbol], self._market[quote.exchange]
        self._bid[place], self._ask[place] = quote.bid, quote.ask
        edges = self._bid[:, self._sell] / self._ask[:, self._buy] * ((1 - FEE) / (1 + FEE) * 1e4) - 1e4
        self.found = np.flatnonzero(edges >= TRIGGER_BPS)


def cpu_us(on_quote: Callable[[Quote], None], quotes: list[Quote]) -> float:
    """CPU µs per quote."""
    begin = time.process_time()
    for quote in quotes:
        on_quote(quote)
    return (time.process_time() - begin) / len(quotes) * 1e6


class Subject:
    """A scanner fed as the sink does: ticks 20 times a second, frames taken 5 times."""

    def __init__(self, desk: Desk, config: MarketConfig, wide: int) -> None:
        self.scanner = Scanner()
        self.scanner.configure(config, lambda symbol: True, 0, 0)
        self.stream = Stream(desk, wide)
        for quote in self.stream.take(4 * len(desk.markets) * len(desk.symbols)):
            self.scanner.on_quote(quote)

    def round(self) -> float:
        """CPU µs per quote."""
        quotes = self.stream.take(QUOTES_PER_ROUND)
        spent = cpu_us(self.scanner.on_quote, quotes)
        self.scanner.tick(quotes[-1].received_ts_us, quotes[-1].received_mono_ns)
        self.scanner.take_changed()
        self.scanner.lifecycle.take()
        return spent


def measure(desk: Desk, config: MarketConfig) -> dict[str, float]:
    """Medians; every round measures all sides once, one after the other."""
    calm, lively = Subject(desk, config, 0), Subject(desk, config, len(desk.symbols) // LIVELY_ONE_IN)
    loop, everything, stream = Loop(desk), AllPairs(desk), Stream(desk)
    for quote in stream.take(4 * len(desk.markets) * len(desk.symbols)):
        loop.on_quote(quote)
    samples = defaultdict(list)
    for round in range(ROUNDS):
        samples["calm"].append(calm.round())
        samples["lively"].append(lively.round())
        samples["loop"].append(cpu_us(loop.on_quote, stream.take(QUOTES_PER_ROUND)))
        samples["all pairs"].append(cpu_us(everything.on_quote, stream.take(NUMPY_QUOTES_PER_ROUND)))
        config = structs.replace(config, gates=GateTerms(min_size=float(round)))
        begin = time.process_time()
        calm.scanner.configure(config, lambda symbol: True, 0, 0)
        samples["configure"].append(time.process_time() - begin)
    judged = lively.scanner.counters.judged / lively.stream.taken
    print(f"{len(calm.scanner.pairs):,} pairs; lively: {judged:.2f} judgements per quote")
    return {name: median(values) for name, values in samples.items()} | depth_us(lively.scanner)


class TwoBooks:
    """One book for all that is bought, and one for all that is sold at 60 bps more."""

    def __init__(self) -> None:
        self._buy, self._sell = _book(100.0), _book(100.6)

    def get(self, market: str, symbol: str) -> Book:
        """Book of a market, whatever the symbol."""
        return self._sell if market == "okx" else self._buy


def _book(price: float) -> Book:
    """Known, of 200 levels a side with 0.4 coins each."""
    bids = [(price - level / 100, 0.4) for level in range(200)]
    asks = [(price + 0.01 + level / 100, 0.4) for level in range(200)]
    book = Book(COUNTED)
    book.apply(BookUpdate("okx", "C0/USDT", "snapshot", bids, asks, last_seq=1, received_mono_ns=1))
    return book


def depth_us(scanner: Scanner) -> dict[str, float]:
    """CPU µs of a gate check of depth, with both books and with none, and of an opportunity's depth."""
    way = next(each for each in scanner.directions if each.sell.exchange == "okx")
    asked, small = Asked(1_000.0, 0.0, None), Asked(50.0, 0.0, None)
    with_books, without = Depth(TwoBooks()), Depth()
    calls: dict[str, Callable[[], object]] = {
        "us_per_depth_check": lambda: with_books.lack(way, asked, 1),
        "us_per_depth_check_top": lambda: without.lack(way, small, 1),
        "us_per_depth_kept": lambda: with_books.measured(way, 1_000.0, 1),
    }
    return {name: median(_cpu_us(call) for _ in range(ROUNDS)) for name, call in calls.items()}


def _cpu_us(call: Callable[[], object], times: int = 500) -> float:
    begin = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - begin) / times * 1e6


def bytes_per_pair(config: MarketConfig) -> float:
    """Memory per pair of a configured scanner with a quote in every leg, without the quotes' texts."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    scanner = Scanner()
    scanner.configure(config, lambda symbol: True, 0, 0)
    scanner.take_changed()
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return taken / len(scanner.pairs)


def main() -> None:
    """Measure, print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(description="Cost of one quote for the scanner.")
    parser.add_argument("--pairs", type=int, default=SPOT_PAIRS, help="pairs compared (default %(default)s)")
    desk = Desk.of(parser.parse_args().pairs)
    print(f"Python {sys.version.split()[0]}, numpy {np.__version__}; CPU, medians of {ROUNDS} rounds")
    config = configuration(desk)
    found = measure(desk, config)
    values = {
        "us_per_quote": found["calm"],
        "us_per_quote_lively": found["lively"],
        "x_cheaper_than_loop": found["loop"] / found["calm"],
        "x_cheaper_than_all_pairs": found["all pairs"] / found["calm"],
        "configure_s": found["configure"],
        "bytes_per_pair": bytes_per_pair(config),
        **{name: value for name, value in found.items() if name in TARGETS},
    }
    print(f"{'scanner, calm market':34}{found['calm']:10.2f} µs per quote")
    print(f"{'scanner, lively market':34}{found['lively']:10.2f} µs per quote")
    print(f"{'its own pairs by a plain loop':34}{found['loop']:10.2f} µs per quote")
    print(f"{'all pairs again with numpy':34}{found['all pairs']:10.2f} µs per quote")
    print(f"{'depth at a size, two books':34}{found['us_per_depth_check']:10.2f} µs per check")
    print(f"{'depth at a size, best levels':34}{found['us_per_depth_check_top']:10.2f} µs per check")
    print(f"{'depth kept of an opportunity':34}{found['us_per_depth_kept']:10.2f} µs per moment")
    print(f"{'configuring all pairs':34}{found['configure']:10.2f} s")
    print(f"{'memory':34}{values['bytes_per_pair']:10.0f} bytes per pair, legs and evidence included")
    figures = {
        name: {
            "value": round(value, 3),
            "target": target,
            "met": value >= target if name.startswith("x_") else value <= target,
        }
        for name, value in values.items()
        if (target := desk.targets[name])
    }
    print(json.dumps({"benchmark": "scanner", "figures": figures}))


if __name__ == "__main__":
    main()
