"""`manage.py decode`: what the collector makes of recorded frames."""

import json
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from math import inf
from pathlib import Path
from typing import Any, BinaryIO, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection

from collectors.counts import REFUSED
from collectors.display import GuessedSymbols, OneSize, guessed_swap, guessed_symbol, is_in_coin
from collectors.exchanges import CODECS
from collectors.exchanges.base import Codec, Control, Decoded
from collectors.exchanges.wire import ContractSize
from collectors.exchanges.wire import contract_size as contract_size_of
from collectors.recorded import as_received, parse_line
from core.names.market_keys import SPOT, SWAP, exchange_of, market_key, market_of
from markets.events import BookUpdate, Funding, MarkPrice, Quote, StreamState, Trade

CONNECT_TIMEOUT_S = 2
FLOAT_DIGITS: Final = sys.float_info.dig
MARKETS = (SPOT, SWAP)
GUESSES = {SPOT: guessed_symbol, SWAP: guessed_swap}
COINS_EVEN_SO: Final = frozenset({"bitget"})
"""Exchanges that count coins even where the margin is the coin itself; all others count contracts there."""
FUNDING_ANSWER, BOOK_ANSWER = "funding", "depth"
EXAMPLE = """\
example:
  $ cat frames.jsonl
  {"payload": {"u": 1, "s": "BTCUSDT", "b": "64000.10", "B": "0.5", "a": "64000.20", "A": "1.25"}}
  $ manage.py decode binance frames.jsonl
  {"type":"quote","exchange":"binance","symbol":"BTC/USDT","bid":"64000.10","bid_size":"0.5",
   "ask":"64000.20","ask_size":"1.25","exchange_ts_us":null}            (one line, broken here)
  binance: quote 1                                                      (on stderr)

Input is one JSON object per line, {"dir": "recv", "channel": "…", "payload": …}; a payload is a JSON
value, a string (the exact wire text: "Ping") or {"b64": "…"} (a binary frame). Lines we sent
("dir": "sent") are skipped. Events go to stdout, one per line and in order; what emitted nothing is
counted, with its reason, on stderr, where the first line of each kind that is refused is named too. A line
whose channel is "rest_funding" is an answer of REST; other answers of REST are counted and passed over.

Sizes of perpetual swaps are in the frame's own unit, which the line names: "unit":"contract" where the
exchange counts contracts, "unit":"base" where it counts coins. With the coins in one contract given, all
are in coins. What swaps say besides is {"type":"mark"} and {"type":"funding"}, null where it does not say.
A swap that is margined in its own coin (BTC/USD:BTC) has contracts of its quote currency, which no size of a
contract makes coins; collectors do not follow it.

Order books are {"type":"book","kind":"snapshot|delta"}, with prices and sizes as the exchange spells them and
its own update ids: "first_seq" is the first change, or, of OKX and Bitget, the update that it follows. A line
whose channel is "rest_depth" is the answer to a request, with a symbol only where the answer names it.

  $ manage.py decode gate --market swap --contract-size 0.0001 frames.jsonl
  {"type":"quote","exchange":"gate","symbol":"BTC/USDT:USDT","bid":"64000.1","bid_size":"0.0370",
   "ask":"64000.2","ask_size":"0.0470","exchange_ts_us":1700000000122000,"unit":"base"}   (370 and 470 there)

Every line is judged by itself: lines of a file need not come from one connection, so none is out of order or
late here. --as-collector takes the fast path that runs live, with numbers as float64: 0.0470 becomes 0.047.

Symbols are those of the database. For ids it does not know, and without a database, this tool guesses
(BTC-USDT, BTC_USDT and BTCUSDT become BTC/USDT; as swaps they, BTC-USDT-SWAP and XBTUSDTM become
BTC/USDT:USDT). Collectors never guess: they take the exchange's word.
"""


class Command(BaseCommand):
    """Reads JSON lines, prints one JSON object per event; needs no database."""

    help = "Print what the collector makes of recorded frames of one exchange."
    requires_system_checks: list[str] = []  # noqa: RUF012 as Django declares it

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """The example keeps its line breaks, and FILE may come after --market."""
        parser = super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, epilog=EXAMPLE, **kwargs
        )
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """EXCHANGE [--market spot|swap] [--contract-size N] [FILE|-]."""
        parser.add_argument("exchange", metavar="EXCHANGE", help=f"one of {_exchanges()}")
        parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="JSON lines, - for stdin")
        parser.add_argument("--market", default=SPOT, help="spot (default) or swap: perpetual swaps")
        parser.add_argument(
            "--contract-size", metavar="N",
            help="coins in one contract: print sizes in coins where the exchange counts contracts",
        )  # fmt: skip
        parser.add_argument(
            "--as-collector",
            action="store_true",
            help="decode as a running collector does: the fast path where there is one, numbers as float64",
        )

    def handle(
        self,
        *,
        exchange: str,
        file: str,
        market: str,
        contract_size: str | None,
        as_collector: bool,
        **options: Any,
    ) -> None:
        """Decode every line; bad ones are reported and passed over."""
        if exchange not in map(exchange_of, CODECS):
            raise CommandError(f"unknown exchange {exchange!r}: choose one of {_exchanges()}")
        markets = [each for each in MARKETS if market_key(exchange, each) in CODECS]
        if market not in markets:
            raise CommandError(f"unknown market {market!r}: choose one of {', '.join(markets)}")
        coins = _coins(contract_size)
        codec = CODECS[market_key(exchange, market)](
            GuessedSymbols(self._known_symbols(exchange, market), GUESSES[market]),
            exact=not as_collector,
            contract_sizes=OneSize(ContractSize(float(coins)) if as_collector else coins),
        )
        self._sized_in = codec.sheet.sized_in
        self._in_coins = contract_size is not None
        self._not_followed: set[str] = set()
        self._said: set[str] = set()
        counts: Counter[str] = Counter()
        try:
            with _opened(file) as lines:
                self._decode(codec, lines, counts, as_collector)
            self.stdout.flush()
        except BrokenPipeError:  # the reader (head, less) has seen enough; nothing more may be flushed there
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            self.stderr.write("stopped")
        counts += codec.counts
        found = ", ".join(f"{kind} {count}" for kind, count in counts.items())
        self.stderr.write(f"{exchange}: {found or 'no lines'}")

    def _decode(self, codec: Codec, lines: BinaryIO, counts: Counter[str], as_collector: bool) -> None:
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            try:
                line = parse_line(text)
                frame = line.frame()
            except (ValueError, RecursionError) as error:
                counts["bad lines"] += 1
                self.stderr.write(f"line {number}: {error}")
                continue
            if line.dir == "sent":
                counts["sent by us"] += 1
                continue
            if line.answers not in ("", FUNDING_ANSWER, BOOK_ANSWER):
                counts["answers of REST"] += 1
                continue
            if as_collector:
                frame = as_received(frame, binary=codec.sheet.binary)
            before = codec.counts.copy()
            codec.also_books = line.is_depth
            for event in self._events(codec, line.answers, frame):
                self._print(event, counts)
            self._say_what_was_refused(number, codec.counts - before)

    def _events(self, codec: Codec, asked: str, frame: bytes | str) -> Sequence[Decoded]:
        if asked == BOOK_ANSWER:
            return codec.snapshot(frame)
        return codec.polled(_bytes(frame)) if asked else codec.decode(frame)

    def _print(self, event: Decoded, counts: Counter[str]) -> None:
        unit = "base" if self._in_coins else self._sized_in
        if isinstance(event, Quote | Trade | BookUpdate | MarkPrice | Funding) and is_in_coin(event.symbol):
            self._say_not_followed(event.symbol)
            unit = "base" if exchange_of(event.exchange) in COINS_EVEN_SO else "contract"
            if self._in_coins and unit == "contract" and isinstance(event, Quote | Trade | BookUpdate):
                counts["not in coins"] += 1
                return
        printable = as_printed(event, unit, is_product=self._sized_in == "contract")
        counts[printable["type"]] += 1
        self.stdout.write(json.dumps(printable, ensure_ascii=False, separators=(",", ":")))

    def _say_not_followed(self, symbol: str) -> None:
        if symbol not in self._not_followed:
            self._not_followed.add(symbol)
            self.stderr.write(f"{symbol} is margined in its own coin: collectors do not follow it")

    def _say_what_was_refused(self, number: int, counted: Counter[str]) -> None:
        """The first line of each kind; all are counted in the end."""
        for kind in sorted(counted.keys() & REFUSED.keys() - self._said):
            self._said.add(kind)
            self.stderr.write(f"line {number}: {kind}: {REFUSED[kind]}")

    def _known_symbols(self, exchange: str, market: str) -> Mapping[str, str]:
        """Symbols by native id; none, and a word on stderr, where no database answers."""
        from markets.models import Instrument, Kind

        try:
            connection.settings_dict.setdefault("OPTIONS", {})["connect_timeout"] = CONNECT_TIMEOUT_S
            rows = Instrument.objects.filter(exchange__key=exchange, kind=Kind(market))
            return dict(rows.values_list("native_id", "symbol__name"))
        except (DatabaseError, ImproperlyConfigured) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self.stderr.write(f"no symbols from the database, guessing all of them ({reason[0]})")
            return {}


def _exchanges() -> str:
    return ", ".join(dict.fromkeys(map(exchange_of, CODECS)))


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as lines:
            yield lines
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}") from error


def as_printed(event: Decoded, unit: str = "base", *, is_product: bool = False) -> dict[str, Any]:
    """An event as `decode` prints it: numbers as plain decimal text, floats by their shortest.

    `unit` is that of sizes; it is named only for swaps, since on spot there is but one. A float that
    `is_product` of contracts and the coins in one is printed to the digits that it has: 0.3, no
    0.30000000000000004.
    """
    if isinstance(event, Control):
        return {"type": "control", "kind": event.kind}
    exchange = exchange_of(event.exchange)
    if isinstance(event, StreamState):
        (symbol,) = event.symbols
        return {"type": "state", "exchange": exchange, "symbol": symbol, "state": event.state,
                "reason": event.reason}  # fmt: skip
    head: dict[str, Any] = {"exchange": exchange, "symbol": event.symbol or None}
    tail: dict[str, Any] = {"exchange_ts_us": event.exchange_ts_us}
    if isinstance(event, MarkPrice):
        return {"type": "mark"} | head | _numbers(event, "mark", "index") | tail
    if isinstance(event, Funding):
        times = {"next_ts_us": event.next_ts_us, "interval_s": event.interval_s}
        settled = _numbers(event, "settled_rate") | {"settled_ts_us": event.settled_ts_us}
        return (
            {"type": "funding"} | head | _numbers(event, "rate") | times | settled
            | _numbers(event, "cap", "floor") | tail
        )  # fmt: skip
    if market_of(event.exchange) == SWAP:
        tail["unit"] = unit
    if isinstance(event, BookUpdate):
        said = {"type": "book", "kind": event.kind} | head | _book(event, is_product=is_product)
    elif isinstance(event, Quote):
        book = _numbers(event, "bid", "bid_size", "ask", "ask_size", is_product=is_product)
        said = {"type": "quote"} | head | book
    else:
        deal = _numbers(event, "price", "size", is_product=is_product)
        said = {"type": "trade"} | head | deal | {"side": event.side, "trade_id": event.trade_id}
    return said | tail


def _coins(contract_size: str | None) -> Any:
    """The coins in one contract, 1 where none were given: then sizes are in the frame's own unit."""
    if contract_size is None:
        return Decimal(1)
    try:
        coins = contract_size_of(Decimal(contract_size))
    except ArithmeticError:
        coins = None
    if coins is None or "_" in contract_size or not 0.0 < float(coins) < inf:  # floats, --as-collector
        raise CommandError(f"--contract-size {contract_size!r}: give the coins in one contract, like 0.001")
    return coins


def _bytes(frame: bytes | str) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame


def _book(event: BookUpdate, *, is_product: bool) -> dict[str, Any]:
    """A book; where an exchange says which update one follows, that stands for the first change in it."""
    sides = {
        name: [[_plain(price), _plain(size, is_product)] for price, size in levels]
        for name, levels in (("bids", event.bids), ("asks", event.asks))
    }
    first = event.prev_seq if event.first_seq is None else event.first_seq
    ids = {"first_seq": first, "last_seq": event.last_seq, "checksum": event.checksum}
    return sides | ids


def _numbers(
    event: Quote | Trade | MarkPrice | Funding, *names: str, is_product: bool = False
) -> dict[str, str | None]:
    return {name: _plain(getattr(event, name), is_product and "size" in name) for name in names}


def _plain(number: Any, is_product: bool = False) -> str | None:
    if number is None:
        return None
    if is_product and isinstance(number, float):
        number = float(f"{number:.{FLOAT_DIGITS}g}")
    return format(Decimal(repr(number) if isinstance(number, float) else number), "f")
