"""`manage.py backfill_orderbook`: the lake's quotes and trades into the store."""

import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any, Final

from deltalake.exceptions import DeltaError
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from polars.exceptions import PolarsError
from psycopg import Error as PostgresError
from tqdm import tqdm

from core.clock.times import parse_time, shown_time
from core.errors import InvalidConfig
from core.web.refused import Refused
from history.lake.tables import Lake, LakeError
from history.read.asked import symbol_named
from history.read.reader import LakeReader
from markets.selectors import load_config
from orderbook import services
from orderbook.backfill.comparing import compare
from orderbook.backfill.filling import fill
from orderbook.backfill.recorded import SOURCES, Hour, hours
from orderbook.store.engine import StoreError

INTERRUPTED: Final = 130
DAY_US: Final = 86_400_000_000

EXAMPLE = """\
examples:
  $ manage.py backfill_orderbook
  $ manage.py backfill_orderbook --from 2026-11-20 --to 2026-11-21 --symbols BTC/USDT,ETH/USDT:USDT
  $ manage.py backfill_orderbook --compare --from 2026-11-20T12:00Z --to 2026-11-20T13:00Z

Rows that are there already are left as they are. Interrupted or run again it goes on with the first hour that
is not filled, or that the lake got more rows of. What the retention would drop at once is not filled.
--compare writes nothing; the exit code is 1 where the lake and the store differ.
"""


class Command(BaseCommand):
    """Fills or compares, an hour of one table at a time: memory does not grow with the range."""

    help = "Fill the store with the quotes and trades that the lake has, or compare both."
    requires_system_checks: list[str] = []  # noqa: RUF012 as Django declares it

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        """The examples keep their line breaks."""
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, epilog=EXAMPLE, **kwargs
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Range and symbols."""
        parser.add_argument(
            "--from", dest="start", help="ISO time or date, UTC; default: the oldest row the store would keep"
        )
        parser.add_argument("--to", dest="end", help="the end, not included; default: now")
        parser.add_argument("--symbols", help="BTC/USDT,ETH/USDT:USDT; default: every one")
        parser.add_argument("--compare", action="store_true", help="compare the rows of both, write nothing")

    def handle(self, *, symbols: str | None, compare: bool, **options: Any) -> None:
        """Fill or compare; what cannot be done is a CommandError in words."""
        asked_us = _time(options["start"], "--from"), _time(options["end"], "--to")
        reader = LakeReader(Lake.from_settings())
        try:
            wanted = self._symbols(reader, symbols)
            start_us, end_us = self._range(*asked_us)
            found = hours(reader, start_us, end_us)
            if not found:
                raise CommandError(
                    f"the lake at {reader.lake.url} has no quotes and trades between {shown_time(start_us)} "
                    f"and {shown_time(end_us)}"
                )
            self._compare(reader, found, wanted) if compare else self._fill(reader, found, wanted)
        except Refused as refused:
            raise CommandError(str(refused)) from None
        except (StoreError, InvalidConfig) as problem:
            raise CommandError(str(problem)) from None
        except (DatabaseError, PostgresError) as problem:
            raise CommandError(
                f"PostgreSQL: {problem}; is the database of DATABASE_URL up, and is it migrated (manage.py "
                "migrate)?"
            ) from problem
        except (DeltaError, PolarsError, LakeError, OSError) as problem:
            raise CommandError(f"the lake cannot be read: {problem}") from problem
        except KeyboardInterrupt:
            raise CommandError(
                "stopped; run the same command again to go on", returncode=INTERRUPTED
            ) from None
        for words in reader.left_out_words():
            self.stderr.write(f"left out, because it is damaged: {words}")

    def _fill(self, reader: LakeReader, found: list[Hour], symbols: list[str]) -> None:
        read = new = skipped = 0
        with _bar(len(found)) as bar:
            for filled in fill(services.own(), reader, found, symbols):
                read, new, skipped = read + filled.read, new + filled.new, skipped + filled.skipped
                bar.set_postfix(rows=read, new=new)
                bar.update()
        self.stdout.write(
            f"{read} rows read, {new} of them new, in {len(found) - skipped} hours of a table; "
            f"{skipped} hours were filled before"
        )

    def _compare(self, reader: LakeReader, found: list[Hour], symbols: list[str]) -> None:
        differing = 0
        with _bar(len(found)) as bar:
            for hour in found:
                each = compare(services.own(), reader, hour, symbols)
                bar.update()
                differs = bool(each.only_lake or each.only_store)
                differing += differs
                self.stdout.write(
                    f"{hour.table} {shown_time(hour.start_us)}: {each.rows} rows in the lake, "
                    f"{each.only_lake} only there, {each.only_store} only in the store"
                )
        if differing:
            raise CommandError(f"{differing} of {len(found)} hours differ")

    @staticmethod
    def _symbols(reader: LakeReader, text: str | None) -> list[str]:
        if text is None:
            return []
        names = [name.strip() for name in text.split(",")]
        if not all(names):
            raise CommandError("--symbols: one of them is empty; leave the option out for every symbol")
        config = load_config()
        return sorted({symbol_named(config, reader, name) for name in names})

    @staticmethod
    def _range(from_us: int | None, to_us: int | None) -> tuple[int, int]:
        now_us = time.time_ns() // 1000
        kept_from_us = now_us - min(services.kept_days()[table] for table in SOURCES) * DAY_US
        start_us = max(from_us or 0, kept_from_us)
        end_us = min(to_us or now_us, now_us)
        if start_us >= end_us:
            raise CommandError(
                f"--to: {shown_time(end_us)} is not after {shown_time(start_us)}; the store keeps rows from "
                f"{shown_time(kept_from_us)} on (admin, Store settings)"
            )
        return start_us, end_us


def _time(text: str | None, option: str) -> int | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError as problem:
        raise CommandError(f"{option}: {problem}") from None


def _bar(total: int) -> Any:
    return tqdm(total=total, unit="h", file=sys.stderr, disable=None, leave=False)
