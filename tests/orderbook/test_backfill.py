"""The lake's quotes and trades into the store: the same rows as those written live."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from pytest_django import Settings

from history.lake.tables import Lake
from history.read.reader import LakeReader
from markets.events import Quote, Side, Trade
from orderbook import services
from orderbook.backfill.comparing import compare
from orderbook.backfill.filling import fill
from orderbook.backfill.recorded import hours
from orderbook.ingest.writer import Writer
from orderbook.store.engine import Engine
from orderbook.store.tables import BOOK_TICKER, ROLLUPS, TRADES
from tests.orderbook.conftest import EMPTY
from tests.support.lakes.lake import lake_sink
from tests.support.lakes.lake_data import write

pytestmark = pytest.mark.django_db(transaction=True)

Store = psycopg.Connection[Any]
Events = list[Quote | Trade]

HOUR_US = 3_600_000_000
EVENTS = 240


@pytest.fixture
def lake(tmp_path: Path, settings: Settings) -> Lake:
    settings.LAKE_URL = str(tmp_path / "lake")
    return Lake.from_settings()


@pytest.fixture
def recorded(lake: Lake) -> Events:
    """Events of the last two hours, in the lake; two trades are without a side or an id."""
    start_us = (time.time_ns() // 1000 // HOUR_US - 2) * HOUR_US
    found: Events = []
    for number in range(EVENTS):
        at_us = start_us + number * (2 * HOUR_US // EVENTS)
        exchange, price = ("okx", "binance")[number % 2], 100 + number / 7
        found.append(Quote(exchange, "BTC/USDT", price, 1 / 3, price + 0.1, 2.5, at_us - 7, at_us))
        side: Side | None = None if number < 2 else "buy" if number % 3 else "sell"
        trade_id = None if number < 2 else str(number)
        found.append(Trade("okx", "ETH/USDT", price, 0.7, side, trade_id, None, at_us + 1))

    async def record() -> None:
        async with lake_sink() as writing:
            for event in found:
                writing.channel.put(event)
            await writing.until_written(EVENTS)
            await writing.until_written(EVENTS, "trades")
            await writing.finish()

    async_to_sync(record)()
    return found


def everything(store: Store) -> list[list[Any]]:
    """All rows and bars, by the names of their symbols."""
    columns: dict[str, Mapping[str, Any]] = {raw.name: raw.types for raw in (BOOK_TICKER, TRADES)}
    columns |= {rollup.name: {"second": "", **rollup.values} for rollup in ROLLUPS.values()}
    found = []
    for table, names in columns.items():
        listed = ", ".join(name for name in names if name != "symbol_id")
        rows = f"marketdata.{table} JOIN marketdata.symbols ON id = symbol_id ORDER BY 3, 1, 2, 4"
        found.append(store.execute(f"SELECT exchange, symbol, {listed} FROM {rows}").fetchall())
    return found


def roll_up_all() -> None:
    for table in ("book_ticker", "trades"):
        while services.roll_up(table):
            pass


def backfill(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    call_command("backfill_orderbook", *arguments)
    return capsys.readouterr().out


def test_backfilled_hours_are_those_that_were_written_live(
    store: Store, engine: Engine, recorded: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    Writer(engine).write(store, recorded)
    roll_up_all()
    live = everything(store)
    assert [len(rows) for rows in live] == [EVENTS] * 4
    assert ", 0 only there, 0 only in the store" in backfill(capsys, "--compare")
    store.execute(EMPTY)
    assert f"{2 * EVENTS} rows read, {2 * EVENTS} of them new" in backfill(capsys)
    assert everything(store) == live
    backfill(capsys, "--compare")


def test_what_was_filled_is_not_filled_again_until_the_lake_has_more(
    store: Store, recorded: Events, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    backfill(capsys)
    assert "0 rows read, 0 of them new, in 0 hours of a table; 4 hours" in backfill(capsys)
    first = min(event.received_ts_us for event in recorded)

    async def more() -> None:
        async with lake_sink() as writing:
            writing.channel.put(Quote("okx", "BTC/USDT", 1, 1, 2, 1, None, first + 3))
            await writing.until_written(1)
            await writing.finish()

    async_to_sync(more)()
    assert f"{EVENTS // 2 + 1} rows read, 1 of them new, in 1 hours of a table; 3" in backfill(capsys)


def test_it_goes_on_with_the_hour_it_was_stopped_in(store: Store, recorded: Events, lake: Lake) -> None:
    reader = LakeReader(lake)
    every = hours(reader, 0, time.time_ns() // 1000)
    stopped: Iterator[Any] = fill(services.own(), reader, every, [])
    next(stopped)
    stopped.close()  # type: ignore[attr-defined]
    again = list(fill(services.own(), reader, every, []))
    assert [each.skipped for each in again] == [True, False, False, False]
    assert sum(each.new for each in again) == 3 * EVENTS // 2


def test_only_the_symbols_and_times_that_are_asked_for(
    store: Store, recorded: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{EVENTS} rows read" in backfill(capsys, "--symbols", "ETHUSDT")
    assert store.execute("SELECT DISTINCT symbol FROM marketdata.symbols").fetchall() == [("ETH/USDT",)]
    assert f"{EVENTS} rows read" in backfill(capsys, "--symbols", "BTC/USDT")
    backfill(capsys, "--compare", "--symbols", "BTC/USDT")
    first = min(event.received_ts_us for event in recorded)
    half = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(first // 1_000_000 + 1800))
    assert f"{EVENTS // 2} rows read, 0 of them new" in backfill(capsys, "--to", half)


def test_a_difference_is_counted_and_is_an_error(
    store: Store, recorded: Events, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    backfill(capsys)
    store.execute("UPDATE marketdata.trades SET price = price + 1 WHERE trade_id = '77'")
    store.execute("DELETE FROM marketdata.book_ticker WHERE exchange_ts_us % 2 = 0")
    with pytest.raises(CommandError, match="hours differ"):
        backfill(capsys, "--compare")
    reader = LakeReader(lake)
    found = [compare(services.own(), reader, hour, []) for hour in hours(reader, 0, time.time_ns() // 1000)]
    assert sum(each.only_store for each in found) == 1
    [(left,)] = store.execute("SELECT count(*) FROM marketdata.book_ticker").fetchall()
    assert sum(each.only_lake for each in found) == 1 + EVENTS - left


def test_quotes_that_were_recorded_without_a_size_are_left_out(
    store: Store, recorded: Events, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    at_us = min(event.received_ts_us for event in recorded) + 5
    unsized: dict[str, list[Any]] = {
        "exchange": ["okx"],
        "symbol": ["BTC/USDT"],
        "bid": [1.0],
        "ask": [2.0],
        "received_ts_us": [at_us],
    }
    write(lake, "quotes", unsized)
    assert f"{2 * EVENTS} rows read, {2 * EVENTS} of them new" in backfill(capsys)
    backfill(capsys, "--compare")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--symbols", "BTC/USDT,"), "--symbols: one of them is empty"),
        (("--symbols", "NOPE/USDT"), "nothing was recorded of 'NOPE/USDT'"),
        (("--from", "yesterday"), "--from: "),
        (("--to", "2020-01-01"), "the store keeps rows from"),
        (("--from", "2090-01-01"), "--to: "),
    ],
)
def test_what_cannot_be_is_said(
    store: Store, recorded: Events, arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("backfill_orderbook", *arguments)


def test_an_empty_lake_is_said(store: Store, lake: Lake) -> None:
    with pytest.raises(CommandError, match="has no quotes and trades between"):
        call_command("backfill_orderbook")
