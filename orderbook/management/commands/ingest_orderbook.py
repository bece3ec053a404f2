"""`manage.py ingest_orderbook`: a collector process whose only sink is the store."""

import logging
from argparse import RawDescriptionHelpFormatter
from functools import partial
from typing import Any

import uvloop
from django.core.management.base import BaseCommand, CommandError, CommandParser
from msgspec import structs

from collectors.management.commands.collect import collect, exchanges_of, shard_of
from core.names.market_keys import coin_symbol
from core.names.symbols import hints, matcher, problems
from markets.config import MarketConfig
from markets.selectors import load_config
from orderbook.ingest import wanted
from orderbook.ingest.sink import IngestSink
from orderbook.ingest.turn import ROLE

logger = logging.getLogger(__name__)

ABOUT = """\
Writes quotes, trades and order books of the enabled exchanges into PostgreSQL, schema marketdata, until
SIGTERM or Ctrl-C. It opens sockets of its own, so that the collectors have nothing to do with it. What is
written, and in which batches, is in the admin, Order books > Store settings, and followed while running;
"enabled" there is about the collectors, this command writes either way.

While the database is away batches wait on disk (STORE_SPILL_DIR, at most as many megabytes as the settings
say) and are written in their order once it is back. A shard is written by one process at a time: another one,
or a collector where the store is enabled, stands by until the first one ends.

  manage.py ingest_orderbook                              all symbols that are collected
  manage.py ingest_orderbook --symbols 'BTC/* ETH/USDT'   of these only the ones named, swaps too
  manage.py ingest_orderbook --symbols '* !*3L/* !*3S/*'  all but some
  manage.py ingest_orderbook --shard 1/2                  one of two processes that share the work
"""


class Command(BaseCommand):
    """Writes into the store until SIGTERM or SIGINT."""

    help = ABOUT

    def create_parser(self, *args: Any, **kwargs: Any) -> CommandParser:
        """Keep the lines of the examples."""
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--symbols", default="", metavar="NAMES",
            help="names and patterns as in a filter, separated by spaces or commas; ! in front excludes "
            "(default: all that the settings name)",
        )  # fmt: skip
        parser.add_argument(
            "--shard", default="1/1", metavar="I/N",
            help="write the I-th of N parts of the symbols, for example 1/4 (default: 1/1, all of them)",
        )  # fmt: skip
        parser.add_argument(
            "--exchanges", default="", metavar="KEYS",
            help="only these, separated by commas (default: all enabled ones)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        """Write; raises CommandError when an option is wrong, or another process took the shard over."""
        shard, exchanges = shard_of(options["shard"]), exchanges_of(options["exchanges"])
        names = options["symbols"]
        if wrong := [*problems(names), *hints(names)]:
            raise CommandError(f"--symbols: {'; '.join(wrong)}")
        of = f" of {names}" if names else ""
        self.stderr.write(f"Writing shard {shard}{of} into the store. Stop with Ctrl-C.")
        uvloop.run(collect([IngestSink], shard, exchanges, ROLE, partial(_load, names)))


def _load(names: str) -> MarketConfig:
    """Load what of the configuration is to be stored; what only charts and the scanner need is left out."""
    config, named, stored = load_config(), matcher(names), wanted.read()
    kept = frozenset(
        each
        for each in config.instruments
        if (named.match(coin_symbol(each.symbol)) or named.match(each.symbol)) and stored.names(each.symbol)
    )
    if not kept:
        logger.warning(
            "none of the %d instruments that are collected is named by --symbols (%s) and by the store "
            "settings (%s): nothing is written until one is",
            len(config.instruments), names or "all", stored.symbols or "all",
        )  # fmt: skip
    return structs.replace(config, instruments=kept, opportunities=(), listings=(), pairs=(), wallets={})
