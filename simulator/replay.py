"""Plays a recording of real markets on the simulated exchanges' wires.

A recording is anything with the members of `Played`. The one here is a folder of CSV files (gzip or
plain) of two shapes, one file per exchange and symbol, whose name begins with the exchange's key
(`okx_ACEUSDT_perp.csv.gz`, `gate_perp_LUNC_USDT.csv.gz`):

    timestamp (epoch ms), symbol (ACE/USDT:USDT), bid1_price, bid1_volume, ask1_price, ask1_volume
    timestamp (ISO), symbol_base, symbol_quote, bid_price, bid_qty, ask_price, ask_qty

A perpetual (by its symbol; in the second shape by `_perp` in the file's name) plays on the exchange's swap
market. Prices, sizes and times are the file's, sizes in the market's own unit. How many coins a contract
is no such file says: `contract_sizes.json` in the folder does, or a file given:

    {"gate:swap": {"ACE/USDT:USDT": "10"}}

What it does not name has one coin a contract, which is said once.
"""

import asyncio
import csv
import gzip
import heapq
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from math import inf
from pathlib import Path
from typing import Protocol, TextIO

from msgspec import Struct, structs

from core.names.market_keys import exchange_of, key_of
from core.names.symbols import base_of, quote_of
from simulator.catalogue import Listing
from simulator.exchanges.base import Book, Deal, SimulatedExchange
from simulator.feed import DepthSink, QuoteSink, TradeSink
from simulator.swaps import CONTRACT_SIZED

logger = logging.getLogger(__name__)

SAMPLE_ROWS = 2_000
BATCH = 500
PROGRESS_S = 10.0
MOST_BEHIND_S = 0.5
CONTRACT_SIZES = "contract_sizes.json"
_NAMED = ("bid1_price", "bid1_volume", "ask1_price", "ask1_volume")
_PLAIN = ("bid_price", "bid_qty", "ask_price", "ask_qty")


class RecordingError(ValueError):
    """A recording that cannot be played; the message names the file and the remedy."""


class Row(Struct, gc=False):
    """One recorded quote; `ts_us` is the recording's own time, numbers are the file's text.

    `exchange` is the key of the market; `exchange_ts_us` is the exchange's time, where the recording has
    that as well.
    """

    ts_us: int
    exchange: str
    symbol: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str
    exchange_ts_us: int | None = None


class TradeRow(Struct, gc=False):
    """One recorded trade; `exchange` is the key of the market, `side` the taker's."""

    ts_us: int
    exchange: str
    symbol: str
    price: str
    size: str
    side: str
    exchange_ts_us: int | None = None


class Played(Protocol):
    """A recording: what each market lists, each instrument's first quote, everything in order of time."""

    @property
    def listings(self) -> Mapping[str, Sequence[Listing]]: ...

    def first(self) -> Mapping[tuple[str, str], Row]: ...

    def rows(self) -> Iterator[Row | TradeRow]: ...


class Recording:
    """A folder of recorded quotes of the given markets, read lazily and merged in time order."""

    def __init__(self, folder: Path, exchanges: Sequence[str], contract_sizes: Path | None = None) -> None:
        if not os.path.isdir(folder):  # of a name that is too long pathlib raises
            raise RecordingError(
                f"--replay {folder}: no such folder; give one with *.csv.gz recordings in it"
            )
        files = sorted([*folder.rglob("*.csv.gz"), *folder.rglob("*.csv")])
        names = {exchange_of(key) for key in exchanges}
        files = [path for path in files if path.name.partition("_")[0] in names]
        self.files = [path for path in files if _first(path).exchange in exchanges]
        if not self.files:
            wanted = ", ".join(exchanges)
            raise RecordingError(f"--replay {folder}: no <exchange>_*.csv.gz of {wanted} in it or below it")
        sizes = _contract_sizes(contract_sizes or folder / CONTRACT_SIZES, given=contract_sizes is not None)
        listed: dict[str, dict[str, Listing]] = {key: {} for key in exchanges}
        for path in self.files:
            key, listing = _listing(path)
            size = sizes.get((key, listing.symbol), listing.contract)
            listed[key][listing.symbol] = structs.replace(listing, contract=size)
        self.listings: Mapping[str, Sequence[Listing]] = {k: tuple(v.values()) for k, v in listed.items()}
        self._say_unknown(sizes)

    def _say_unknown(self, sizes: Mapping[tuple[str, str], str]) -> None:
        """One line about the swaps sized in contracts of which nobody says how many coins they are."""
        if unknown := unsized(self.listings, sizes):
            logger.warning("no contract sizes of %s in %s: one coin a contract", unknown, CONTRACT_SIZES)

    def first(self) -> Mapping[tuple[str, str], Row]:
        """Each file's first row, by exchange and symbol."""
        return {(row.exchange, row.symbol): row for row in map(_first, self.files)}

    def rows(self) -> Iterator[Row]:
        """Every row of every file in time order; of equal times the file first by name."""
        return heapq.merge(*(_rows(path) for path in self.files), key=lambda row: row.ts_us)


class ReplayFeed:
    """A `Source` that plays a recording: its order, its spacing divided by `speed`, its timestamps.

    It starts once `after` quote topics are subscribed, so a test or a demo loses nothing.
    """

    def __init__(self, recording: Played, *, speed: float, loop: bool, after: int) -> None:
        self._recording = recording
        self._speed = speed
        self._loop = loop
        self._after = after
        self._ready = asyncio.Event()
        self._books: dict[tuple[str, str], Book] = {}
        self._first = recording.first()
        self.finished = asyncio.Event()
        self.played = 0
        self.position_us = 0

    def attach(
        self,
        exchanges: Mapping[str, SimulatedExchange],
        quote: QuoteSink,
        trade: TradeSink,
        depth: DepthSink,
    ) -> None:
        """Take the exchanges to feed and where quotes and trades go; nothing goes to `depth`."""
        self._exchanges, self._quote, self._trade = exchanges, quote, trade

    def wake(self, exchange: SimulatedExchange, symbol: str) -> None:
        """Somebody subscribed: start once enough have."""
        quotes = (key for each in self._exchanges.values() for key in each.subscribers if key[0] == "quote")
        if sum(1 for _ in quotes) >= self._after:
            self._ready.set()

    def latest(self, exchange: SimulatedExchange, listing: Listing) -> Book | None:
        """The last book played, None before the first."""
        return self._books.get((exchange.key, listing.symbol))

    def snapshot(self, exchange: SimulatedExchange, listing: Listing) -> Book:
        """The last book played, before that the recording's first."""
        key = (exchange.key, listing.symbol)
        return self._books.get(key) or _book(self._first[key], 0, 1)

    def ladder(self, exchange: SimulatedExchange, listing: Listing) -> None:
        """Recordings have no depth."""

    def prices(self, exchange: SimulatedExchange, listing: Listing) -> tuple[float, float]:
        """Mark and index price of a swap: the middle of its book, for want of recorded ones."""
        book = self.snapshot(exchange, listing)
        middle = (float(book.bid) + float(book.ask)) / 2
        return middle, middle

    async def run(self) -> None:
        """Play to the end (or for ever with `loop`); then `finished` is set."""
        if self._after:
            await self._ready.wait()
        try:
            await self._play()
            while self._loop:
                await self._play()
            logger.info("replay finished: %d rows played", self.played)
        except RecordingError as error:
            logger.error("replay stopped: %s", error)
        self.finished.set()

    async def _play(self) -> None:
        rows = self._recording.rows()
        began, origin, reported = time.monotonic(), 0, time.monotonic()
        for number, row in enumerate(rows):
            origin = origin or row.ts_us
            wait = began + (row.ts_us - origin) / 1e6 / self._speed - time.monotonic()
            if wait < -MOST_BEHIND_S:  # slows down instead of bursting: a burst cuts slow readers
                began -= wait
            if wait > 0 or number % BATCH == 0:
                await asyncio.sleep(max(0.0, wait))
            self._publish(row)
            if time.monotonic() - reported > PROGRESS_S:
                reported = time.monotonic()
                moment = datetime.fromtimestamp(row.ts_us / 1e6, UTC)
                logger.info("replay at %s UTC, %d rows played", f"{moment:%Y-%m-%d %H:%M:%S}", self.played)

    def _publish(self, row: Row | TradeRow) -> None:
        exchange = self._exchanges[row.exchange]
        listing = exchange.listings[row.symbol]
        self.played += 1
        self.position_us = row.ts_us
        if isinstance(row, TradeRow):
            at_ms = _exchange_ms(row, exchange.skew_ms)
            self._trade(exchange, listing, Deal(row.price, row.size, row.side, at_ms, self.played))
            return
        book = self._books[row.exchange, row.symbol] = _book(row, exchange.skew_ms, self.played)
        self._quote(exchange, listing, book)


def _book(row: Row, skew_ms: int, number: int) -> Book:
    return Book(row.bid, row.bid_size, row.ask, row.ask_size, _exchange_ms(row, skew_ms), number)


def _exchange_ms(row: Row | TradeRow, skew_ms: int) -> int:
    return (row.ts_us if row.exchange_ts_us is None else row.exchange_ts_us) // 1000 + skew_ms


def _open(path: Path) -> TextIO:
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")


def _rows(path: Path) -> Iterator[Row]:
    """The rows of one file; raises RecordingError naming file and line for one that cannot be read."""
    try:
        yield from _parsed(path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{path}: cannot read it ({error}); is it whole?") from None


def _parsed(path: Path) -> Iterator[Row]:
    exchange = path.name.partition("_")[0]
    with _open(path) as lines:
        reader = csv.reader(lines)
        header = next(reader, [])
        names = _NAMED if "bid1_price" in header else _PLAIN
        missing = [name for name in ("timestamp", *names) if name not in header]
        if missing:
            raise RecordingError(f"{path}: no column {', '.join(missing)}; see the columns a recording has")
        when = header.index("timestamp")
        bid, bid_size, ask, ask_size = (header.index(name) for name in names)
        symbol = _SymbolReader(header, perpetual="_perp" in path.name)
        for fields in reader:
            try:
                name = symbol(fields)
                yield Row(
                    _micros(fields[when]),
                    key_of(exchange, name),
                    name,
                    plain(fields[bid]),
                    plain(fields[bid_size]),
                    plain(fields[ask]),
                    plain(fields[ask_size]),
                )
            except (ValueError, IndexError) as error:
                raise RecordingError(f"{path}, line {reader.line_num}: cannot read it ({error})") from None


class _SymbolReader:
    """Reads the unified symbol of a row: `ACE/USDT:USDT`, or that of `LUNC`, `USDT`."""

    def __init__(self, header: list[str], *, perpetual: bool) -> None:
        self._perpetual = perpetual
        self._unified = header.index("symbol") if "symbol" in header else None
        self._parts = (
            None if "symbol" in header else (header.index("symbol_base"), header.index("symbol_quote"))
        )

    def __call__(self, fields: list[str]) -> str:
        if self._parts is None:
            return fields[self._unified or 0]
        base, quote = (fields[index] for index in self._parts)
        return f"{base}/{quote}:{quote}" if self._perpetual else f"{base}/{quote}"


def _micros(text: str) -> int:
    """Epoch milliseconds or an ISO time to microseconds since the epoch."""
    if text.isdigit():
        return int(text) * 1000
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def plain(text: str) -> str:
    """A number's text; an exponent (3.528e-05), which no exchange prints, written out."""
    if "e" not in text:
        return text
    mantissa, _, exponent = text.partition("e")
    decimals = len(mantissa.partition(".")[2]) - int(exponent)
    return f"{float(text):.{max(0, decimals)}f}"


def _first(path: Path) -> Row:
    row = next(_rows(path), None)
    if row is None:
        raise RecordingError(f"{path}: it holds no rows; leave the file out")
    return row


def _listing(path: Path) -> tuple[str, Listing]:
    """Key of the market and its catalogue, inferred from the beginning of the file."""
    sample = list(islice(_rows(path), SAMPLE_ROWS))
    return sample[0].exchange, listing_of(sample)


def unsized(listings: Mapping[str, Sequence[Listing]], sizes: Collection[tuple[str, str]]) -> str:
    """Markets with the number of their swaps that are sized in contracts of unknown size: `gate:swap (2)`."""
    unknown = Counter(
        key
        for key, listed in listings.items()
        for listing in listed
        if listing.settle and exchange_of(key) in CONTRACT_SIZED and (key, listing.symbol) not in sizes
    )
    return ", ".join(f"{key} ({count})" for key, count in unknown.items())


def _contract_sizes(path: Path, *, given: bool) -> dict[tuple[str, str], str]:
    """Coins per contract by market and symbol; none where no file was given and none is in the folder."""
    try:
        read = json.loads(path.read_text())
        return {
            (key, symbol): _size(path, symbol, size)
            for key, sizes in read.items()
            for symbol, size in sizes.items()
        }
    except FileNotFoundError:
        if given:
            raise RecordingError(f"--contract-sizes {path}: no such file") from None
        return {}
    except (OSError, ValueError, AttributeError) as error:
        if isinstance(error, RecordingError):
            raise
        example = '{"gate:swap": {"ACE/USDT:USDT": 10}}'
        raise RecordingError(f"{path}: cannot read it ({error}); write it like {example}") from None


def _size(path: Path, symbol: str, size: object) -> str:
    try:
        text = plain(repr(size) if isinstance(size, float) else str(size))
        if not 0 < float(text) < inf:
            raise ValueError
    except ValueError:
        raise RecordingError(f"{path}: contract size of {symbol}: not a number above 0: {size!r}") from None
    return text


def listing_of(sample: Sequence[Row]) -> Listing:
    """Catalogue of an exchange, inferred from some of its quotes, the first one first."""
    first = sample[0]
    price_decimals = max(_decimals(text) for row in sample for text in (row.bid, row.ask))
    size_decimals = max(_decimals(text) for row in sample for text in (row.bid_size, row.ask_size))
    return Listing(
        base_of(first.symbol),
        quote_of(first.symbol),
        float(first.bid),
        price_decimals,
        size_decimals,
        20e6,
        settle=first.symbol.partition(":")[2],
    )


def _decimals(text: str) -> int:
    return len(text.partition(".")[2].rstrip("0"))
