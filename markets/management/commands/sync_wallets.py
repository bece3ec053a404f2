"""`manage.py sync_wallets`."""

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from markets.management.commands.sync_markets import chosen
from markets.sync.symbols import in_words
from markets.sync.wallets import WalletReport, sync_all

HELP = """\
Asks exchanges which coins they take in and pay out now, over which networks, and stores the answers.

An opportunity needs the coin to leave one exchange and to reach the other: the gate check “wallets”
refuses a closed wallet, and shows one of which nothing is known as unknown. Gate, KuCoin and Bitget
answer everybody. The others answer only with an API key: make one that may read and nothing else,
and put it into the environment or .env as EXCHANGE_KEYS_BINANCE=KEY:SECRET (KEY:SECRET:PASSPHRASE
where there is one).

A worker does the same every 15 minutes. What an exchange that fails said more than an hour ago is
forgotten: unknown.

  manage.py sync_wallets                              every enabled exchange
  manage.py sync_wallets --exchange okx --exchange gate

Exit status 1 when an exchange failed; the others are synced all the same.
"""
COLUMNS = "{:<10} {:>7} {:>9} {:>7} {:>8} {:>8}  {}"


class Command(BaseCommand):
    """Sync the wallets."""

    help = HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the help text's lines as written."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare --exchange."""
        parser.add_argument(
            "--exchange",
            metavar="KEY",
            action="append",
            nargs="+",
            default=[],
            help="ask these only, enabled or not, e.g. gate; default: all that are enabled",
        )

    def handle(self, *args: Any, exchange: list[list[str]], **options: Any) -> None:
        """Sync, one line per exchange as it is done."""
        rows = chosen([key for keys in exchange for key in keys])
        self.stdout.write(f"Exchanges asked at once: {len(rows)}; a slow one takes up to a minute.")
        self.stdout.write(COLUMNS.format("exchange", "coins", "networks", "closed", "changed", "seconds", ""))
        failed = 0
        for report in sync_all(rows):
            failed += bool(report.error)
            self._show(report)
        if failed:
            raise CommandError(f"{failed} of {len(rows)} exchanges failed.")

    def _show(self, report: WalletReport) -> None:
        cells = [str(n) for n in (report.coins, report.networks, report.closed, len(report.changed))]
        if report.error:
            cells, remark = ["–"] * 4, self.style.ERROR(f"failed: {report.error}")
        elif not report.networks:
            remark = f"unknown: it answers nobody without a key (EXCHANGE_KEYS_{report.exchange.upper()})"
        else:
            remark = "" if report.revision is None else f"collectors follow: revision {report.revision}"
        self.stdout.write(COLUMNS.format(report.exchange, *cells, f"{report.seconds:.1f}", remark).rstrip())
        if report.changed:
            self.stdout.write(f"           {in_words(report.changed)}")
        if report.problem:
            self.stdout.write(self.style.WARNING(f"           in part: {report.problem}"))
        if report.remarks:
            self.stdout.write(f"           of one name: {in_words(report.remarks)}")
