"""Writing sorted rows as Parquet so that statistics prune."""

import io
import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq
from obstore import open_writer
from obstore.store import ObjectStore

from history.lake.parquet import delta_stats, encoding, file_schema
from history.lake.schema import SORT_ORDER

ROW_GROUP_ROWS: Final = 122_880
MIN_ROW_GROUP_ROWS: Final = 32_768


class _Output(io.RawIOBase):
    """A new object of the store as the file that pyarrow writes to; it is there once closed."""

    def __init__(self, store: ObjectStore, path: str) -> None:
        self._writer = open_writer(store, path)
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        count = self._writer.write(bytes(data))
        self.size += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._writer.close()
        super().close()


class SortedFile:
    """One Parquet file of a table being written, rows in the table's order."""

    def __init__(self, table: str, store: ObjectStore, path: str) -> None:
        self.path = path
        self.rows = 0
        self.bytes = 0
        self.stats = ""  # as an `add` action has them; once closed
        self._names = SORT_ORDER[table][:-1]
        self._schema = file_schema(table)
        self._metadata: list[pq.FileMetaData] = []
        self._output = _Output(store, path)
        self._writer = pq.ParquetWriter(
            self._output, self._schema, metadata_collector=self._metadata, **encoding(self._schema)
        )

    def write(self, rows: pl.DataFrame) -> None:
        """Add sorted rows; a row group ends with a name where that leaves it large enough."""
        arrow, start = rows.select(self._schema.names).to_arrow().cast(self._schema), 0
        for length in row_groups(self._runs(rows)):
            self._writer.write_table(arrow.slice(start, length), row_group_size=_even(length))
            start += length
        self.rows += len(rows)

    def _runs(self, rows: pl.DataFrame) -> list[int]:
        """Lengths of the stretches of one name each."""
        begins = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in self._names)
        starts = rows.select(begins.arg_true()).to_series().to_list()
        return [end - start for start, end in pairwise([*starts, len(rows)])]

    def close(self) -> None:
        """End the file; `bytes` and `stats` are known from then on."""
        self._writer.close()
        self._output.close()
        self.bytes = self._output.size
        self.stats = delta_stats(self._metadata[0])


def row_groups(runs: Iterable[int]) -> list[int]:
    """Rows of each row group, for `runs` of rows of one name each.

    Groups end where a name ends, so that reading one name reads little else, unless that would make
    them smaller than MIN_ROW_GROUP_ROWS, where compression suffers and footers grow.
    """
    groups = [0]
    for run in runs:
        if groups[-1] >= MIN_ROW_GROUP_ROWS:
            groups.append(0)
        groups[-1] += run
    if len(groups) > 1 and groups[-1] < MIN_ROW_GROUP_ROWS:
        groups[-2:] = [groups[-2] + groups[-1]]
    return groups


def _even(rows: int) -> int:
    """The size of the fewest equal parts of at most ROW_GROUP_ROWS."""
    return math.ceil(rows / max(1, math.ceil(rows / ROW_GROUP_ROWS)))
