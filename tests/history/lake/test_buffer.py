"""Rows that wait for a flush: every row counted, in its table, in order, and handed over once."""

import sys

import numpy as np
import pytest

from engine.charts.points import POINT_COLUMNS
from history.write.buffer import PACK_EVENTS, Buffer
from markets.events import SpreadPoints, StreamState
from tests.support.lakes.lake import quote


def points(*times_us: int) -> SpreadPoints:
    rows = np.full((len(times_us), len(POINT_COLUMNS)), np.nan)
    rows[:, 0] = times_us
    return SpreadPoints("BTC/USDT", "binance", "bybit", rows)


def gap(*symbols: str) -> StreamState:
    return StreamState("okx", symbols, "gap", "no frame for 20 s", 1_760_000_400_000_000, 7)


def test_it_counts_rows_and_not_events() -> None:
    buffer = Buffer()
    buffer.add([quote(1), quote(2), points(10, 20, 30), gap("BTC/USDT", "ETH/USDT"), quote(3), gap()])
    assert buffer.rows == 3 + 3 + 2
    counts = {name: len(table) for name, table in buffer.tables().items()}
    assert counts == {"quotes": 3, "spreads": 3, "stream_states": 2}
    assert buffer.rows == 0
    assert buffer.tables() == {}, "what was taken is not taken twice"


@pytest.mark.parametrize("count", [1, PACK_EVENTS - 1, PACK_EVENTS, PACK_EVENTS + 1, 2 * PACK_EVENTS + 5])
def test_rows_stay_in_their_order_however_many_they_are_and_however_they_come(count: int) -> None:
    buffer = Buffer()
    for start in range(0, count, 1000):
        buffer.add(quote(number) for number in range(start, min(start + 1000, count)))
        buffer.add([points(start)])
    tables = buffer.tables()
    assert tables["quotes"]["bid"].to_pylist() == list(range(count))
    assert len(tables["spreads"]) == len(range(0, count, 1000))


@pytest.mark.parametrize(("count", "held"), [(PACK_EVENTS - 1, 1), (PACK_EVENTS, 0)])
def test_a_row_that_waits_is_an_object_only_until_there_are_many(count: int, held: int) -> None:
    quotes, buffer = [quote(number) for number in range(count)], Buffer()
    before = sys.getrefcount(quotes[0])
    buffer.add(quotes)
    after = sys.getrefcount(quotes[0])
    assert after - before == held
    assert buffer.rows == count


def test_tables_that_are_left_out_wait_on_and_stay_counted() -> None:
    buffer = Buffer()
    buffer.add([quote(1), gap("BTC/USDT", "ETH/USDT")])
    assert set(buffer.tables(besides=["stream_states"])) == {"quotes"}
    assert buffer.rows == 2
    buffer.add([quote(2), gap("ADA/USDT")])
    tables = buffer.tables()
    assert tables["quotes"]["bid"].to_pylist() == [2.0]
    assert tables["stream_states"]["symbol"].to_pylist() == ["BTC/USDT", "ETH/USDT", "ADA/USDT"]
    assert buffer.rows == 0
