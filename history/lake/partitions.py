"""Partitions of rows: a table's `date` and `hour` are those of its clock column, UTC."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from history.lake.schema import CLOCK
from history.lake.tables import partition_of

HOUR_US: Final = 3_600_000_000


def by_partition(rows: pa.Table, table: str) -> Iterator[tuple[str, int, pa.Table]]:
    """Date, hour and rows of each partition that rows fall into, oldest first, order kept within."""
    hours = rows[CLOCK[table]].to_numpy() // HOUR_US
    found = np.unique(hours).tolist()
    for each in found:
        part = rows if len(found) == 1 else rows.filter(pa.array(hours == each))
        yield (*partition_of(each * HOUR_US), part)
