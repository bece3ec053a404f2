"""How large the lake is, what of it is damaged, and how full the disk under it is."""

import shutil
from collections.abc import Iterator, Mapping

from django.conf import settings
from django.utils import timezone
from msgspec import Struct


class LakeTable(Struct, frozen=True):
    """A table of the lake, by its log; `bytes_per_day` is the mean of the last whole days."""

    table: str
    files: int
    rows: int
    bytes: int
    newest_us: int | None = None
    oldest_us: int | None = None
    keep_days: int | None = None  # by its policy; None: for ever, or unknown
    bytes_per_day: int | None = None
    damaged: tuple[str, ...] = ()  # `_delta_log/…7.json: it is empty`, the newest first
    damaged_us: int = 0  # when the newest was found


class Disk(Struct, frozen=True):
    """The file system under the lake; there is none under an object store."""

    total_bytes: int
    free_bytes: int


def lake_tables(keep_days: Mapping[str, int | None], missing: list[str]) -> Iterator[LakeTable]:
    """Every table; what cannot be read is named in `missing`. Blocks for up to seconds."""
    # The lake's libraries weigh 70 MB: only the process that measures loads them.
    from deltalake.exceptions import DeltaError

    from history.lake.inventory import files_of, size_of
    from history.lake.quarantine import notes
    from history.lake.schema import SCHEMAS
    from history.lake.tables import Lake
    from history.write.appending import STORE_ERRORS

    lake, today = Lake.from_settings(), timezone.now().date()
    for table in SCHEMAS:
        try:
            size = size_of(files_of(lake, table), today)
            found = notes(lake, table)
        except (DeltaError, *STORE_ERRORS) as error:
            missing.append(f"lake table {table}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
            continue
        yield LakeTable(
            table,
            size.files,
            size.rows,
            size.bytes,
            size.newest_us,
            size.oldest_us,
            keep_days=keep_days.get(table),
            bytes_per_day=size.bytes_per_day,
            damaged=tuple(dict.fromkeys(f"{note.file}: {note.what}" for note in found)),
            damaged_us=found[0].at_us if found else 0,
        )


def lake_disk(missing: list[str]) -> Disk | None:
    """The disk under the lake; None where there is none. What cannot be read is named in `missing`."""
    if "://" in settings.LAKE_URL:
        return None
    try:
        usage = shutil.disk_usage(settings.LAKE_URL)
    except FileNotFoundError:  # nothing was written yet
        return None
    except OSError as error:
        missing.append(f"the disk under the lake: {type(error).__name__}")
        return None
    return Disk(usage.total, usage.free)
