"""`manage.py export`: rows of the lake into a file or a pipe."""

import os
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
from deltalake.exceptions import DeltaError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from polars.exceptions import PolarsError
from tqdm import tqdm

from core.clock.times import parse_time, shown_time
from core.errors import InvalidConfig
from core.names.market_keys import SWAP, coin_symbol, exchange_of, market_key, market_of
from core.web.refused import Refused
from engine.charts.batch import Terms
from history.lake.schema import CLOCK
from history.lake.tables import Lake, LakeError
from history.read.asked import (
    exchange_named,
    instrument_named,
    market_named,
    pair_named,
    swaps_named,
    symbol_named,
)
from history.read.exporting import FORMATS, finished_file, write_all
from history.read.reader import LakeReader, Where
from history.read.spreads import chart_points
from markets.config import MarketConfig
from markets.selectors import load_config

TABLES = ("quotes", "trades", "funding", "marks", "spreads")
OF_SWAPS = ("funding", "marks")
EXAMPLE = """\
examples:
  $ manage.py export quotes --symbol BTCUSDT --exchange binance --from 2026-11-20 --to 2026-11-21 -o btc.csv
  $ manage.py export spreads --symbol BTC/USDT --exchange binance --exchange2 bybit --format ndjson
  $ manage.py export quotes --symbol BTC/USDT --exchange binance:swap
  $ manage.py export funding --symbol BTC/USDT --exchange gate:swap -o funding.csv
  $ manage.py export trades --symbol ETHUSDT --from 2026-11-20T12:00Z --format ndjson | head

Rows come in order of time, in the lake's columns and units (docs/lake.md): times in µs since 1970, UTC.
A FILE is written as FILE.part and gets its name once it is complete. Points of a pair that nobody
watched are computed from the quotes, with the tolerance and the fees of now.
"""


class Command(BaseCommand):
    """Streams: memory does not grow with the range."""

    help = "Export quotes, trades, funding, marks or spread points from the lake as CSV, NDJSON or Parquet."
    requires_system_checks: list[str] = []  # noqa: RUF012 as Django declares it

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """The examples keep their line breaks."""
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, epilog=EXAMPLE, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """TABLE and what of it."""
        parser.add_argument("table", choices=TABLES)
        parser.add_argument("--symbol", help="BTC/USDT or BTCUSDT, a swap BTC/USDT:USDT; default: every one")
        parser.add_argument(
            "--exchange",
            help="the market, or exchange1 of spreads: binance, its swaps binance:swap; default: every one",
        )
        parser.add_argument("--exchange2", help="only for spreads")
        parser.add_argument("--from", dest="start", help="ISO time or date, UTC; default: the oldest row")
        parser.add_argument("--to", dest="end", help="the end, not included; default: now")
        parser.add_argument("--format", choices=list(FORMATS), default="csv")
        parser.add_argument("-o", dest="file", metavar="FILE", help="default: standard output")

    def handle(self, *, table: str, format: str, file: str | None, **options: Any) -> None:
        """Write the rows; what cannot be is a CommandError in words."""
        try:
            rows = self._export(table, format, file, options)
        except Refused as refused:
            raise CommandError(str(refused)) from None
        except (DatabaseError, InvalidConfig) as problem:
            raise CommandError(f"exchanges and symbols are not known: {problem}") from problem
        except (DeltaError, PolarsError, LakeError) as problem:
            raise CommandError(f"the lake cannot be read: {problem}") from problem
        except BrokenPipeError:  # the reader (head, less) has seen enough; nothing more may be flushed there
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as problem:
            raise CommandError(f"{problem.filename or 'output'}: {problem.strerror or problem}") from problem
        else:
            self.stderr.write(f"{rows} rows of {table}")

    @staticmethod
    def _check_given(options: dict[str, Any]) -> None:
        """Refuse what is given and empty, like a variable of the shell that is not set: it would mean all."""
        for option, name in (("symbol", "symbol"), ("exchange", "exchange"), ("exchange2", "exchange2"),
                             ("start", "from"), ("end", "to")):  # fmt: skip
            if options[option] is not None and not options[option].strip():
                raise CommandError(f"--{name}: it is empty; leave it out for the default")

    def _export(self, table: str, format: str, file: str | None, options: dict[str, Any]) -> int:
        self._check_given(options)
        reader = LakeReader(Lake.from_settings())
        config = load_config(swaps_named(*(options[name] for name in ("symbol", "exchange", "exchange2"))))
        names = _names(config, reader, table, options)
        start_us, end_us = _range(reader, table, names, options)
        where: Where = names | {"start_us": start_us, "end_us": end_us}
        frames = _points(config, reader, where) if table == "spreads" else _rows(reader, table, where)
        bar = tqdm(
            total=(end_us - start_us) // 1_000_000,
            unit="s of data",
            file=sys.stderr,
            disable=None,
            leave=False,
        )
        rows = 0
        with _target(file) as out, bar:
            for frame in write_all(frames, out, format):
                rows += len(frame)
                newest_us = frame[CLOCK[table]][-1]
                bar.set_postfix(rows=rows)
                bar.update((newest_us - start_us) // 1_000_000 - bar.n)
            for words in reader.left_out_words():
                self.stderr.write(f"left out, because it is damaged: {words}")
            if not rows:
                raise CommandError(
                    f"nothing is recorded between {shown_time(start_us)} and {shown_time(end_us)}"
                )
        return rows


def _names(config: MarketConfig, reader: LakeReader, table: str, options: dict[str, Any]) -> Where:
    """The names asked for, as the lake spells them."""
    symbol, exchange = options["symbol"], options["exchange"]
    if table != "spreads":
        if options["exchange2"]:
            raise CommandError(f"--exchange2 goes with spreads; {table} are of one exchange")
        if exchange and table in OF_SWAPS:
            exchange = market_key(exchange_of(exchange.strip()), SWAP)
        if symbol and exchange:
            key, symbol = instrument_named(config, reader, symbol, exchange, "--exchange")
            return {"exchange": key, "symbol": symbol}
        if symbol:
            found = symbol_named(config, reader, symbol)
            return {"symbol": _swaps_of(config, found) if table in OF_SWAPS else found}
        return {"exchange": market_named(config, exchange, "--exchange")} if exchange else {}
    missing = [f"--{name}" for name in ("symbol", "exchange", "exchange2") if not options[name]]
    if missing:
        raise CommandError(f"spreads need {' and '.join(missing)}: a spread is one symbol on two exchanges")
    legs = {"--exchange": exchange, "--exchange2": options["exchange2"]}
    coin, *keys = pair_named(config, reader, symbol, legs)
    # Points are computed with fees, which are known of markets in use.
    one, other = (exchange_named(config, key, name) for name, key in zip(legs, keys, strict=True))
    return {"symbol": coin, "exchange1": one, "exchange2": other}


def _swaps_of(config: MarketConfig, symbol: str) -> list[str]:
    """Symbols of the swaps of a coin; of a swap its own."""
    own = [each.symbol for each in config.listings if market_of(each.exchange) == SWAP]
    found = {each for each in own if each == symbol or coin_symbol(each) == symbol}
    return sorted(found) or [symbol]


def _range(reader: LakeReader, table: str, names: Where, options: dict[str, Any]) -> tuple[int, int]:
    """Start and end, µs."""
    start_us, end_us = _time(options["start"], "--from"), _time(options["end"], "--to")
    end_us = time.time_ns() // 1000 if end_us is None else end_us
    if start_us is None:
        start_us = _oldest(reader, table, names)
    if start_us >= end_us:
        raise CommandError(f"--to: {shown_time(end_us)} is not after {shown_time(start_us)}")
    return start_us, end_us


def _time(text: str | None, option: str) -> int | None:
    try:
        return parse_time(text) if text else None
    except ValueError as problem:
        raise CommandError(f"{option}: {problem}") from None


def _oldest(reader: LakeReader, table: str, names: Where) -> int:
    """Time where the table begins for these names; points can be computed from where the quotes begin."""
    if table == "spreads":
        table, names = (
            "quotes",
            {"symbol": names["symbol"], "exchange": [str(names["exchange1"]), str(names["exchange2"])]},
        )
    found = reader.range(table, **names)
    if found is None:
        raise CommandError(f"nothing is recorded of this in the lake at {reader.lake.url}")
    return found[0]


def _rows(reader: LakeReader, table: str, where: Where) -> Iterator[pl.DataFrame]:
    return reader.snapshot(table).frames(**where)


def _points(config: MarketConfig, reader: LakeReader, where: Where) -> Iterator[pl.DataFrame]:
    """Stored or computed points with the names in front."""
    names = {name: str(where[name]) for name in ("symbol", "exchange1", "exchange2")}
    terms = Terms.of(config, *names.values())
    _sources, frames = chart_points(reader, terms, where["start_us"] or 0, where["end_us"] or 0)
    columns = [pl.lit(value).alias(name) for name, value in names.items()]
    return (frame.select(*columns, pl.all()) for frame in frames)


def _target(file: str | None) -> AbstractContextManager[BinaryIO]:
    if file not in (None, "-"):
        return finished_file(Path(str(file)))
    if sys.stdout is None:
        raise CommandError("standard output is closed; name a file with -o")
    return nullcontext(sys.stdout.buffer)
