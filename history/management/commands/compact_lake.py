"""`manage.py compact_lake`."""

from history.management.care import CareCommand
from history.models import Kind

HELP = """\
Turns the many small files of hours that are over into few, sorted by symbol, exchange and time.

Collectors may go on writing and pages and researchers reading: each row is seen exactly once, before
and after. Hours that are compacted already are skipped, so a run that was stopped goes on where it
ended. Memory stays below 500 MB, however large an hour is. A worker does the same every ten minutes.

  manage.py compact_lake                            every table
  manage.py compact_lake --table quotes trades
  manage.py compact_lake --dry-run                  says what would be done

Files that were replaced stay on disk for two hours, for readers that opened the table before.
Exit status 1 when a table failed or was busy; the others are compacted all the same.
"""


class Command(CareCommand):
    """Compact the lake."""

    help = HELP
    kinds = (Kind.COMPACT,)
