"""Writing a file of a table so that it survives the host: nothing refers to what may still be lost.

An object store has what it acknowledged. A local file system has it some seconds later: after a power cut a
file is there by name, empty or full of zeros. So a file is synced, then its directories, and only then what
refers to it is written. A log entry cut in between was never acknowledged (see `history.lake.mending`).
"""

import os
from typing import Final

from history.lake.tables import Lake

_LEVELS: Final = 3
"""A file's own directory, and those that may have been made for it: `date=…/hour=…` below the table."""


def put(lake: Lake, table: str, path: str, content: bytes, *, create: bool = False) -> None:
    """Store a file of a table for good.

    Raises AlreadyExistsError with `create` when the path is taken, OSError or obstore's when the store fails.
    """
    lake.store(table).put(path, content, mode="create" if create else "overwrite", use_multipart=False)
    sync(lake, table, path)


def sync(lake: Lake, table: str, path: str) -> None:
    """Sync a written file and its name to the disk; nothing to do in an object store."""
    if lake.is_remote:
        return
    where = f"{lake.uri(table)}/{path}"
    for _ in range(_LEVELS + 1):
        _sync(where)
        where = os.path.dirname(where)


def _sync(where: str) -> None:
    number = os.open(where, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
