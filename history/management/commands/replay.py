"""`manage.py replay`: recorded ticks through the engine, or onto the simulated exchanges' wires."""

import asyncio
import os
import sys
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from core.clock.times import parse_time, shown_time
from core.errors import InvalidConfig
from core.names.symbols import AmbiguousName, Spellings, comma_separated
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.read.recorded import Recorded
from history.replay.engine import LEAD_IN_US, Replay, between, computable
from history.replay.market import LakeMarket
from history.replay.output import Lines, Output, Store
from history.replay.pacing import Pace
from markets.config import MarketConfig
from markets.selectors import load_config
from simulator.replay import unsized
from simulator.server import MAX_SPEED, Simulator
from simulator.serving import serve

INTERRUPTED = 130
_SKIPPED_SHOWN = 10

EXAMPLE = """\
examples:
  manage.py replay --from 2026-11-20T12:00 --to 2026-11-20T13:00 > hour.ndjson
      an hour as fast as it goes, one JSON object per spread point and opportunity event
  manage.py replay --symbols BTC/USDT,ETH/USDT --speed 10
      everything recorded of two symbols, ten times as fast as it was
  manage.py replay --from 2026-11-20 --to 2026-11-21 --store var/study
      a day into the tables of another lake; run again it adds nothing
  manage.py replay --symbols BTC/USDT --assume-size 1000
      imported quotes, which have no sizes, as if 1,000 USDT could be executed at each price
  manage.py replay --from 2026-11-20T12:00 --to-simulator --port 8900
      the recording on the simulated exchanges' wires, for a collector pointed there

Times are UTC unless they say otherwise; --from is included, --to is not. Points are those of the
current configuration (fees, tolerances, opportunities). docs/replay.md has the rest.
"""


class Command(BaseCommand):
    """Replays the lake."""

    help = "Feed what the lake recorded through the spread engine once more, or serve it as exchanges."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The examples keep their lines."""
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, epilog=EXAMPLE, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        add("--from", dest="start_us", type=_time, metavar="TIME", help="default: the oldest quote")
        add("--to", dest="end_us", type=_time, metavar="TIME", help="default: the newest quote")
        add("--symbols", type=_names, metavar="NAMES", help="BTC/USDT or BTCUSDT, with commas (default: all)")
        add(
            "--speed", type=_speed, default="max", metavar="X",
            help="1 as it was, 10 ten times as fast, max (default) without waiting",
        )  # fmt: skip
        add(
            "--assume-size", type=_amount, metavar="AMOUNT",
            help="take quotes without sizes (imported ones) for this much in quote currency at either price; "
            "without it nothing opens on them",
        )  # fmt: skip
        target = parser.add_mutually_exclusive_group()
        target.add_argument("-o", "--output", default="-", metavar="FILE", help="default: standard output")
        target.add_argument("--store", metavar="URL", help="append to the tables of this lake instead")
        target.add_argument(
            "--to-simulator", action="store_true", help="serve the recording as the simulated exchanges would"
        )
        add("--port", type=int, default=8900, help="of --to-simulator (default 8900, 0 picks a free one)")
        add(
            "--replay-after", type=int, default=1, metavar="N",
            help="with --to-simulator: begin when N quote topics are subscribed (default 1)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay; the exit code is 130 when interrupted."""
        lake = Lake.from_settings()
        if options["to_simulator"]:
            self._simulate(lake, options)
            return
        config = _config()
        symbols = _symbols(config, options["symbols"])
        replay = Replay(config, symbols)
        assumed = options["assume_size"]
        recorded = Recorded(LakeReader(lake), replay.reads, assumed)
        start_us, end_us = _range(recorded, lake, options["start_us"], options["end_us"])
        name = f"{lake.url} {start_us} {end_us} {sorted(symbols)} {config.revision}"
        name += "" if assumed is None else f" {assumed}"
        with self._output(lake, name, options) as output:
            self._run(replay, recorded, (start_us, end_us), Pace(options["speed"]), output)
            self._report(replay, recorded, assumed, config)

    def _run(
        self, replay: Replay, recorded: Recorded, when: tuple[int, int], pace: Pace, output: Output
    ) -> None:
        start_us, end_us = when
        events = recorded.events(start_us - LEAD_IN_US, end_us)
        with _progress(end_us - start_us) as progress:
            for results in replay.run(events, end_us):
                if results.now_us >= start_us:
                    pace.wait_for(results.now_us)
                    output.add(between(results, start_us, end_us))
                    progress.update((results.now_us - start_us) // 1_000_000 - int(progress.n))
        output.close()

    @contextmanager
    def _output(self, lake: Lake, name: str, options: dict[str, Any]) -> Iterator[Output]:
        """Open the destination of the results, and handle its or the user's early end."""
        try:
            if options["store"]:
                yield Store(_other_lake(lake, options["store"]), name)
                return
            with _opened(options["output"]) as file:
                yield Lines(file)
        except BrokenPipeError:  # the reader (head, less) has seen enough; nothing more may be flushed there
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except KeyboardInterrupt:
            raise CommandError("stopped; what was written so far stays", returncode=INTERRUPTED) from None

    def _simulate(self, lake: Lake, options: dict[str, Any]) -> None:
        """Serve until Ctrl-C; whatever was recorded is played, with a chart or without."""
        reader = LakeReader(lake)
        recorded = Recorded(reader, frozenset())
        start_us, end_us = _range(recorded, lake, options["start_us"], options["end_us"])
        names = _recorded_names(reader, options["symbols"], start_us, end_us) or None
        sizes = self._contract_sizes()
        market = LakeMarket(reader, start_us, end_us, names, sizes)
        if not market.first():
            raise CommandError("no quotes with sizes are there to be played; see --symbols, --from and --to")
        if unknown := unsized(market.listings, sizes):
            self.stderr.write(f"contract sizes are not known of {unknown}: a contract of each is one coin")
        speed = options["speed"] or MAX_SPEED
        try:
            simulator = Simulator(
                replay=market, speed=speed, port=options["port"], replay_after=options["replay_after"]
            )
        except ValueError as error:
            raise CommandError(str(error)) from None
        try:
            asyncio.run(serve(simulator, self._say))
        except OSError as error:
            raise CommandError(
                f"cannot listen on port {options['port']} ({error.strerror}); try another --port"
            ) from None
        self.stderr.write(f"left out, as no wire can show them: {dict(market.left_out)}")

    def _contract_sizes(self) -> dict[tuple[str, str], float]:
        """Coins per contract of the swaps of this desk; without its database none is known."""
        try:
            instruments = load_config().instruments
        except (InvalidConfig, DatabaseError) as problem:
            said = str(problem).partition("\n")[0]
            self.stderr.write(f"the catalogue, which has contract sizes, cannot be read: {said}")
            return {}
        return {(row.exchange, row.symbol): row.contract_size for row in instruments if row.contract_size}

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _report(
        self, replay: Replay, recorded: Recorded, assumed: float | None, config: MarketConfig
    ) -> None:
        counts = replay.counts
        for row in config.filters:
            if row.min_edge_bps is not None and row.my_size is not None:
                self.stderr.write(
                    f"Filter “{row.name}” asks for depth at {row.my_size:g} USDT, and no depth is recorded: "
                    "it opened only what the best prices hold."
                )
        self.stderr.write(
            f"{counts['quotes']} quotes made {counts['points']} points; "
            + ", ".join(
                f"{name} {counts[name]}" for name in ("invalid", "unknown", "ignored_old", "malformed")
            )
        )
        if recorded.unsized and assumed is None:
            self.stderr.write(
                f"{recorded.unsized} quotes have no sizes (imported?): what is executable is unknown, so "
                "nothing opens on them. --assume-size AMOUNT takes them for that much in quote currency."
            )
        elif recorded.unsized:
            self.stderr.write(f"{recorded.unsized} quotes without sizes were taken for {assumed:g} each.")
        if skipped := recorded.skipped:
            shown = ", ".join(f"{symbol} {count}" for symbol, count in skipped.most_common(_SKIPPED_SHOWN))
            self.stderr.write(
                f"Skipped {skipped.total()} quotes of {len(skipped)} symbols that are not asked for "
                f"or that no filter selects now: {shown}{', …' if len(skipped) > _SKIPPED_SHOWN else ''}"
            )


def _time(text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _names(text: str) -> list[str]:
    if not (names := comma_separated(text)):
        raise ArgumentTypeError(f"{text!r} names no symbol; leave it out for all")
    return names


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ArgumentTypeError(f"{text!r} is neither a number above 0 nor max")
    return speed


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise ArgumentTypeError(f"{text!r} is no amount above 0")
    return amount


def _config() -> MarketConfig:
    try:
        return load_config()
    except InvalidConfig as error:
        raise CommandError(str(error)) from error


def _symbols(config: MarketConfig, asked: list[str] | None) -> frozenset[str]:
    """The symbols of which there is something to compute now, or those of them that were asked for."""
    there = computable(config)
    if not there:
        raise CommandError("no enabled filter selects an opportunity, so there is nothing to compute")
    return frozenset(_resolved(asked or [], there, "no filter selects %s now")) or there


def _recorded_names(reader: LakeReader, names: list[str] | None, start_us: int, end_us: int) -> list[str]:
    """The symbols asked for as they were recorded, in a fixed order; empty for all."""
    if not names:
        return []
    there = reader.snapshot("quotes").symbols(start_us=start_us, end_us=end_us)
    return sorted(_resolved(names, there, "nothing was recorded then of %s"))


def _resolved(names: list[str], there: Collection[str], missing: str) -> set[str]:
    """Resolve the names. Raises CommandError for one that means nothing, or several."""
    called = Spellings(there)
    try:
        found = {name: called.resolve(name) for name in names}
    except AmbiguousName as problem:
        raise CommandError(f"--symbols: {problem}") from None
    if unknown := [name for name, symbol in found.items() if symbol is None]:
        words = missing % ", ".join(unknown)
        raise CommandError(f"--symbols: {words}; there are {', '.join(sorted(there))}")
    return {symbol for symbol in found.values() if symbol}


def _range(recorded: Recorded, lake: Lake, start_us: int | None, end_us: int | None) -> tuple[int, int]:
    known = recorded.range()
    if known is None:
        raise CommandError(f"the lake at {lake.url} holds no quotes")
    if start_us is not None and end_us is not None and start_us >= end_us:
        raise CommandError(f"--from {shown_time(start_us)} is not before --to {shown_time(end_us)}")
    start_us = known[0] if start_us is None else start_us
    end_us = known[1] + 1 if end_us is None else end_us
    if start_us > known[1] or end_us <= known[0]:
        raise CommandError(
            f"nothing was recorded between {shown_time(start_us)} and {shown_time(end_us)}; "
            f"there are quotes from {shown_time(known[0])} to {shown_time(known[1])}"
        )
    return start_us, min(end_us, known[1] + 1)  # what became of the charts after that nobody saw


def _other_lake(lake: Lake, url: str) -> Lake:
    other = Lake.at(url)
    if other.url == lake.url:
        raise CommandError("--store: this is the lake that is replayed; its points would be there twice")
    return other


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdout.buffer
        return
    try:
        if "\0" in path:
            raise CommandError("-o: no file has a NUL in its name")
        with Path(path).open("wb") as file:
            yield file
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error


def _progress(total_us: int) -> "tqdm[Any]":
    """Recorded seconds on stderr, where that is a terminal."""
    return tqdm(total=total_us // 1_000_000, unit="s", unit_scale=True, disable=None, leave=False)
