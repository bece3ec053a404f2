"""`manage.py retain_lake`."""

from history.management.care import CareCommand
from history.models import Kind

HELP = """\
Deletes the days that the lake's tables need not keep, for good, then files and log nobody needs.

How many days a table keeps stands in the admin under "Lake tables"; an empty number keeps everything.
Whole days (UTC) go, never part of one. Collectors may go on writing and readers reading: files that
left a table stay on disk for two hours. A worker does the same every day.

  manage.py retain_lake --dry-run                   says what would be deleted
  manage.py retain_lake                             every table
  manage.py retain_lake --table quotes trades

Exit status 1 when a table failed or was busy; the others are done all the same.
"""


class Command(CareCommand):
    """Apply the retention, then clean up."""

    help = HELP
    kinds = (Kind.RETAIN, Kind.CLEAN)
