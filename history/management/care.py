"""Base of the commands that maintain the lake."""

from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.defaultfilters import filesizeformat
from tqdm import tqdm

from history.lake.schema import SCHEMAS
from history.lake.tables import Lake
from history.maintenance.runs import TableBusyError
from history.models import Kind, MaintenanceRun, State
from history.services import look_after, steps_of


class CareCommand(BaseCommand):
    """Does `kinds` of maintenance, one after the other, on the tables asked for."""

    kinds: ClassVar[Sequence[Kind]]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the help text's lines as written."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare --table and --dry-run."""
        parser.add_argument(
            "--table", nargs="+", metavar="NAME", choices=list(SCHEMAS), default=list(SCHEMAS),
            help=f"these tables only, of {', '.join(SCHEMAS)}; default: all",
        )  # fmt: skip
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, table: list[str], dry_run: bool, **options: Any) -> None:
        """Run, and print one line per table and kind."""
        lake = Lake.from_settings()
        self.stdout.write(f"The lake at {lake.url}")
        work = [(kind, name) for kind in self.kinds for name in dict.fromkeys(table)]
        if dry_run:
            for kind, name in work:
                self._say_what_would_be_done(kind, lake, name)
            return
        failed = sum(not self._do(kind, lake, name) for kind, name in work)
        if failed:
            raise CommandError(f"{failed} of {len(work)} did not succeed; run it again for those.")

    def _say_what_would_be_done(self, kind: Kind, lake: Lake, table: str) -> None:
        steps = steps_of(kind, lake, table)
        self.stdout.write(f"{table}: would {kind.label}: {len(steps) or 'nothing to do'}")
        for step in steps:
            self.stdout.write(f"    {step.label}")

    def _do(self, kind: Kind, lake: Lake, table: str) -> bool:
        """Whether it succeeded; says what was done."""
        with tqdm(desc=f"{table}: {kind.label}", file=self.stderr, leave=False, disable=None) as bar:

            def progress(label: str, number: int, count: int) -> None:
                bar.total, bar.n = count, number - 1
                bar.set_postfix_str(label)

            try:
                run = look_after(kind, lake, table, progress=progress)
            except TableBusyError as busy:
                self.stdout.write(self.style.ERROR(f"{table}: {busy}"))
                return False
        self.stdout.write(summary(run))
        return run.state == State.DONE


def summary(run: MaintenanceRun) -> str:
    """Result of a run, in a line: `quotes: compact: done; 3,600 files of 100 MB became 1 of 52 MB …`."""
    words = [f"{run.table}: {run.get_kind_display()}: {run.get_state_display()}"]
    if run.files_after is not None and run.bytes_after is not None:
        before = f"{run.files_before:,} files of {filesizeformat(run.bytes_before)}"
        after = f"{run.files_after:,} of {filesizeformat(run.bytes_after)}"
        words.append(f"{before} are now {after}" if before != after else f"{before}")
    if run.rows:
        words.append(f"{run.rows:,} rows")
    words.extend(filter(None, (run.remark, run.error)))
    return "; ".join(words).replace("\xa0", " ")
