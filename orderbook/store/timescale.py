"""The engine on TimescaleDB: hypertables, continuous aggregates, compression and retention policies.

Raw tables have a chunk per hour, second bars one per day. The bars are continuous aggregates of the same
expressions as the plain engine's; they are materialized only, so that both engines show a bar once it was
rolled up, and not before. TimescaleDB itself knows which seconds a row has changed; `touched` says which
minutes to refresh, and how far the bars are behind.

A chunk is compressed after `COMPRESS_AFTER`. Rows that come for a compressed chunk go to a side table
(`late_…`): inserting them would decompress parts of the chunk for every batch to look for conflicts.
`fold_late` decompresses the chunk once, inserts all that waits for it, and compresses it again.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from psycopg import Connection, sql

from orderbook.store.common import (
    COMMA,
    COMMON,
    columns_and_key,
    create_common,
    create_time_index,
    drop_tables,
    floor,
    insert_new,
    names_of,
    refuse_another,
    runs,
)  # fmt: skip
from orderbook.store.engine import Size
from orderbook.store.tables import KEY, RAW, ROLLUPS, SCHEMA, RawTable, Rollup, named

COMPRESS_AFTER: Final = timedelta(days=7)
_HOUR: Final = timedelta(hours=1)
_DAYS: Final = {**dict.fromkeys(RAW, 30), **dict.fromkeys(ROLLUPS, 90)}  # until the settings are applied


class TimescaleEngine:
    """An `orderbook.store.engine.Engine`."""

    name = "timescale"

    def create(self, connection: Connection[Any]) -> None:
        """Create schema, hypertables, continuous aggregates and policies."""
        refuse_another(connection, "r", "plain")
        create_common(connection)
        for table in RAW.values():
            if not _is_there(connection, table.name):
                _create_raw(connection, table)
        for table in RAW.values():
            if table.rollup and not _is_there(connection, table.rollup.name):
                _create_rollup(connection, table.name, table.rollup)

    def drop(self, connection: Connection[Any]) -> None:
        """Drop the tables with all that is in them; the schema stays."""
        for view in ROLLUPS:
            connection.execute(sql.SQL("DROP MATERIALIZED VIEW {}").format(named(view)))
        drop_tables(connection, (*RAW, *(f"late_{table}" for table in RAW), *COMMON))

    def make_partitions(
        self, _connection: Connection[Any], _table: str, _start: datetime, _end: datetime
    ) -> int:
        """Do nothing: TimescaleDB makes chunks as rows come."""
        return 0

    def insert(self, connection: Connection[Any], table: str, staged: sql.Identifier) -> int:
        """Insert the staged rows that are not there yet, late ones into the side table; returns how many."""
        raw = RAW[table]
        # A recent chunk is not compressed: of most batches nothing is asked.
        hours = connection.execute(_OLD_HOURS.format(staged), [COMPRESS_AFTER - _HOUR]).fetchall()
        if not hours:
            return connection.execute(insert_new(raw, staged)).rowcount
        found = connection.execute(_COMPRESSED, [SCHEMA, table, [hour for (hour,) in hours]]).fetchall()
        compressed = [hour for (hour,) in found]
        rest = sql.SQL("(SELECT * FROM {} WHERE NOT ({}))").format(staged, _IN_HOURS.format(compressed))
        rows = connection.execute(insert_new(raw, sql.SQL("{} AS rest").format(rest))).rowcount
        if compressed:
            late = _LATE.format(
                _late(table), named(table), names_of(raw.types), staged, _IN_HOURS.format(compressed)
            )
            rows += connection.execute(late).rowcount
        return rows

    def roll_up(self, connection: Connection[Any], table: str, minutes: int) -> int:
        """Refresh the second bars of up to `minutes` minutes, oldest first; returns how many minutes.

        Marks go once their minutes are refreshed: what ends in between is done again.
        """
        rollup = RAW[table].rollup
        marks = connection.execute(_MARKS, [table, minutes]).fetchall() if rollup else []
        if rollup is None or not marks:
            return 0
        view = f"{SCHEMA}.{rollup.name}"
        for start, end in runs([minute for minute, _rows in marks]):
            connection.execute("CALL refresh_continuous_aggregate(%s::regclass, %s, %s)", [view, start, end])
        connection.execute(_UNMARK, [[row for _minute, rows in marks for row in rows]])
        return len(marks)

    def fold_late(self, connection: Connection[Any], table: str) -> int:
        """Insert the late rows of the oldest hour that has some, and mark their minutes; returns how many."""
        [(oldest,)] = connection.execute(_OLDEST_LATE.format(_late(table)))
        if oldest is None:
            return 0
        hour = floor(oldest)
        found = connection.execute(_COMPRESSED_CHUNKS, [SCHEMA, table, [hour]]).fetchall()
        for (chunk,) in found:
            connection.execute("SELECT decompress_chunk(%s::regclass)", [chunk])
        fold = _FOLD.format(_late(table), named(table), names_of(RAW[table].types))
        [(moved,)] = connection.execute(fold, {"hour": hour, "table": table})
        for (chunk,) in found:
            connection.execute("SELECT compress_chunk(%s::regclass)", [chunk])
        return int(moved)

    def drop_before(self, connection: Connection[Any], table: str, before: datetime) -> int:
        """Drop the chunks that end by then, and the late rows of that time; returns how many chunks."""
        if table in RAW:
            connection.execute(_DROP_LATE.format(_late(table)), [before])
        return connection.execute(_DROP, [f"{SCHEMA}.{table}", before]).rowcount

    def keep(self, connection: Connection[Any], table: str, days: int, now: datetime) -> int:
        """Set the retention policy's days, and drop at once what it would; returns how many chunks."""
        connection.execute(_KEEP, {"schema": SCHEMA, "table": table, "days": timedelta(days=days)})
        return self.drop_before(connection, table, now - timedelta(days=days))

    def sizes(self, connection: Connection[Any]) -> list[Size]:
        """Sizes of all tables."""
        parts = {name: rest for name, *rest in connection.execute(_PARTS, [SCHEMA])}
        sizes = []
        for table in (*RAW, *ROLLUPS):
            chunks, compressed, oldest, newest, hypertable = parts.get(table, (0, 0, None, None, None))
            late = late_bytes = rows = 0
            [(size,)] = connection.execute("SELECT hypertable_size(%s::regclass)", [f"{SCHEMA}.{table}"])
            if hypertable:
                [(rows,)] = connection.execute("SELECT approximate_row_count(%s::regclass)", [hypertable])
            if table in RAW:
                [(late, late_bytes)] = connection.execute(
                    _LATE_SIZE.format(_late(table)), [f"{SCHEMA}.late_{table}"]
                )
            sizes.append(Size(table, chunks, size + late_bytes, oldest, rows, compressed, late, newest))
        return sizes


def _late(table: str) -> sql.Identifier:
    return named(f"late_{table}")


def _is_there(connection: Connection[Any], table: str) -> bool:
    return connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.{table}"]).fetchone() != (None,)


def _create_raw(connection: Connection[Any], table: RawTable) -> None:
    name, body = f"{SCHEMA}.{table.name}", columns_and_key(table.types, tuple(KEY))
    for each in (named(table.name), _late(table.name)):
        connection.execute(sql.SQL("CREATE TABLE {} ({})").format(each, body))
    connection.execute(_HYPERTABLE, [name])
    create_time_index(connection, table.name, "received_at")
    connection.execute(
        _COLUMNSTORE.format(sql.SQL("TABLE"), named(table.name), sql.Literal("received_at, digest"))
    )
    _add_policies(connection, table.name)


def _create_rollup(connection: Connection[Any], table: str, rollup: Rollup) -> None:
    values = [
        sql.SQL("({})::{} AS {}").format(sql.SQL(value), sql.SQL(type), sql.Identifier(name))
        for name, (type, value) in rollup.values.items()
    ]
    connection.execute(
        _AGGREGATE.format(named(rollup.name), COMMA.join(values), named(table), sql.SQL(rollup.where))
    )
    view = sql.SQL("MATERIALIZED VIEW")
    connection.execute(_COLUMNSTORE.format(view, named(rollup.name), sql.Literal("second")))
    _add_policies(connection, rollup.name)


def _add_policies(connection: Connection[Any], table: str) -> None:
    relation = f"{SCHEMA}.{table}"
    connection.execute("CALL add_columnstore_policy(%s::regclass, after => %s)", [relation, COMPRESS_AFTER])
    keep = [relation, timedelta(days=_DAYS[table]), _HOUR]
    connection.execute("SELECT add_retention_policy(%s::regclass, %s, schedule_interval => %s)", keep)


_HYPERTABLE: Final = (
    "SELECT create_hypertable(%s::regclass, by_range('received_at', interval '1 hour'), "
    "create_default_indexes => false)"
)
_COLUMNSTORE: Final = sql.SQL(
    "ALTER {} {} SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol_id', "
    "timescaledb.orderby = {})"
)
_AGGREGATE: Final = sql.SQL(
    "CREATE MATERIALIZED VIEW {} WITH (timescaledb.continuous, timescaledb.materialized_only = true, "
    "timescaledb.chunk_interval = '1 day') AS "
    "SELECT symbol_id, time_bucket('1 second', received_at) AS second, {} FROM {} WHERE {} GROUP BY 1, 2 "
    "WITH NO DATA"
)
_OLD_HOURS: Final = sql.SQL(
    "SELECT DISTINCT date_trunc('hour', received_at, 'UTC') FROM {} WHERE received_at < now() - %s"
)
_COMPRESSED: Final = (
    "SELECT range_start FROM timescaledb_information.chunks WHERE hypertable_schema = %s "
    "AND hypertable_name = %s AND range_start = ANY(%s) AND is_compressed"
)
_COMPRESSED_CHUNKS: Final = _COMPRESSED.replace(
    "SELECT range_start", "SELECT format('%%I.%%I', chunk_schema, chunk_name)"
)
_IN_HOURS: Final = sql.SQL("date_trunc('hour', received_at, 'UTC') = ANY({}::timestamptz[])")
_LATE: Final = sql.SQL(
    "INSERT INTO {0} ({2}) SELECT {2} FROM {3} WHERE {4} AND NOT EXISTS (SELECT FROM {1} t WHERE "
    "(t.symbol_id, t.received_at, t.digest) = ({3}.symbol_id, {3}.received_at, {3}.digest)) "
    "ON CONFLICT DO NOTHING"
)
_OLDEST_LATE: Final = sql.SQL("SELECT min(received_at) FROM {}")
_FOLD: Final = sql.SQL(
    "WITH moved AS (DELETE FROM {0} WHERE received_at >= %(hour)s "
    "AND received_at < %(hour)s + interval '1 hour' RETURNING *), "
    "added AS (INSERT INTO {1} ({2}) SELECT {2} FROM moved ON CONFLICT DO NOTHING RETURNING received_at), "
    "marked AS (INSERT INTO marketdata.touched SELECT DISTINCT %(table)s, date_trunc('minute', received_at) "
    "FROM added) SELECT count(*) FROM moved"
)
_MARKS: Final = (
    "SELECT minute, array_agg(ctid::text) FROM marketdata.touched WHERE raw_table = %s "
    "GROUP BY minute ORDER BY minute LIMIT %s"
)
_UNMARK: Final = "DELETE FROM marketdata.touched WHERE ctid = ANY(%s::tid[])"
_DROP_LATE: Final = sql.SQL("DELETE FROM {} WHERE received_at < %s")
_DROP: Final = "SELECT drop_chunks(%s::regclass, older_than => %s)"
_KEEP: Final = (
    "SELECT alter_job(job_id, config => jsonb_set(config, '{drop_after}', to_jsonb(%(days)s::interval))) "
    "FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' "
    "AND hypertable_schema = %(schema)s AND hypertable_name = %(table)s "
    "AND (config->>'drop_after')::interval <> %(days)s::interval"
)
_PARTS: Final = (
    "SELECT coalesce(a.view_name, c.hypertable_name), count(*), count(*) FILTER (WHERE c.is_compressed), "
    "min(c.range_start), max(c.range_start), format('%%I.%%I', c.hypertable_schema, c.hypertable_name) "
    "FROM timescaledb_information.chunks c LEFT JOIN timescaledb_information.continuous_aggregates a "
    "ON (a.materialization_hypertable_schema, a.materialization_hypertable_name) = "
    "(c.hypertable_schema, c.hypertable_name) "
    "WHERE coalesce(a.view_schema, c.hypertable_schema) = %s "
    "GROUP BY 1, c.hypertable_schema, c.hypertable_name"
)
_LATE_SIZE: Final = sql.SQL("SELECT count(*), pg_total_relation_size(%s::regclass) FROM {}")
