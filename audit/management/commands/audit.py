"""`manage.py audit verify | export | retain`."""

import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.chain import LEAST_DAYS, retain, verify
from audit.reading import Wanted, chunks, csv_header, csv_lines, ndjson
from audit.recording import record

EVERYTHING = sys.maxsize


class Command(BaseCommand):
    """Looks after the audit."""

    help = (
        "verify: check that nothing of the audit was changed or removed. export: write entries to standard "
        "output, newest first. retain: remove entries older than --days, which is recorded itself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the three."""
        commands = parser.add_subparsers(dest="what", required=True, metavar="verify|export|retain")
        check = commands.add_parser("verify", help="check the chain of entries")
        check.add_argument(
            "--expect", default="", metavar="NUMBER:DIGEST", help="a last link that an earlier run printed"
        )
        export = commands.add_parser("export", help="write entries to standard output")
        export.add_argument("--format", choices=("ndjson", "csv"), default="ndjson")
        export.add_argument("--kind", default="", help="only of this kind, like sign_in")
        export.add_argument("--user", default="", help="only by this user, by name or number")
        export.add_argument("--object", default="", help="only about markets.exchange, or markets.exchange:3")
        export.add_argument("--search", default="", help="only where this is found")
        export.add_argument(
            "--start", type=_time, help="from this time on, like 2026-11-20 or 2026-11-20T12:30"
        )
        export.add_argument("--end", type=_time, help="before this time")
        export.add_argument("--most", type=int, default=EVERYTHING, help="at most so many (default: all)")
        away = commands.add_parser("retain", help="remove what is old")
        away.add_argument(
            "--days", type=int, required=True, help=f"older than so many days go; at least {LEAST_DAYS}"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one of them."""
        getattr(self, f"_{options['what']}")(options)

    def _verify(self, options: dict[str, Any]) -> None:
        verdict = verify(options["expect"])
        for problem in verdict.problems:
            self.stderr.write(problem)
        if verdict.problems:
            raise CommandError("the audit is NOT whole")
        last = verdict.last or "none"
        self.stdout.write(f"The audit is whole: {verdict.count:,} links, the last is {last}")

    def _export(self, options: dict[str, Any]) -> None:
        names = ("kind", "user", "object", "search", "start", "end")
        wanted = Wanted(**{name: options[name] for name in names})
        asked = {name: str(options[name]) for name in names if options[name]}
        record("audit_exported", words="by the command", after=asked)
        is_csv = options["format"] == "csv"
        if is_csv:
            self._write(csv_header())
        for some in chunks(wanted, options["most"]):
            self._write((csv_lines if is_csv else ndjson)(some))

    def _write(self, piece: bytes) -> None:
        self.stdout.write(piece.decode(), ending="")

    def _retain(self, options: dict[str, Any]) -> None:
        try:
            removed = retain(options["days"])
        except ValueError as problem:
            raise CommandError(f"--days: {problem}") from None
        self.stdout.write(f"{removed:,} entries older than {options['days']} days are removed.")


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
