"""The store on each engine: what is written once, rolled up, measured and dropped."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from markets.events import BookUpdate, Quote, Trade
from orderbook.ingest.events import StoreEvent, Top5
from orderbook.ingest.writer import Writer
from orderbook.store.engine import Engine
from orderbook.store.tables import RAW, ROLLUPS
from tests.orderbook.conftest import EMPTY, connect, oldest_waiting, plain_only

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
NOON_US = int(NOON.timestamp()) * 1_000_000


def quote(at_us: int, bid: float = 100.0, ask: float = 101.0, symbol: str = "BTC/USDT") -> Quote:
    return Quote("okx", symbol, bid, 1.0, ask, 2.0, at_us - 5, NOON_US + at_us)


def trade(at_us: int, price: float, size: float, **more: Any) -> Trade:
    side, at = more.pop("side", "buy"), NOON_US + at_us
    trade_id = more.pop("trade_id", str(at_us))
    return Trade("okx", "BTC/USDT", price, size, side, trade_id, None, at, **more)


def rows(store: psycopg.Connection[Any], table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return store.execute(f"SELECT {columns} FROM marketdata.{table} ORDER BY 1, 2").fetchall()


def test_a_batch_that_is_delivered_twice_is_there_once(
    store: psycopg.Connection[Any], engine: Engine
) -> None:
    batch: list[StoreEvent] = [quote(1), quote(2, bid=99.5), trade(3, 100.5, 0.25)]
    assert Writer(engine).write(store, batch) == 3
    assert Writer(engine).write(store, [*batch, quote(4)]) == 1
    assert len(rows(store, "book_ticker")) == 3
    assert rows(store, "trades", "price, size, side, trade_id, is_history") == [
        (100.5, 0.25, "buy", "3", False)
    ]


def test_two_quotes_of_one_microsecond_are_both_kept(store: psycopg.Connection[Any], engine: Engine) -> None:
    assert Writer(engine).write(store, [quote(7), quote(7, bid=99.0), quote(7)]) == 2


def test_the_moment_is_kept_to_the_microsecond(store: psycopg.Connection[Any], engine: Engine) -> None:
    Writer(engine).write(store, [quote(123_456)])
    assert rows(store, "book_ticker", "symbol_id, received_at, exchange_ts_us")[0][1:] == (
        NOON + timedelta(microseconds=123_456), 123_451,
    )  # fmt: skip


def test_a_batch_that_fails_leaves_nothing_and_can_be_written_again(
    store: psycopg.Connection[Any], engine: Engine
) -> None:
    writer = Writer(engine)
    with connect() as other, other.transaction():
        other.execute("LOCK TABLE marketdata.touched")
        store.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            writer.write(store, [quote(1)])
    assert rows(store, "symbols") == []
    assert writer.write(store, [quote(1)]) == 1


NAN, HUGE = float("nan"), 2**70
BAD = [
    (trade(2, price=None, size=1.0), "not a number"),  # type: ignore[arg-type]
    (quote(3, bid=NAN), "not a number"),
    (quote(4, ask=float("inf")), "not a number"),
    (trade(5, 1, 1, trade_id="a\0b"), "text"),
    (trade(6, 1, 1, side="\ud800"), "text"),
    (quote(7, symbol="BTC\0/USDT"), "text"),
    (quote(-NOON_US), "time"),
    (quote(10**17), "time"),
    (quote(HUGE), "too large"),
    (Quote("okx", "BTC/USDT", 1, 1, 2, 1, HUGE, NOON_US), "too large"),
    (quote(8, bid="many"), "wrong type"),  # type: ignore[arg-type]
    (BookUpdate("okx", "BTC/USDT", "delta", [(1.0, NAN)], [], received_ts_us=NOON_US), "not a number"),
    (Top5("okx", "BTC/USDT", (NAN,), (1.0,), (), (), None, NOON_US), "not a number"),
]


@pytest.mark.parametrize(("bad", "kind"), BAD, ids=[f"{kind} {n}" for n, (_bad, kind) in enumerate(BAD)])
def test_what_no_row_can_be_made_of_is_set_aside_and_counted_and_the_rest_is_written(
    store: psycopg.Connection[Any], engine: Engine, bad: StoreEvent, kind: str
) -> None:
    writer = Writer(engine)
    assert writer.write(store, [quote(1), bad, trade(9, 2.0, 1.0)]) == 2
    assert writer.set_aside == {kind: 1}


def test_rows_of_all_kinds_say_what_their_events_said(store: psycopg.Connection[Any], engine: Engine) -> None:
    """Whatever is null, beside rows where it is not."""
    silent = Quote("okx", "BTC/USDT", 1.5, 2.0, 3.0, 4.0, None, NOON_US)
    first = trade(2, 1.0, 2.0, side=None, trade_id=None)
    update = BookUpdate("okx", "BTC/USDT", "delta", [(1.0, 0.0)], [], 4, 5, 3, 7, None, None, NOON_US)
    lost = BookUpdate("okx", "BTC/USDT", "gap", [], [], received_ts_us=NOON_US + 1)
    top = Top5("okx", "BTC/USDT", (2.0, 1.0), (0.5, 0.25), (), (), 9, NOON_US)
    Writer(engine).write(store, [silent, quote(1), first, trade(3, 5, 6), update, lost, top])
    kept = "exchange_ts_us, bid, bid_size, ask, ask_size"
    assert rows(store, "book_ticker", f"received_at, {kept}") == [
        (NOON, None, 1.5, 2.0, 3.0, 4.0), (NOON + timedelta(microseconds=1), -4, 100, 1, 101, 2),
    ]  # fmt: skip
    assert rows(store, "trades", "price, size, side, trade_id, is_history") == [
        (1, 2, None, None, False), (5, 6, "buy", "3", False),
    ]  # fmt: skip
    events = rows(store, "depth_events", "kind, first_seq, last_seq, event::text")
    assert [(*known, json.loads(event)) for *known, event in events] == [
        ("delta", 4, 5, {"bids": [[1.0, 0.0]], "asks": [], "prev_seq": 3, "checksum": 7}),
        ("gap", None, None, {"bids": [], "asks": []}),
    ]
    assert rows(store, "orderbook_top5", "exchange_ts_us, bids, bid_sizes, asks, ask_sizes") == [
        (9, [2.0, 1.0], [0.5, 0.25], [], [])
    ]


def test_second_bars_are_those_of_the_rows(store: psycopg.Connection[Any], engine: Engine) -> None:
    quotes = [quote(0, 100, 102), quote(400_000, 104, 106), quote(900_000, 98, 99), quote(1_000_000, 1, 2)]
    trades = [trade(1, 10, 1), trade(2, 12, 2, side="sell"), trade(3, 11, 4, side=None)]
    Writer(engine).write(store, [*quotes, *trades, trade(4, 500, 9, is_history=True)])
    assert oldest_waiting(store, "trades") == NOON
    assert engine.roll_up(store, "book_ticker", 10) == engine.roll_up(store, "trades", 10) == 1
    bars = rows(store, "bt_1s", "second, bid, ask, mid_open, mid_high, mid_low, mid_close, quotes")
    assert bars == [
        (NOON, 98, 99, 101, 105, 98.5, 98.5, 3),
        (NOON + timedelta(seconds=1), 1, 2, 1.5, 1.5, 1.5, 1.5, 1),
    ]
    traded = "second, open, high, low, close, volume, quote_volume, buy_volume, sell_volume, trades"
    assert rows(store, "trade_1s", traded) == [(NOON, 10, 12, 10, 11, 7, 78, 1, 2, 3)]
    assert oldest_waiting(store, "trades") is None
    assert engine.roll_up(store, "trades", 10) == 0


@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 150_000_000), st.integers(90, 110), st.booleans()), max_size=30))
def test_bars_kept_up_between_batches_equal_those_of_all_at_once(
    store: psycopg.Connection[Any], engine: Engine, arriving: list[tuple[int, int, bool]]
) -> None:
    """Late rows among them: rows come in any order, and a rollup may run after any of them."""
    writer = Writer(engine)
    store.execute(EMPTY)
    for at_us, bid, roll in arriving:
        writer.write(store, [quote(at_us, bid, bid + 1)])
        if roll:
            engine.roll_up(store, "book_ticker", 2)
    while engine.roll_up(store, "book_ticker", 2):
        pass
    kept_up = rows(store, "bt_1s")
    store.execute("TRUNCATE marketdata.bt_1s")
    store.execute(
        "INSERT INTO marketdata.touched SELECT DISTINCT 'book_ticker', date_trunc('minute', received_at) "
        "FROM marketdata.book_ticker"
    )
    engine.roll_up(store, "book_ticker", 1000)
    assert rows(store, "bt_1s") == kept_up
    assert sum(each[-1] for each in kept_up) == len(rows(store, "book_ticker"))


def test_a_row_committed_during_a_rollup_is_rolled_up_by_the_next(
    store: psycopg.Connection[Any], engine: Engine
) -> None:
    Writer(engine).write(store, [quote(1)])
    with connect() as other, other.transaction():
        other.execute(
            "INSERT INTO marketdata.book_ticker SELECT symbol_id, received_at, digest + 1, exchange_ts_us, "
            "bid, bid_size, ask, ask_size FROM marketdata.book_ticker ORDER BY received_at LIMIT 1"
        )
        other.execute("INSERT INTO marketdata.touched VALUES ('book_ticker', %s)", [NOON])
        assert engine.roll_up(store, "book_ticker", 1) == 1  # waits for nobody
        assert rows(store, "bt_1s", "second, quotes") == [(NOON, 1)]
    assert engine.roll_up(store, "book_ticker", 1) == 1
    assert rows(store, "bt_1s", "second, quotes") == [(NOON, 2)]


def test_parts_are_dropped_when_their_hour_is_past(store: psycopg.Connection[Any], engine: Engine) -> None:
    engine.drop_before(store, "trades", datetime(2100, 1, 1, tzinfo=UTC))
    hours = [trade(hour * 3_600_000_000, 1, 1) for hour in range(4)]
    Writer(engine).write(store, hours)
    sizes = {each.table: each for each in engine.sizes(store)}
    assert (sizes["trades"].partitions, sizes["trades"].oldest) == (4, NOON)
    assert sizes["trades"].bytes > 0
    assert engine.drop_before(store, "trades", NOON + timedelta(minutes=59)) == 0
    assert engine.drop_before(store, "trades", NOON + timedelta(hours=2)) == 2
    assert rows(store, "trades", "received_at, price") == [
        (NOON + timedelta(hours=2), 1), (NOON + timedelta(hours=3), 1),
    ]  # fmt: skip


def test_sizes_count_rows_once_they_are_analyzed(store: psycopg.Connection[Any], engine: Engine) -> None:
    Writer(engine).write(store, [quote(at, bid=90 + at) for at in range(9)])
    engine.roll_up(store, "book_ticker", 1)
    store.execute("ANALYZE marketdata.book_ticker")
    sizes = {each.table: each for each in engine.sizes(store)}
    assert (sizes["book_ticker"].rows, sizes["book_ticker"].compressed, sizes["book_ticker"].late) == (
        9,
        0,
        0,
    )
    assert set(sizes) == {*RAW, *ROLLUPS}


@plain_only
def test_partitions_are_made_ahead_once(store: psycopg.Connection[Any], engine: Engine) -> None:
    engine.drop_before(store, "trades", datetime(2100, 1, 1, tzinfo=UTC))
    assert engine.make_partitions(store, "trades", NOON, NOON + timedelta(hours=2)) == 3
    assert engine.make_partitions(store, "trades", NOON, NOON + timedelta(hours=3)) == 1


@plain_only
def test_a_partition_that_retention_dropped_under_a_writer_is_made_at_the_next_try(
    store: psycopg.Connection[Any], engine: Engine
) -> None:
    writer = Writer(engine)
    writer.write(store, [trade(1, 1, 1)])
    engine.drop_before(store, "trades", NOON + timedelta(hours=1))
    with pytest.raises(psycopg.errors.CheckViolation):
        writer.write(store, [trade(2, 1, 1)])
    assert writer.write(store, [trade(2, 1, 1)]) == 1


def test_a_batch_is_refused_inside_a_transaction(store: psycopg.Connection[Any], engine: Engine) -> None:
    with store.transaction(), pytest.raises(ValueError, match="transaction of its own"):
        Writer(engine).write(store, [quote(1)])
