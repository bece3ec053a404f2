"""Cost of writing quotes into the store: rows a second, beside executemany, and what 500 a second take.

    python benchmarks/orderbook_ingest.py [--quick]

An embedded PostgreSQL of its own, durable as that of a desk (fsync on). Quotes of 200 symbols; one row in ten
was delivered before. In rounds that take turns, rows are written three ways: as the store does while it is
behind (binary COPY into staging, insert what is not there, two connections), with executemany of INSERT … ON
CONFLICT DO NOTHING, and with COPY right into the table, without duplicates, as it would fail with one: that
is the floor. Events are made beforehand; executemany and COPY are given rows that are ready. Then a process
of its own runs the sink at 30,000 updates a minute: its CPU beyond that of a sink that drops everything, its
batches, its memory.

Rows a second are by the clock on the wall, so they fall when others use the machine; µs of CPU a row, of this
process and of PostgreSQL's, less so. Takes 3 minutes. The last line is JSON.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psycopg
from msgspec import Struct

from arbsite.desk import embedded
from markets.events import BookUpdate, Quote, Trade
from orderbook.ingest.binary import EPOCH_US
from orderbook.ingest.delivery import LANES, MOST_ROWS, Delivery
from orderbook.ingest.events import StoreEvent, Top5
from orderbook.ingest.rows import rows_of
from orderbook.ingest.spill import Spill
from orderbook.ingest.writer import Writer
from orderbook.store.choice import engine_of
from orderbook.store.tables import BOOK_TICKER, MOST_BATCH_ROWS, RAW, ROLLUPS

ROOT: Final = Path(__file__).resolve().parent.parent
SYMBOLS: Final = tuple((f"exchange{n % 8}", f"C{n}/USDT") for n in range(200))
START_US: Final = 1_790_000_000_000_000
BATCH_ROWS: Final = 500
ROUND_ROWS: Final = 20_000
PER_S: Final = 500
TWICE_ONE_IN: Final = 10
TARGETS: Final = {
    "rows_per_s": (100_000.0, "at_least"),
    "x_executemany": (2.5, "at_least"),
    "cpu_pct_at_500_per_s": (3.0, "at_most"),
    "batch_p99_ms": (50.0, "at_most"),
    "memory_mb": (100.0, "at_most"),
}

Connection = psycopg.Connection[Any]
Rows = Sequence[tuple[Any, ...]]


class Quotes:
    """Quotes as they come: of random symbols, 10 µs apart, each time later ones."""

    def __init__(self) -> None:
        self._chance = random.Random(7)
        self._count = 0

    def take(self, count: int) -> list[Quote]:
        """The next ones."""
        return [self._quote() for _ in range(count)]

    def _quote(self) -> Quote:
        self._count += 1
        at_us, bid = START_US + self._count * 10, 100 + self._chance.random()
        size = self._chance.random()
        return Quote(
            *self._chance.choice(SYMBOLS), bid, size, bid + 0.01, 1 - size, at_us - 5000, at_us, at_us
        )


class Spent(Struct):
    """Rows that were written, the time that took, and the CPU of this process and of PostgreSQL's."""

    rows: int
    wall_s: float
    own_s: float
    server_s: float


def measured(connection: Connection, rows: int, work: Callable[[], object]) -> Spent:
    """Do some work and measure it."""
    server_s, own_s, wall_s = server_cpu_s(connection), time.process_time(), time.perf_counter()
    work()
    wall_s, own_s = time.perf_counter() - wall_s, time.process_time() - own_s
    return Spent(rows, wall_s, own_s, server_cpu_s(connection) - server_s)


def server_cpu_s(connection: Connection) -> float:
    """CPU that the server's processes of all clients have used, s."""
    clients = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    return sum(_cpu_s(pid) for (pid,) in connection.execute(clients).fetchall())


def _cpu_s(pid: int) -> float:
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")


# --- three ways ----------------------------------------------------------------------------------


def batches(rows: Sequence[Any], most: int = MOST_BATCH_ROWS) -> Iterator[Sequence[Any]]:
    """Batches as while the store is behind; one in ten rows was in the batch before."""
    step = most - most // TWICE_ONE_IN
    for at in range(0, len(rows), step):
        yield rows[max(0, at + step - most) : at + step]


def with_store(delivery: Delivery, quotes: Sequence[Quote]) -> None:
    """Write as the store does while it is behind."""
    for batch in batches(quotes, MOST_ROWS):
        delivery.put(batch)


def with_executemany(connection: Connection, rows: Rows) -> None:
    """The same batches, INSERT by INSERT; psycopg pipelines them."""
    marks = ", ".join(["%s"] * len(BOOK_TICKER.types))
    statement = f"INSERT INTO marketdata.book_ticker VALUES ({marks}) ON CONFLICT DO NOTHING"
    for batch in batches(rows):
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(statement.encode(), batch)


def with_copy(connection: Connection, rows: Rows) -> None:
    """COPY right into the table: a batch with one row that is there already would fail whole."""
    types = [type.split()[0].replace("double", "float8") for type in BOOK_TICKER.types.values()]
    for at in range(0, len(rows), MOST_BATCH_ROWS):
        with (
            connection.transaction(),
            connection.cursor() as cursor,
            cursor.copy("COPY marketdata.book_ticker FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(types)
            for row in rows[at : at + MOST_BATCH_ROWS]:
                copy.write_row(row)


def ready(quotes: Sequence[Quote]) -> Rows:
    """Rows as psycopg takes them."""
    (rows,) = rows_of(quotes)
    at, digest = rows.columns[0].tolist(), rows.columns[1].tolist()  # type: ignore[union-attr]
    ids = {key: number for number, key in enumerate(SYMBOLS, 1)}
    since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=EPOCH_US)
    return [
        (
            ids[q.exchange, q.symbol], since + timedelta(microseconds=at[n]), digest[n], q.exchange_ts_us,
            q.bid, q.bid_size, q.ask, q.ask_size,
        )
        for n, q in enumerate(quotes)
    ]  # fmt: skip


def write_three_ways(connection: Connection, delivery: Delivery, rounds: int) -> dict[str, float]:
    """Compare them in rounds that take turns, and print a table."""
    quotes = Quotes()
    delivery.put([Quote(*key, 1, 1, 2, 1, 0, START_US) for key in SYMBOLS])
    delivery.put(quotes.take(MOST_ROWS))  # every lane is connected
    spent: dict[str, list[Spent]] = {"store": [], "executemany": [], "COPY": []}
    for _ in range(rounds):
        ways: dict[str, Callable[[], None]] = {
            "store": partial(with_store, delivery, quotes.take(ROUND_ROWS)),
            "executemany": partial(with_executemany, connection, ready(quotes.take(ROUND_ROWS))),
            "COPY": partial(with_copy, connection, ready(quotes.take(ROUND_ROWS))),
        }
        for name, way in ways.items():
            spent[name].append(measured(connection, ROUND_ROWS, way))
    rates = {}
    for name, each in spent.items():
        rates[name] = median(one.rows / one.wall_s for one in each)
        own, server = (median(part) for part in zip(*((o.own_s, o.server_s) for o in each), strict=True))
        cpu = f"{own / ROUND_ROWS * 1e6:6.1f} + {server / ROUND_ROWS * 1e6:5.1f} µs of CPU a row"
        print(f"{name:14}{rates[name]:12,.0f} rows/s {cpu} (own + PostgreSQL's)")
    if (stats := delivery.stats())["problem"] or stats["spilled_events"]:
        raise SystemExit(f"not written: {stats['problem']}")
    late_ms = stats["batch_p99_s"] * 1000
    print(f"{'':14}batches of {MOST_BATCH_ROWS:,} by {LANES} connections: p99 {late_ms:.1f} ms")
    cpu_us = _cpu_us(spent["store"])
    return {
        "rows_per_s": rates["store"],
        "x_executemany": rates["store"] / rates["executemany"],
        "x_copy_without_dedupe": rates["store"] / rates["COPY"],
        "cpu_us_per_row": cpu_us,
        "x_cpu_of_executemany": _cpu_us(spent["executemany"]) / cpu_us,
        "large_batch_p99_ms": late_ms,
    }


def _cpu_us(spent: Sequence[Spent]) -> float:
    return sum(each.own_s + each.server_s for each in spent) / sum(each.rows for each in spent) * 1e6


def bytes_per_row(connection: Connection) -> dict[str, float]:
    """Size of what was written, table and indexes."""
    [(rows,)] = connection.execute("SELECT count(*) FROM marketdata.book_ticker").fetchall()
    [(whole, heap)] = connection.execute(
        "SELECT sum(pg_total_relation_size(relid)), sum(pg_relation_size(relid)) "
        "FROM pg_partition_tree('marketdata.book_ticker')"
    ).fetchall()
    print(f"{'raw':14}{whole / rows:12.1f} bytes a row of book_ticker, {heap / rows:.1f} without indexes")
    return {"bytes_per_row": float(whole / rows), "heap_bytes_per_row": float(heap / rows)}


def every_table(connection: Connection) -> dict[str, float]:
    """Bytes a row of every table: ten minutes of a quote a second, some trades and books, and their bars."""
    engine = engine_of(connection)
    connection.execute(
        "TRUNCATE marketdata.touched, " + ", ".join(f"marketdata.{name}" for name in (*RAW, *ROLLUPS))
    )
    writer, chance = Writer(engine), random.Random(7)
    events = [event for second in range(600) for event in said_in(second, chance)]
    for at in range(0, len(events), MOST_BATCH_ROWS):
        writer.write(connection, events[at : at + MOST_BATCH_ROWS])
    for table in RAW:
        while engine.roll_up(connection, table, 1):  # as upkeep does, minute by minute
            pass
    figures = {}
    for size in engine.sizes(connection):
        count = f"SELECT count(*) FROM marketdata.{size.table}"
        [(rows,)] = connection.execute(count.encode()).fetchall()
        figures[f"{size.table}_bytes"] = size.bytes / rows
        print(f"{'':14}{size.bytes / rows:12.1f} bytes a row of {size.table}, with its indexes")
    return figures


def said_in(second: int, chance: random.Random) -> Iterator[StoreEvent]:
    """A quote of each symbol, a trade of every fifth, and of 40 books a delta of five levels a side."""
    for number, key in enumerate(SYMBOLS):
        at_us = START_US + second * 1_000_000 + number * 4000
        sizes = tuple(round(chance.random(), 4) for _ in range(5))
        best = round(100 + chance.random(), 2)
        bids, asks = (tuple(round(best + step * level, 2) for level in range(5)) for step in (-0.01, 0.01))
        yield Quote(*key, bids[0], sizes[0], asks[0] + 0.01, sizes[1], at_us - 5000, at_us)
        if (second + number) % 5 == 0:
            yield Trade(*key, best, sizes[2], "buy", str(10**9 + second), at_us - 5000, at_us)
        if number < 40:
            yield Top5(*key, bids, sizes, asks, sizes, at_us - 5000, at_us)
            changed = [list(zip(side, sizes, strict=True)) for side in (bids, asks)]
            yield BookUpdate(
                *key, "delta", changed[0], changed[1], second, second + 1,
                exchange_ts_us=at_us - 5000, received_ts_us=at_us,
            )  # fmt: skip


# --- the sink at its pace, in a process of its own ----------------------------------------------------


def pace(seconds: float, *, stores: bool) -> None:
    """Run the sink, or one that drops everything, at PER_S quotes a second; print figures as JSON."""
    import django

    django.setup()
    from core.channel import Channel
    from markets.config import Shard
    from orderbook.ingest.sink import IngestSink

    async def run() -> None:
        channel: Channel[Any] = Channel("store", 100_000)
        sink = IngestSink(channel, Shard(), lambda _event: None)
        running = asyncio.create_task(sink.run() if stores else drop(channel))
        quotes = Quotes()
        events = quotes.take(int(seconds * PER_S))
        if stores:
            await until(lambda: sink.stats()["active"])
        begun_s, used_s, fed = time.monotonic(), time.process_time(), 0
        while fed < len(events):
            await asyncio.sleep(0.02)
            due = min(len(events), int((time.monotonic() - begun_s) * PER_S))
            channel.put_many(events[fed:due])
            fed = due
        used_s = time.process_time() - used_s
        channel.close()
        await running
        found = sink.stats() | {"cpu_pct": used_s / seconds * 100, "memory_mb": peak_mb()}
        print(json.dumps(found))

    asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    """Wait."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def drop(channel: Any) -> None:
    """Take as the sink takes, and do nothing."""
    while not channel.finished:
        await channel.wait()
        channel.take(1000)
        await asyncio.sleep(0.02)


def peak_mb() -> float:
    """The most memory this process had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def at_its_pace(url: str, home: Path, seconds: float) -> dict[str, float]:
    """Measure both in turn, and print what the sink takes."""
    environment = {
        **os.environ, "DATABASE_URL": url, "ARB_HOME": str(home), "ENV_FILE": os.devnull, "FEED": "live",
        "REDIS_URL": "redis://127.0.0.1:1/0", "SECRET_KEY": secrets.token_urlsafe(50),
        "DJANGO_SETTINGS_MODULE": "arbsite.settings",
    }  # fmt: skip

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    run("manage.py", "migrate", "-v0")
    own = str(Path(__file__).resolve())
    without = json.loads(run(own, "--pace", str(seconds / 2), "--drop").splitlines()[-1])
    stored = json.loads(run(own, "--pace", str(seconds)).splitlines()[-1])
    if stored["rows"] != int(seconds * PER_S):
        raise SystemExit(f"{stored['rows']} rows of {int(seconds * PER_S)} are there: {stored['problem']}")
    cpu_pct = stored["cpu_pct"] - without["cpu_pct"]
    print(f"{'sink':14}{cpu_pct:12.2f} % of a core at {PER_S} updates/s ({stored['cpu_pct']:.2f} % in all)")
    print(f"{'':14}batches of {BATCH_ROWS}: p99 {stored['batch_p99_s'] * 1000:.1f} ms of {stored['batches']}")
    print(f"{'':14}{stored['memory_mb']:12.1f} MB at most, all of it ({without['memory_mb']:.1f} without)")
    return {
        "cpu_pct_at_500_per_s": cpu_pct,
        "batch_p99_ms": stored["batch_p99_s"] * 1000,
        "memory_mb": stored["memory_mb"] - without["memory_mb"],
        "process_memory_mb": stored["memory_mb"],
    }


def main() -> None:
    """Measure, print a table and, as the last line, the figures as JSON."""
    parser = argparse.ArgumentParser(description="Cost of writing quotes into the store.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time, figures as good as that")
    parser.add_argument("--pace", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--drop", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pace:
        pace(options.pace, stores=not options.drop)
        return
    load = os.getloadavg()[0]
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {load:.1f} before it began")
    with tempfile.TemporaryDirectory(prefix="arbdesk-ingest-") as place:
        home = Path(place)
        home.chmod(0o711)
        with embedded.running(embedded.postgres(home), home / "log") as url:
            values = at_its_pace(url, home, 6 if options.quick else 60)
            with connected(url) as connection:
                delivery = Delivery(partial(connected, url), Spill(home / "spill", 10**9))
                values |= write_three_ways(connection, delivery, 3 if options.quick else 25)
                values |= bytes_per_row(connection)
                values |= every_table(connection)
                delivery.close()
    figures: dict[str, Any] = {}
    for name, value in values.items():
        figures[name] = {"value": round(value, 3)}
        if name in TARGETS:
            target, side = TARGETS[name]
            met = value >= target if side == "at_least" else value <= target
            figures[name] |= {"target": target, "met": met}
    print(json.dumps({"benchmark": "orderbook_ingest", "load_before": load, "figures": figures}))


def connected(url: str) -> Connection:
    """A connection to an embedded server by its URL."""
    folder, _, name = unquote(urlsplit(url).path)[1:].rpartition("/")
    return psycopg.connect(host=folder, user=urlsplit(url).username, dbname=name, autocommit=True)


if __name__ == "__main__":
    main()
