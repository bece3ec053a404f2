"""The lake's Parquet files: their columns, how they are encoded, and what Delta's log says about one."""

import json
import math
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from history.lake.schema import PARTITIONS, SCHEMAS, TIME_COLUMNS


@cache
def file_schema(table: str) -> pa.Schema:
    """A table's columns as they are in its files: without those of the partition."""
    schema = SCHEMAS[table]
    columns = [column for column in schema if column.name not in PARTITIONS]
    return pa.schema(columns, metadata=schema.metadata)


def encoding(schema: pa.Schema) -> dict[str, Any]:
    """zstd, times as deltas, the rest as dictionaries: smaller and faster than pyarrow's defaults."""
    times = [name for name in schema.names if name in TIME_COLUMNS]
    return {
        "compression": "zstd",
        "compression_level": 3,
        "use_dictionary": [name for name in schema.names if name not in times],
        "column_encoding": dict.fromkeys(times, "DELTA_BINARY_PACKED"),
        "write_page_checksum": True,
    }


def damage(file: Any) -> str:
    """Damage of a Parquet file, all of whose pages are checked against their checksums; empty: none.

    `file` is a path or a buffer. What was written without checksums is only read.
    """
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            for group in range(parquet.num_row_groups):
                parquet.read_row_group(group)
    except (pa.ArrowException, OSError, ValueError) as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    return ""


def delta_stats(metadata: pq.FileMetaData) -> str:
    """A file's statistics as JSON, in the form of the Delta protocol's per-file statistics."""
    columns: dict[str, list[pq.ColumnChunkMetaData]] = {}
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            columns.setdefault(column.path_in_schema, []).append(column)
    known = {
        name: [chunk.statistics for chunk in chunks]
        for name, chunks in columns.items()
        if all(chunk.is_stats_set for chunk in chunks)
    }
    ranges = {name: bounds for name, stats in known.items() if (bounds := _bounds(stats))}
    return json.dumps(
        {
            "numRecords": metadata.num_rows,
            "minValues": {name: low for name, (low, _) in ranges.items()},
            "maxValues": {name: high for name, (_, high) in ranges.items()},
            "nullCount": {name: sum(s.null_count for s in stats) for name, stats in known.items()},
        }
    )


def _bounds(stats: list[pq.Statistics]) -> tuple[Any, Any] | None:
    """Smallest and largest value; None where a row group does not say, or says what JSON cannot."""
    valued = [s for s in stats if s.has_min_max]
    if not valued or any(not s.has_min_max and s.num_values for s in stats):
        return None
    low, high = min(s.min for s in valued), max(s.max for s in valued)
    finite = not isinstance(low, float) or (math.isfinite(low) and math.isfinite(high))
    return (low, high) if finite else None
