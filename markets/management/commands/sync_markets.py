"""`manage.py sync_markets`."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.names.market_keys import SPOT, SWAP, exchange_of, market_key
from markets.models import Exchange
from markets.sync.symbols import SyncReport, in_words, sync_all

HELP = """\
Asks exchanges for their spot markets and swaps with 24 h volumes and stores them as symbols and instruments.

Running it again changes nothing but what the exchange changed: new instruments are added, delisted
ones become inactive (and collectors unsubscribe them), relisted ones come back. New symbols start
disabled: enable the ones you want in the admin. A worker does the same every hour.

  manage.py sync_markets                              every enabled exchange
  manage.py sync_markets --exchange okx --exchange gate
  manage.py sync_markets --market swap                perpetual swaps only

Exit status 1 when an exchange failed; the others are synced all the same.
"""
COLUMNS = "{:<12} {:>7} {:>6} {:>9} {:>9} {:>8}  {}"


class Command(BaseCommand):
    """Sync the catalogue."""

    help = HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the help text's lines as written."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare --exchange, --market and --allow-shrink."""
        parser.add_argument(
            "--exchange",
            metavar="KEY",
            action="append",
            nargs="+",
            default=[],
            help="sync these only, enabled or not, e.g. binance; default: all that are enabled",
        )
        parser.add_argument(
            "--market", choices=(SPOT, SWAP), help="sync only the spot markets, or only the swaps"
        )
        parser.add_argument(
            "--allow-shrink",
            action="store_true",
            help="believe an exchange that lists less than half of what it listed before",
        )

    def handle(
        self, *args: Any, exchange: list[list[str]], market: str | None, allow_shrink: bool, **options: Any
    ) -> None:
        """Sync, one line per market as it is done."""
        rows = chosen([key for keys in exchange for key in keys])
        markets = [(row.key, name) for row in rows for name in row.markets if market in (None, name)]
        keys = [market_key(key, name) for key, name in markets]
        self.stdout.write(f"Exchanges asked at once: {len(rows)}; a slow one takes up to a minute.")
        self.stdout.write(
            COLUMNS.format("exchange", "listed", "added", "delisted", "relisted", "seconds", "")
        )
        failed = set()
        for report in sync_all(rows, allow_shrink=allow_shrink, keys=keys):
            if report.error:
                failed.add(exchange_of(report.exchange))
            self._show(report)
        if failed:
            raise CommandError(
                f"{len(failed)} of {len(rows)} exchanges failed; their rows stay as they were."
            )

    def _show(self, report: SyncReport) -> None:
        if report.error:
            cells = ["–"] * 4
            remark = self.style.ERROR(f"failed: {report.error}")
        else:
            cells = [str(report.listed)] + [
                str(len(names)) for names in (report.added, report.delisted, report.relisted)
            ]
            remark = "" if report.revision is None else f"collectors follow: revision {report.revision}"
        self.stdout.write(COLUMNS.format(report.exchange, *cells, f"{report.seconds:.1f}", remark).rstrip())
        for word, names in report.news().items():
            self.stdout.write(f"             {word}: {in_words(names)}")
        for problem in report.problems:
            self.stdout.write(self.style.WARNING(f"             in part: {problem}"))
        if report.twice:
            self.stdout.write(f"             of one name: {in_words(report.twice)}")
        if report.skipped:
            self.stdout.write(f"             skipped: {report.skipped} whose names this desk cannot hold")


def chosen(keys: list[str]) -> list[Exchange]:
    """The exchanges named, or all that are enabled; raises CommandError naming what is not known."""
    if not keys:
        rows = list(Exchange.objects.filter(enabled=True))
        if not rows:
            raise CommandError("No exchange is enabled: run `manage.py seed`, or enable one in the admin.")
        return rows
    rows = list(Exchange.objects.filter(key__in=keys))
    if unknown := sorted(set(keys) - {row.key for row in rows}):
        known = ", ".join(Exchange.objects.values_list("key", flat=True)) or "none yet, run `manage.py seed`"
        raise CommandError(f"--exchange: no exchange called {', '.join(unknown)}. Known: {known}.")
    return rows
