"""Beginning of a table of the lake: the first entry of its Delta log.

Written here, because the library lets two writers both begin, and because a collector, which may have to
begin a table, shall not load the library for it.
"""

import time
import uuid
from typing import Any, Final

import msgspec
import pyarrow as pa

from history.lake.entries import sealed
from history.lake.schema import PARTITIONS, SCHEMA_VERSION, SCHEMAS

WRITER_VERSION: Final = 2
"""The Delta protocol's, of what is written here."""

_READER_VERSION: Final = 1
_CONFIGURATION: Final = {
    "delta.checkpointInterval": "100",
    # A commit per second leaves 3,600 log entries and as many removed files an hour: with the defaults
    # (a month, a week) every checkpoint would carry millions. Readers need neither beyond their query.
    "delta.logRetentionDuration": "interval 2 hours",
    "delta.deletedFileRetentionDuration": "interval 2 hours",
}
DELTA_TYPES: Final = {
    pa.string(): "string",
    pa.float64(): "double",
    pa.int64(): "long",
    pa.int32(): "integer",
}


def first_entry(table: str) -> bytes:
    """The log entry that makes an empty table."""
    now_ms = time.time_ns() // 1_000_000
    actions: list[dict[str, Any]] = [
        {"protocol": {"minReaderVersion": _READER_VERSION, "minWriterVersion": WRITER_VERSION}},
        {
            "metaData": {
                "id": str(uuid.uuid4()),
                "format": {"provider": "parquet", "options": {}},
                "schemaString": _delta_schema(SCHEMAS[table]),
                "partitionColumns": list(PARTITIONS),
                "createdTime": now_ms,
                "configuration": _CONFIGURATION,
            }
        },
    ]
    return sealed({"operation": "CREATE TABLE", "schema_version": str(SCHEMA_VERSION)}, actions)


def _delta_schema(schema: pa.Schema) -> str:
    fields = [
        {"name": field.name, "type": DELTA_TYPES[field.type], "nullable": field.nullable, "metadata": {}}
        for field in schema
    ]
    return msgspec.json.encode({"type": "struct", "fields": fields}).decode()
