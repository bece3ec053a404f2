"""Funding and mark prices in the lake: what changed, through the real sink and read back."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from pytest_django import Settings

from history.write.sink import LakeSink
from markets.config import InstrumentConfig
from markets.events import Funding, MarkPrice, Quote, SinkEvent, StreamState, Trade
from tests.support.lakes.lake import CONFIG, lake_sink, rows

S = 1_000_000
NOON = 1_767_268_800_000_000  # 2026-01-01 12:00 UTC
HOUR = 3600 * S
SWAP = "BTC/USDT:USDT"
SWAPS = structs.replace(
    CONFIG, instruments=CONFIG.instruments | {InstrumentConfig("okx:swap", SWAP, "BTC-USDT-SWAP")}
)


@pytest.fixture
def lake(tmp_path: Path, settings: Settings) -> Path:
    """Where the lake will be."""
    settings.LAKE_URL = str(tmp_path / "lake")
    return tmp_path / "lake"


def funding(at_us: int, rate: float | None = 0.0001, **more: float | None) -> Funding:
    said = {"next_ts_us": NOON + 4 * HOUR, "interval_s": 28_800, "cap": 0.01, "floor": -0.01} | more
    return Funding("okx:swap", SWAP, rate, received_ts_us=at_us, received_mono_ns=at_us * 1000, **said)  # type: ignore[arg-type]


def mark(at_us: int, price: float | None, index: float | None = None) -> MarkPrice:
    return MarkPrice("okx:swap", SWAP, price, index, at_us - 5, at_us, at_us * 1000)


async def written(*events: SinkEvent) -> dict[str, Any]:
    """Put events through a sink; returns its counters."""
    async with lake_sink(config=SWAPS) as writing:
        for event in events:
            writing.channel.put(event)
        return await writing.finish()


async def test_a_row_says_all_that_is_known_of_a_swap(lake: Path) -> None:
    await written(
        funding(NOON + S), funding(NOON + 2 * S, None, settled_rate=0.0003, settled_ts_us=NOON - 4 * HOUR)
    )
    found = rows(lake, "funding").drop("date", "hour").to_dicts()
    assert found[1] == {
        "exchange": "okx:swap",
        "symbol": SWAP,
        "rate": 0.0001,
        "rate_of": "next",
        "next_ts_us": NOON + 4 * HOUR,
        "interval_s": 28_800,
        "interval_from": "said",
        "settled_rate": 0.0003,
        "settled_ts_us": NOON - 4 * HOUR,
        "cap": 0.01,
        "floor": -0.01,
        "exchange_ts_us": None,
        "received_ts_us": NOON + 2 * S,
        "received_mono_ns": (NOON + 2 * S) * 1000,
    }


async def test_only_what_changed_becomes_a_row(lake: Path) -> None:
    rates = [0.0001, 0.0001, 0.0001, 0.0002, 0.0002]
    await written(*(funding(NOON + n * S, rate) for n, rate in enumerate(rates, 1)))
    found = rows(lake, "funding")
    assert found.select("rate", "received_ts_us").rows() == [(0.0001, NOON + S), (0.0002, NOON + 4 * S)]


async def test_what_is_unchanged_is_written_again_with_the_first_event_of_each_hour(lake: Path) -> None:
    times = [NOON + S, NOON + HOUR - S, NOON + HOUR + 7 * S, NOON + HOUR + 8 * S, NOON + 2 * HOUR]
    await written(*map(funding, times))
    found = rows(lake, "funding").select("hour", "received_ts_us").rows()
    assert found == [(12, NOON + S), (13, NOON + HOUR + 7 * S), (14, NOON + 2 * HOUR)]


async def test_a_settlement_is_a_row_and_the_old_rate_under_the_new_time_says_so(lake: Path) -> None:
    at_us, after = NOON + 4 * HOUR, NOON + 12 * HOUR
    stats = await written(
        funding(at_us - S),
        funding(at_us + 10 * S, next_ts_us=after),
        funding(at_us + 70 * S, 0.0004, next_ts_us=after),
        funding(at_us + 130 * S, 0.0004, next_ts_us=after),
    )
    found = rows(lake, "funding").select("rate", "rate_of", "next_ts_us").rows()
    assert found == [
        (0.0001, "next", at_us),
        (0.0001, "before", after),
        (0.0004, "before", after),
        (0.0004, "next", after),
    ]
    assert stats["intervals_changed"] == 0


async def test_a_changed_interval_is_a_row_and_counted(lake: Path) -> None:
    stats = await written(funding(NOON + S), funding(NOON + 2 * S, interval_s=14_400))
    assert rows(lake, "funding")["interval_s"].to_list() == [28_800, 14_400]
    assert stats["intervals_changed"] == 1


async def test_what_cannot_be_is_counted_named_once_and_unknown_in_the_lake(
    lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stats = await written(funding(NOON + S, 0.6), funding(NOON + 2 * S, 0.7, cap=-1.0))
    assert stats["funding_refused"] == {"a rate of 50 % or more": 2, "the cap is below the floor": 1}
    assert [record.message for record in caplog.records if "funding" in record.message] == [
        "okx:swap BTC/USDT:USDT: funding refused: a rate of 50 % or more",
        "okx:swap BTC/USDT:USDT: funding refused: the cap is below the floor",
    ]
    found = rows(lake, "funding").select("rate", "rate_of", "cap", "floor").rows()
    assert found == [(None, None, 0.01, -0.01), (None, None, None, None)]


async def test_marks_are_changes_at_most_one_a_second(lake: Path) -> None:
    quarter = S // 4
    prices = [
        (0, 100.0),
        (1, 101.0),
        (2, 102.0),
        (3, 103.0),
        (4, 104.0),
        (9, 103.0),
        (12, 105.0),
        (13, 105.0),
    ]
    await written(*(mark(NOON + n * quarter, price) for n, price in prices))
    found = rows(lake, "marks").select("mark", "received_ts_us").rows()
    assert found == [
        (100.0, NOON),
        (104.0, NOON + 4 * quarter),
        (103.0, NOON + 9 * quarter),
        (105.0, NOON + 13 * quarter),
    ]


async def test_mark_and_index_that_come_apart_are_in_one_row(lake: Path) -> None:
    await written(mark(NOON, 100.0), mark(NOON + 2 * S, None, 99.0), mark(NOON + 4 * S, 101.0))
    found = rows(lake, "marks").select("exchange", "mark", "index").rows()
    assert found == [
        ("okx:swap", 100.0, None),
        ("okx:swap", 100.0, 99.0),
        ("okx:swap", 101.0, 99.0),
    ]


async def test_marks_that_stand_still_are_written_once_an_hour(lake: Path) -> None:
    await written(*(mark(NOON + n * HOUR // 4, 100.0) for n in range(6)))
    assert rows(lake, "marks")["hour"].to_list() == [12, 13]


async def test_every_raw_table_has_the_key_of_the_market_and_the_full_symbol(lake: Path) -> None:
    await written(
        Quote("okx:swap", SWAP, 1.0, 1.0, 2.0, 1.0, None, NOON, 1),
        Quote("okx", "BTC/USDT", 1.0, 1.0, 2.0, 1.0, None, NOON + 1, 2),
        Trade("okx:swap", SWAP, 1.0, 1.0, "buy", "1", None, NOON),
        StreamState("okx:swap", (SWAP,), "down", "closed", NOON, 1),
    )
    names = [("okx:swap", SWAP), ("okx", "BTC/USDT")]
    assert rows(lake, "quotes").select("exchange", "symbol").rows() == names
    assert rows(lake, "trades").select("exchange", "symbol").rows() == names[:1]
    states = rows(lake, "stream_states").select("exchange", "symbol").rows()
    assert ("okx:swap", SWAP) in states


async def test_events_that_changed_nothing_leave_nothing_to_flush(lake: Path) -> None:
    stats = await written(funding(NOON + S), *(funding(NOON + n * S) for n in range(2, 50)))
    assert stats["rows"]["funding"] == 1


async def test_a_swap_that_is_followed_no_longer_is_forgotten(lake: Path) -> None:
    async with lake_sink(config=SWAPS) as writing:
        writing.channel.put(funding(NOON + S))
        writing.channel.put(mark(NOON + S, 1.0))
        await writing.until_written(1, "funding")
        changes = writing.sink._buffer.changes
        assert len(changes.funding.states) == len(changes._written) == 1
        writing.sink.configure(CONFIG)
        assert not any((changes.funding.states, changes._hours, changes._marks, changes._written))


def test_the_sink_wants_what_swaps_say() -> None:
    assert {Funding, MarkPrice} <= LakeSink.wants
