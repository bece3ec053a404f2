"""Check every feature for look-ahead and for equal values in training and live, on your data or made ones."""

import random
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from psycopg.conninfo import make_conninfo

from orderbook.ml.adapters.opened import opened
from orderbook.ml.checking import check, loaded_of
from orderbook.ml.errors import BarsBehindError, StoreUnreadableError, UnknownSymbolError
from orderbook.ml.grid import Loaded
from orderbook.ml.made import made

HOURS: Final = 5
"""An hour's rows, the three before that they look back to, and one that may have begun in its middle."""

_CONNECTION: Final = ("host", "port", "user", "password", "dbname")


class Command(BaseCommand):
    """Without symbols the data are made; with symbols they are the newest hours of the store."""

    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("symbols", nargs="*", help="such as BTC/USDT; none: made data")
        parser.add_argument("--dsn", help="another database, or a lake; else the desk's database")
        parser.add_argument(
            "--cuts", type=int, default=20, help="moments at which the data are cut, 1 or more (20)"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Check, and say for each feature that breaks where it does first."""
        if options["cuts"] < 1:
            raise CommandError(f"--cuts: {options['cuts']} checks nothing; 1 is the least")
        if options["dsn"] and not options["symbols"]:
            raise CommandError("--dsn: name symbols, too, such as BTC/USDT; without them the data are made")
        try:
            whole = loaded_of(
                _stored(options["dsn"] or _dsn(), options["symbols"]) if options["symbols"] else made()
            )
        except (StoreUnreadableError, UnknownSymbolError, BarsBehindError) as error:
            raise CommandError(str(error)) from error
        if whole.bars.is_empty():
            raise CommandError("symbols: the store has no second bars of them")
        chance = random.Random(0)  # noqa: S311  # nosec B311 # moments, no secrets
        seconds = (whole.end - whole.start) // timedelta(seconds=1)
        cuts = sorted(
            whole.start + timedelta(seconds=chance.randrange(1, seconds)) for _ in range(options["cuts"])
        )
        broken = {each.feature: each for each in reversed(list(check(whole, cuts)))}
        for each in broken.values():
            self.stderr.write(str(each))
        if broken:
            raise CommandError(f"{len(broken)} features look ahead or depend on more than they say")
        self.stdout.write(
            f"Every feature is the same in training and live, and none looks ahead: {len(whole.bars)} second "
            f"bars from {whole.start:%Y-%m-%d %H:%M:%S} UTC on, cut at {len(cuts)} moments."
        )


def _stored(dsn: str, symbols: list[str]) -> Loaded:
    """The newest hours that the store has of these symbols."""
    adapter = opened(dsn)
    try:
        now = datetime.now(UTC)
        keys = adapter.keys(symbols, datetime(2000, 1, 1, tzinfo=UTC), now)
        end = (adapter.newest(keys) or now) + timedelta(seconds=1)
        start = end - timedelta(hours=HOURS)
        bars, depth = adapter.bars(keys, start, end), adapter.depth(keys, start, end)
        return Loaded(keys, bars, depth, bars.clear(), start, end)
    finally:
        adapter.close()


def _dsn() -> str:
    known = connection.get_connection_params()
    return make_conninfo(**{name: known[name] for name in _CONNECTION if known.get(name)})
