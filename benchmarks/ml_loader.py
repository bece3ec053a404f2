"""Speed of the loader for machine learning, on a PostgreSQL of its own that is filled and removed.

    nice python benchmarks/ml_loader.py [--symbols 200]

Fills a day of second bars of 200 symbols (25 coins on 8 exchanges, 17.3 million rows, every tenth second
with a trade), 30 days of another one, and quotes of the last minutes that are not rolled up yet, 500 a
second. Then it loads them through `MLDataLoader`, and the 30 days by psycopg and, where it is installed,
connectorx. Beside each time it prints the CPU that loader and PostgreSQL took, for a machine that had
something else to do, too. Takes 2 to 4 minutes on two idle cores and 6 GB of disk.
"""

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import polars as pl
import psycopg

from arbsite.desk import embedded
from orderbook.ml import MLDataLoader
from orderbook.store.plain import PlainEngine

TODAY: Final = datetime(2026, 3, 5, tzinfo=UTC)
EXCHANGES: Final = 8
ROLLED_MINUTES: Final = 28
RAW_MINUTES: Final = 4
QUOTES_PER_S: Final = 500
LIVE_CALLS: Final = 20
TARGETS: Final = {"day_s": 30.0, "month_s": 1.0, "live_ms": 100.0}
MIDS: Final = ("mid_open", "mid_high", "mid_low", "mid_close")
BARS: Final = """
INSERT INTO marketdata.bt_1s
SELECT id, minute + second * interval '1 second', 100 + v, 1 + v, 100.1 + v, 2 + v,
       100.05 + v, 100.06 + v, 100.04 + v, 100.05 + v, 3
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 minute', '1 minute') minute,
     generate_series(%(first)s::int, %(last)s::int) id, generate_series(0, 59) second,
     LATERAL (SELECT sin(id + extract(epoch FROM minute)::float8 / 60 + second) v) wave
"""
TRADES: Final = """
INSERT INTO marketdata.trade_1s
SELECT symbol_id, second, bid, ask, bid, ask, bid_size, bid_size * bid, bid_size / 2, bid_size / 2, 1
FROM marketdata.bt_1s WHERE extract(second FROM second)::int %% 10 = symbol_id %% 10
"""
QUOTES: Final = """
INSERT INTO marketdata.book_ticker
SELECT 1 + (n * 7919) %% %(symbols)s, %(start)s::timestamptz + n * interval '1 second' / %(per_s)s, n, NULL,
       100 + sin(n), 1, 100.1 + sin(n), 2
FROM generate_series(0, %(count)s - 1) n
"""


def main() -> None:
    """Fill, load, print; the last line is JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--symbols", type=int, default=200)
    symbols = parser.parse_args().symbols
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # takes the server along
    with ExitStack() as stack:
        home = Path(tempfile.mkdtemp(prefix="ml-loader-"))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        home.chmod(0o711)
        server = embedded.postgres(home, durable=False)
        url = stack.enter_context(embedded.running(server, home / "postgres.log"))
        place = urlsplit(url).path.removeprefix("/").rpartition("/")[0]
        dsn = f"host={place} user=postgres dbname=postgres"
        began = time.perf_counter()
        fill(dsn, symbols)
        print(f"filled in {time.perf_counter() - began:.0f} s")
        figures = asyncio.run(measure(dsn, symbols))
    print(json.dumps({"figures": figures, "targets": TARGETS}))


def fill(dsn: str, symbols: int) -> None:
    """Make the tables as ingest and rollups leave them at half past midnight."""
    with psycopg.connect(dsn, autocommit=True) as store:
        PlainEngine().create(store)
        store.execute(
            "INSERT INTO marketdata.symbols (exchange, symbol) "
            "SELECT 'exchange' || n %% %(e)s, 'COIN' || n / %(e)s || '/USDT' "
            "FROM generate_series(0, %(s)s - 1) n",
            {"e": EXCHANGES, "s": symbols},
        )
        store.execute("INSERT INTO marketdata.symbols (exchange, symbol) VALUES ('exchange0', 'LONG/USDT')")
        month = TODAY - timedelta(days=30)
        for table in ("bt_1s", "trade_1s"):
            PlainEngine().make_partitions(store, table, month, TODAY)
        rolled = TODAY + timedelta(minutes=ROLLED_MINUTES)
        for table in ("bt_1s", "trade_1s"):  # an index is built faster than kept
            store.execute(f"ALTER TABLE marketdata.{table} DROP CONSTRAINT {table}_pkey")
        day = {"start": TODAY - timedelta(days=1), "end": rolled, "first": 1, "last": symbols}
        store.execute(BARS, day)
        store.execute(BARS, {"start": month, "end": TODAY, "first": symbols + 1, "last": symbols + 1})
        store.execute(TRADES, {})
        for table in ("bt_1s", "trade_1s"):
            store.execute(f"ALTER TABLE marketdata.{table} ADD PRIMARY KEY (symbol_id, second)")
        PlainEngine().make_partitions(store, "book_ticker", rolled, rolled)
        count = QUOTES_PER_S * 60 * RAW_MINUTES
        store.execute(QUOTES, {"symbols": symbols, "start": rolled, "count": count, "per_s": QUOTES_PER_S})
        store.execute(
            "INSERT INTO marketdata.touched SELECT 'book_ticker', %s + n * interval '1 minute' / 6 "
            "FROM generate_series(0, %s - 1) n",
            [rolled, RAW_MINUTES * 6],
        )
        store.execute("UPDATE marketdata.touched SET minute = date_trunc('minute', minute)")
        store.execute("VACUUM ANALYZE marketdata.bt_1s, marketdata.trade_1s, marketdata.book_ticker")


async def measure(dsn: str, symbols: int) -> dict[str, Any]:
    """Load a day, a month of one symbol, and live features; compare the month with others."""
    coins = [f"COIN{n}/USDT" for n in range(symbols // EXCHANGES)]
    now = TODAY + timedelta(minutes=ROLLED_MINUTES + 1)
    figures: dict[str, Any] = {}
    async with MLDataLoader(dsn, lambda: now) as loader:
        figures["day_s"], day = await timed(lambda: loader.get_training_data(coins))
        figures["day_rows"] = len(day)
        print(f"a day of {symbols} symbols: {len(day):,} rows, all columns, {figures['day_s']:.1f} s")
        del day
        for name, columns in (("month_s", ("bid", "ask")), ("month_mids_s", MIDS), ("month_all_s", None)):
            more: dict[str, Any] = {} if columns is None else {"columns": columns}
            rounds = [
                await timed(partial(loader.get_training_data, ["LONG/USDT"], 30, **more)) for _ in range(3)
            ]
            figures[name] = median(took for took, _frame in rounds)
            rows = len(rounds[0][1])
            print(f"30 days of a symbol, {columns or 'all columns'}: {rows:,} rows, {figures[name]:.2f} s")
        figures["live_first_s"], _frame = await timed(lambda: loader.get_real_time_features(coins, 1))
        live = []
        for _ in range(LIVE_CALLS):
            now += timedelta(seconds=1)
            took, frame = await timed(lambda: loader.get_real_time_features(coins, 1))
            live.append(took * 1000)
        figures["live_ms"], figures["live_worst_ms"] = median(live), max(live)
        print(
            f"live features of {symbols} symbols, {len(frame):,} rows: "
            f"first {figures['live_first_s']:.2f} s, "
            f"then {figures['live_ms']:.0f} ms (median of {LIVE_CALLS}, worst {max(live):.0f})"
        )
    return figures | peers(dsn, symbols + 1)


async def timed(work: Callable[[], Awaitable[pl.DataFrame]]) -> tuple[float, pl.DataFrame]:
    """Seconds that it took, and what came."""
    began = time.perf_counter()
    found = await work()
    return time.perf_counter() - began, found


def peers(dsn: str, id: int) -> dict[str, float]:
    """Seconds in which others load all columns of the 30 days."""
    query = f"SELECT * FROM marketdata.bt_1s WHERE symbol_id = {id}"
    figures = {}
    with psycopg.connect(dsn) as store, store.cursor(binary=True) as cursor:
        began = time.perf_counter()
        cursor.execute(query)
        names = [each.name for each in cursor.description or ()]
        pl.DataFrame(cursor.fetchall(), schema=names, orient="row")
        figures["psycopg_month_s"] = time.perf_counter() - began
    if find_spec("connectorx"):
        place, user, database = (part.partition("=")[2] for part in dsn.split())
        url = f"postgresql://{user}@localhost/{database}?host={place.replace('/', '%2F')}"
        began = time.perf_counter()
        pl.read_database_uri(query, url, engine="connectorx")
        figures["connectorx_month_s"] = time.perf_counter() - began
    print(f"others, all columns of the 30 days: {figures}")
    return figures


if __name__ == "__main__":
    main()
