"""`manage.py import_lake`: the predecessor's files into the lake."""

import datetime
import json
from argparse import RawDescriptionHelpFormatter
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from deltalake.exceptions import DeltaError
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from history.imports.importing import Fate, Importer, Outcome
from history.imports.old_files import OldFile, find
from history.imports.old_names import Names
from history.lake.tables import Lake, partition_of
from history.maintenance.retention import keeps_from
from history.models import RetentionPolicy
from history.write.appending import STORE_ERRORS

INTERRUPTED = 130
_SHOWN = 10
_LAYOUT = "exchange=E/symbol=S/date=YYYY-MM-DD/hour=HH/{spreads,trades}-*.parquet"

EXAMPLE = f"""\
examples:
  manage.py import_lake /data/old --dry-run
      read everything and say what would be imported
  manage.py import_lake /data/old
      import it; interrupted or run again, it goes on and imports nothing twice

Files are {_LAYOUT}.
Their spreads are quotes without sizes; trades are trades. Files that cannot be read are left where they
are and listed in the report, and the exit code is 1. docs/replay.md says more.
"""


class Command(BaseCommand):
    """Imports a folder."""

    help = "Bring the predecessor's recorded files into the lake."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The examples keep their lines."""
        return super().create_parser(
            prog_name, subcommand, formatter_class=RawDescriptionHelpFormatter, epilog=EXAMPLE, **kwargs
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """DIR [--dry-run] [--report FILE]."""
        parser.add_argument("folder", type=Path, metavar="DIR", help="where the files lie, at any depth")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, write nothing")
        parser.add_argument(
            "--report", type=Path, metavar="FILE", default=Path(settings.HOME) / "import_lake.ndjson",
            help="a JSON line per file that is not imported (default: %(default)s)",
        )  # fmt: skip

    def handle(self, *, folder: Path, dry_run: bool, report: Path, **options: Any) -> None:
        """Import; exit code 1 when a file is quarantined, 130 when interrupted."""
        lake = Lake.from_settings()
        files = self._find(folder)
        self.stdout.write(f"{len(files)} files {'for' if dry_run else 'into'} the lake at {lake.url}")
        outcomes: list[Outcome] = []
        try:
            for outcome in _with_progress(Importer(lake, Names(), dry_run=dry_run).run(files), files):
                outcomes.append(outcome)
        except KeyboardInterrupt:
            done = sum(outcome.fate is Fate.IMPORTED for outcome in outcomes)
            raise CommandError(
                f"stopped after {done} files; run the same command again to go on", returncode=INTERRUPTED
            ) from None
        except (*STORE_ERRORS, DeltaError) as error:
            raise CommandError(f"cannot write to the lake at {lake.url}: {error}") from error
        self._print(outcomes, dry_run)
        self._warn_of_retention(outcomes)
        self._report([o for o in outcomes if o.problem], report)

    def _find(self, folder: Path) -> list[OldFile]:
        try:
            files, others = find(folder)
        except OSError as error:
            raise CommandError(f"cannot read {error.filename}: {error.strerror}") from error
        if not files:
            raise CommandError(f"{folder}: there is no {_LAYOUT} in it")
        if others:
            self.stderr.write(f"Passed over, not in the layout: {_some(map(str, others))}")
        return files

    def _print(self, outcomes: list[Outcome], dry_run: bool) -> None:
        for table in sorted({outcome.file.table for outcome in outcomes}):
            of_table = [outcome for outcome in outcomes if outcome.file.table == table]
            fates = Counter(outcome.fate for outcome in of_table)
            rows, left_out = sum(o.rows for o in of_table), sum(o.left_out for o in of_table)
            verb = "would be imported" if dry_run else "imported"
            line = f"{table}: {rows} rows of {fates[Fate.IMPORTED]} files {verb}"
            rest = [
                f"{fates[fate]} files {fate}" for fate in Fate if fate is not Fate.IMPORTED and fates[fate]
            ]
            if left_out:
                rest.append(f"{left_out} rows left out, without a time or price that can be")
            self.stdout.write("; ".join([line, *rest]))
            if table == "quotes" and rows:
                self.stdout.write(
                    "They have no sizes: charts are complete, but a replay opens no opportunity on "
                    "them unless it is given --assume-size AMOUNT."
                )

    def _warn_of_retention(self, outcomes: list[Outcome]) -> None:
        """Old rows may be older than what is kept: they would be gone tomorrow."""
        oldest: defaultdict[str, list[int]] = defaultdict(list)
        for outcome in outcomes:
            if outcome.oldest_us is not None:
                oldest[outcome.file.table].append(outcome.oldest_us)
        today = datetime.datetime.now(datetime.UTC).date()
        for policy in RetentionPolicy.objects.filter(table__in=oldest, days__isnull=False):
            date, _hour = partition_of(min(oldest[policy.table]))
            if date < keeps_from(policy.days or 0, today):
                self.stderr.write(
                    f"{policy.table}: rows from {date} on, but only {policy.days} days are kept: the next "
                    f"daily cleaning deletes what is older. Raise or empty “days kept” of {policy.table} "
                    f"in the admin before."
                )

    def _report(self, problems: list[Outcome], report: Path) -> None:
        if not problems:
            return
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text("".join(_line(outcome) for outcome in problems))
        for outcome in problems[:_SHOWN]:
            self.stderr.write(f"{outcome.fate}: {outcome.file.name}: {outcome.problem}")
        said = f"{len(problems)} files were not imported; {report} lists them with the reasons"
        if any(outcome.fate is Fate.QUARANTINED for outcome in problems):
            raise CommandError(said)
        self.stderr.write(said)


def _with_progress(outcomes: Iterator[Outcome], files: list[OldFile]) -> Iterator[Outcome]:
    """Bytes read on stderr, where that is a terminal."""
    with tqdm(total=sum(map(_size, files)), unit="B", unit_scale=True, disable=None) as progress:
        for outcome in outcomes:
            progress.update(_size(outcome.file))
            yield outcome


def _size(file: OldFile) -> int:
    with suppress(OSError):  # gone meanwhile: reading it says so
        return file.path.stat().st_size
    return 0


def _some(names: Iterable[str]) -> str:
    all_names = list(names)
    rest = len(all_names) - _SHOWN
    return ", ".join(all_names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _line(outcome: Outcome) -> str:
    what = {"fate": outcome.fate, "file": str(outcome.file.path), "problem": outcome.problem}
    return json.dumps(what, ensure_ascii=False) + "\n"
