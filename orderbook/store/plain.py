"""The engine on plain PostgreSQL (15 or later): declarative partitions and incremental rollups.

Raw tables have a partition per hour, rollups one per day. They are not partitioned by symbol as well: 200
symbols for 30 days would be 144,000 partitions a table, and a symbol's rows lie together in the unique index
of their hour anyway.

Writers append the minutes their rows fall into to `touched`, in the same transaction. A rollup takes marks
away and aggregates those minutes whole, in one transaction: rows that are committed later bring a mark of
their own, so none is missed, none counted twice, and no writer waits for another.
"""

from datetime import UTC, datetime, timedelta
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
)  # fmt: skip
from orderbook.store.engine import Size
from orderbook.store.tables import DAY_S, KEY, RAW, ROLLUPS, SCHEMA, Rollup, length_of, named

_NAMED_BY: Final = "%Y%m%d%H"
_LOCK: Final = 0x6D617264  # one process creates partitions at a time


class PlainEngine:
    """An `orderbook.store.engine.Engine`."""

    name = "plain"

    def create(self, connection: Connection[Any]) -> None:
        """Create schema, tables and indexes."""
        refuse_another(connection, "p", "timescale")
        create_common(connection)
        for table in RAW.values():
            _create(connection, table.name, table.types, "received_at", tuple(KEY))
        for rollup in ROLLUPS.values():
            _create(connection, rollup.name, _rollup_columns(rollup), "second", ("symbol_id", "second"))

    def drop(self, connection: Connection[Any]) -> None:
        """Drop the tables with all that is in them; the schema stays."""
        drop_tables(connection, (*RAW, *ROLLUPS, *COMMON))

    def make_partitions(self, connection: Connection[Any], table: str, start: datetime, end: datetime) -> int:
        """Make room for rows from `start` to `end`, both within; returns how many partitions were new."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        there = {name for name, _begins in _partitions(connection, table)}
        length_s = length_of(table)
        begins, made = floor(start, length_s), 0
        while begins <= end:
            ends = begins + timedelta(seconds=length_s)
            name = f"{table}_{begins.strftime(_NAMED_BY)}"
            if name not in there:
                bounds = sql.Literal(begins.isoformat()), sql.Literal(ends.isoformat())
                connection.execute(_PARTITION.format(named(name), named(table), *bounds))
                made += 1
            begins = ends
        return made

    def insert(self, connection: Connection[Any], table: str, staged: sql.Identifier) -> int:
        """Insert the staged rows that are not there yet; returns how many."""
        return connection.execute(insert_new(RAW[table], staged)).rowcount

    def roll_up(self, connection: Connection[Any], table: str, minutes: int) -> int:
        """Renew the second bars of up to `minutes` minutes, oldest first; returns how many minutes."""
        rollup = RAW[table].rollup
        if rollup is None:
            return 0
        with connection.transaction():
            taken = [minute for (minute,) in connection.execute(_TAKE, {"table": table, "minutes": minutes})]
            for day in sorted({floor(minute, DAY_S) for minute in taken}):
                self.make_partitions(connection, rollup.name, day, day)
            if taken:
                connection.execute(_aggregation(table, rollup), {"minutes": taken})
        return len(taken)

    def fold_late(self, _connection: Connection[Any], _table: str) -> int:
        """Do nothing: late rows are inserted as all others."""
        return 0

    def drop_before(self, connection: Connection[Any], table: str, before: datetime) -> int:
        """Drop the partitions that end by then; returns how many."""
        length, dropped = timedelta(seconds=length_of(table)), 0
        for name, begins in _partitions(connection, table):
            if begins + length <= before:
                connection.execute(sql.SQL("DROP TABLE {}").format(named(name)))
                dropped += 1
        return dropped

    def keep(self, connection: Connection[Any], table: str, days: int, now: datetime) -> int:
        """Drop the partitions that are past their days; returns how many."""
        return self.drop_before(connection, table, now - timedelta(days=days))

    def sizes(self, connection: Connection[Any]) -> list[Size]:
        """Sizes of all tables."""
        sizes = []
        for table in (*RAW, *ROLLUPS):
            parts = _partitions(connection, table)
            [(size, rows)] = connection.execute(_MEASURED, [f"{SCHEMA}.{table}"])
            times = [at for _name, at in parts]
            oldest, newest = min(times, default=None), max(times, default=None)
            sizes.append(Size(table, len(parts), size, oldest, rows if parts else 0, newest=newest))
        return sizes


def _create(
    connection: Connection[Any], table: str, columns: dict[str, str], clock: str, key: tuple[str, ...]
) -> None:
    body, at = columns_and_key(columns, key), sql.Identifier(clock)
    connection.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) PARTITION BY RANGE ({})").format(named(table), body, at)
    )
    create_time_index(connection, table, clock)


def _rollup_columns(rollup: Rollup) -> dict[str, str]:
    values = {name: f"{type} NOT NULL" for name, (type, _value) in rollup.values.items()}
    return {"symbol_id": "integer", "second": "timestamptz", **values}


def _partitions(connection: Connection[Any], table: str) -> list[tuple[str, datetime]]:
    """Names of a table's partitions and when they begin."""
    names = [name for (name,) in connection.execute(_PARTITIONS, [f"{SCHEMA}.{table}"])]
    return [
        (name, datetime.strptime(name.removeprefix(f"{table}_"), _NAMED_BY).replace(tzinfo=UTC))
        for name in names
    ]


def _aggregation(table: str, rollup: Rollup) -> sql.Composed:
    """Statement that renews the bars of `minutes`: what is there already is replaced."""
    values = [sql.SQL(value) for _type, value in rollup.values.values()]
    renewed = [sql.SQL("{0} = excluded.{0}").format(name) for name in map(sql.Identifier, rollup.values)]
    return _AGGREGATION.format(
        bars=named(rollup.name),
        names=names_of(rollup.values),
        values=COMMA.join(values),
        rows=named(table),
        where=sql.SQL(rollup.where),
        renewed=COMMA.join(renewed),
    )


_PARTITION: Final = sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})")
_PARTITIONS: Final = (
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = %s::regclass ORDER BY 1"
)
_TAKE: Final = sql.SQL(
    "WITH oldest AS (SELECT DISTINCT minute FROM {0} WHERE raw_table = %(table)s "
    "ORDER BY 1 LIMIT %(minutes)s), "
    "taken AS (DELETE FROM {0} t USING oldest WHERE t.raw_table = %(table)s AND t.minute = oldest.minute "
    "RETURNING t.minute) SELECT DISTINCT minute FROM taken ORDER BY 1"
).format(named("touched"))
_AGGREGATION: Final = sql.SQL(
    "INSERT INTO {bars} (symbol_id, second, {names}) "
    "SELECT symbol_id, date_trunc('second', received_at), {values} "
    "FROM unnest(%(minutes)s::timestamptz[]) AS m(minute) "
    "JOIN {rows} ON received_at >= minute AND received_at < minute + interval '1 minute' "
    "WHERE {where} GROUP BY 1, 2 ORDER BY 1, 2 "
    "ON CONFLICT (symbol_id, second) DO UPDATE SET {renewed}"
)
# A partition that was never analyzed has -1 rows: what is known of the others is no count of all.
_MEASURED: Final = (
    "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint, "
    "CASE WHEN bool_and(reltuples >= 0 OR pg_relation_size(relid) = 0) "
    "THEN sum(greatest(reltuples, 0))::bigint END "
    "FROM pg_partition_tree(%s::regclass) JOIN pg_class ON oid = relid WHERE isleaf"
)
