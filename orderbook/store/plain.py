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

from orderbook.store.engine import Size
from orderbook.store.tables import DAY_S, HOUR_S, KEY, RAW, ROLLUPS, SCHEMA, RawTable, Rollup, named

_NAMED_BY: Final = "%Y%m%d%H"
_LOCK: Final = 0x6D617264  # one process creates partitions at a time


class PlainEngine:
    """An `orderbook.store.engine.Engine`."""

    def create(self, connection: Connection[Any]) -> None:
        """Create schema, tables and indexes."""
        # Asked first: IF NOT EXISTS would need the right to create schemas even where it exists.
        if connection.execute("SELECT to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
        connection.execute(_SYMBOLS)
        connection.execute(_TOUCHED)
        for table in RAW.values():
            _create(connection, table.name, _raw_columns(table), "received_at", tuple(KEY))
        for rollup in ROLLUPS.values():
            _create(connection, rollup.name, _rollup_columns(rollup), "second", ("symbol_id", "second"))

    def make_partitions(self, connection: Connection[Any], table: str, start: datetime, end: datetime) -> int:
        """Make room for rows from `start` to `end`, both within; returns how many partitions were new."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        there = {name for name, _begins in _partitions(connection, table)}
        length_s = _length_s(table)
        begins, made = _floor(start, length_s), 0
        while begins <= end:
            ends = begins + timedelta(seconds=length_s)
            name = f"{table}_{begins.strftime(_NAMED_BY)}"
            if name not in there:
                bounds = sql.Literal(begins.isoformat()), sql.Literal(ends.isoformat())
                connection.execute(_PARTITION.format(named(name), named(table), *bounds))
                made += 1
            begins = ends
        return made

    def roll_up(self, connection: Connection[Any], table: str, minutes: int) -> int:
        """Renew the second bars of up to `minutes` minutes, oldest first; returns how many minutes."""
        rollup = RAW[table].rollup
        if rollup is None:
            return 0
        taken = [minute for (minute,) in connection.execute(_TAKE, {"table": table, "minutes": minutes})]
        if not taken:
            return 0
        for day in sorted({_floor(minute, DAY_S) for minute in taken}):
            self.make_partitions(connection, rollup.name, day, day)
        connection.execute(_aggregation(table, rollup), {"minutes": taken})
        return len(taken)

    def drop_before(self, connection: Connection[Any], table: str, before: datetime) -> int:
        """Drop the partitions that end by then; returns how many."""
        length, dropped = timedelta(seconds=_length_s(table)), 0
        for name, begins in _partitions(connection, table):
            if begins + length <= before:
                connection.execute(sql.SQL("DROP TABLE {}").format(named(name)))
                dropped += 1
        return dropped

    def sizes(self, connection: Connection[Any]) -> list[Size]:
        """Sizes of all tables."""
        sizes = []
        for table in (*RAW, *ROLLUPS):
            parts = _partitions(connection, table)
            [(size,)] = connection.execute(_BYTES, [f"{SCHEMA}.{table}"])
            sizes.append(Size(table, len(parts), size, min((at for _name, at in parts), default=None)))
        return sizes

    def lag(self, connection: Connection[Any], table: str) -> datetime | None:
        """Oldest minute of a raw table whose second bars wait; None: none waits."""
        [(oldest,)] = connection.execute(_OLDEST, [table])
        return oldest  # type: ignore[no-any-return]  # a timestamptz


def _create(
    connection: Connection[Any], table: str, columns: dict[str, str], clock: str, key: tuple[str, ...]
) -> None:
    listed = [sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(type)) for name, type in columns.items()]
    names = sql.SQL(", ").join(map(sql.Identifier, key))
    body = sql.SQL(", ").join([*listed, sql.SQL("PRIMARY KEY ({})").format(names)])
    at = sql.Identifier(clock)
    connection.execute(
        sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}) PARTITION BY RANGE ({})").format(named(table), body, at)
    )
    # A scan over a time finds it by block ranges: rows come in their order, so it stays a few kB an hour.
    index = sql.Identifier(f"{table}_at")
    connection.execute(
        sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} USING brin ({})").format(index, named(table), at)
    )


def _raw_columns(table: RawTable) -> dict[str, str]:
    return dict(table.types)


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


def _length_s(table: str) -> int:
    return HOUR_S if table in RAW else DAY_S


def _floor(at: datetime, length_s: int) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // length_s * length_s, UTC)


def _aggregation(table: str, rollup: Rollup) -> sql.Composed:
    """Statement that renews the bars of `minutes`: what is there already is replaced."""
    names = [sql.Identifier(name) for name in rollup.values]
    values = [sql.SQL(value) for _type, value in rollup.values.values()]
    renewed = [sql.SQL("{0} = excluded.{0}").format(name) for name in names]
    comma = sql.SQL(", ")
    return _AGGREGATION.format(
        bars=named(rollup.name),
        names=comma.join(names),
        values=comma.join(values),
        rows=named(table),
        where=sql.SQL(rollup.where),
        renewed=comma.join(renewed),
    )


_SYMBOLS: Final = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {} (id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, "
    "exchange text NOT NULL, symbol text NOT NULL, UNIQUE (exchange, symbol))"
).format(named("symbols"))
_TOUCHED: Final = sql.SQL(
    "CREATE TABLE IF NOT EXISTS {} (raw_table text NOT NULL, minute timestamptz NOT NULL)"
).format(named("touched"))
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
_OLDEST: Final = sql.SQL("SELECT min(minute) FROM {} WHERE raw_table = %s").format(named("touched"))
_BYTES: Final = (
    "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree(%s::regclass)"
)
