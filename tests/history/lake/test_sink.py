"""The lake sink: whatever a collector sees is in the lake a second later, and what it lost is said."""

import threading
import time
from math import nan
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from pytest_django import Settings

from history.lake.schema import started_shard
from history.lake.tables import Lake
from history.write import appending, sink
from history.write.sink import FLUSH_ROWS
from markets.config import InstrumentConfig, Shard
from markets.events import OpportunityEvent, SpreadPoints, StreamState, Trade
from tests.support.lakes.lake import CONFIG, DEADLINE_S, SYMBOLS, bids, lake_sink, quote, rows


@pytest.fixture
def lake(tmp_path: Path, settings: Settings) -> Path:
    """Where the lake will be; nothing is there yet."""
    settings.LAKE_URL = str(tmp_path / "lake")
    return tmp_path / "lake"


class TestRows:
    async def test_every_kind_of_event_becomes_rows_of_its_table(self, lake: Path) -> None:
        now_us = time.time_ns() // 1000
        trade = Trade("okx", "ETH/USDT", 3000.5, 0.25, "sell", "t1", now_us - 7, now_us, 9)
        points = np.array([[now_us, 0.1, 0.2, 0.0, -9, -8, 7, 6, 5, 0], [now_us + 1, *[nan] * 9]])
        opened = OpportunityEvent("BTC/USDT", "binance", "okx", 3, "open", now_us, 0.1, 1, 2, 3, 4)
        async with lake_sink() as writing:
            writing.channel.put_many(
                [quote(1), trade, SpreadPoints("BTC/USDT", "binance", "okx", points), opened]
            )
            writing.channel.put(StreamState("okx", ("BTC/USDT", "ETH/USDT"), "down", "closed", now_us, 11))
            await writing.finish()
        (written,) = rows(lake, "quotes").to_dicts()
        assert (written["exchange"], written["bid"], written["exchange_ts_us"]) == ("binance", 1.0, None)
        (written,) = rows(lake, "trades").drop("date", "hour").to_dicts()
        assert written == {k: v for k, v in structs.asdict(trade).items() if k in written}
        line = rows(lake, "spreads")
        assert line["spread"].to_list() == [0.1, None]
        assert line.row(0)[3:13] == tuple(points[0])
        (written,) = rows(lake, "opportunities").drop("date", "hour").to_dicts()
        assert written == structs.asdict(opened)
        states = rows(lake, "stream_states").to_dicts()
        states_of_okx = {(s["symbol"], s["state"], s["reason"]) for s in states if s["exchange"] == "okx"}
        assert states_of_okx == {("BTC/USDT", "down", "closed"), ("ETH/USDT", "down", "closed")}

    async def test_rows_lie_in_the_partition_of_their_own_clock(self, lake: Path) -> None:
        midnight_us = 1_767_225_600_000_000  # 2026-01-01
        async with lake_sink() as writing:
            for offset in (-1, 0, 3_600_000_000):
                writing.channel.put(structs.replace(quote(1), received_ts_us=midnight_us + offset))
            await writing.finish()
        found = rows(lake, "quotes").select("date", "hour", "received_ts_us").rows()
        assert found == [
            ("2025-12-31", 23, midnight_us - 1),
            ("2026-01-01", 0, midnight_us),
            ("2026-01-01", 1, midnight_us + 3_600_000_000),
        ]

    async def test_a_quote_is_in_the_lake_within_the_flush_interval(self, lake: Path) -> None:
        async with lake_sink() as writing:
            writing.quotes(1)
            started = time.monotonic()
            await writing.until_written(1)
            assert bids(lake) == [1.0]
        assert time.monotonic() - started < 3

    async def test_no_flush_waits_for_a_checkpoint_but_the_end_does_and_there_is_one_at_a_time(
        self, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, may_end = [], threading.Event()

        def sum_up(_lake: Lake, table: str) -> None:
            begun.append(table)
            may_end.wait(DEADLINE_S)

        monkeypatch.setattr(appending, "CHECKPOINT_EVERY", 1)
        monkeypatch.setattr(appending, "sum_up", sum_up)
        monkeypatch.setattr(sink, "FLUSH_S", 0.01)
        async with lake_sink() as writing:
            for number in range(1, 4):
                writing.quotes(1, number)
                await writing.until_written(number)
            assert len(begun) == 1
            writing.channel.close()
            await writing.until(lambda stats: stats["pending_rows"] == 0)
            assert not writing.task.done()
            may_end.set()
            await writing.finish()
        assert bids(lake) == [1.0, 2.0, 3.0]

    async def test_what_still_waits_when_the_collector_stops_is_written(self, lake: Path) -> None:
        count = 2 * FLUSH_ROWS + 1234
        async with lake_sink(capacity=200_000) as writing:
            writing.quotes(count)
            stats = await writing.finish()
        assert bids(lake) == [float(n) for n in range(1, count + 1)]
        assert (stats["rows"]["quotes"], stats["pending_rows"], stats["events_lost"]) == (count, 0, 0)
        assert stats["flushes"] == 3  # full ones, and the rest


class TestCounting:
    async def test_rows_are_counted_by_table_and_symbol(self, lake: Path) -> None:
        async with lake_sink() as writing:
            writing.quotes(3, symbol="BTC/USDT")
            writing.quotes(2, symbol="ETH/USDT")
            writing.quotes(1, symbol="NOT/CONFIGURED")
            stats = await writing.finish()
        assert stats["rows"]["quotes"] == 6
        assert stats["rows_by_symbol"]["quotes"] == {"BTC/USDT": 3, "ETH/USDT": 2}

    async def test_the_count_of_a_symbol_goes_with_it(self, lake: Path) -> None:
        async with lake_sink() as writing:
            writing.quotes(3)
            await writing.until_written(3)
            only_eth = frozenset({InstrumentConfig("binance", "ETH/USDT", "ETHUSDT")})
            writing.sink.configure(structs.replace(CONFIG, instruments=only_eth))
            assert "quotes" not in writing.sink.stats()["rows_by_symbol"]


class TestGaps:
    async def test_what_the_channel_dropped_is_a_row_per_symbol_that_says_between_which_times(
        self, lake: Path
    ) -> None:
        async with lake_sink(capacity=10) as writing:
            writing.quotes(5)
            await writing.until(lambda stats: stats["pending_rows"] == 5)
            writing.quotes(25, first=6)
            stats = await writing.finish()
        assert bids(lake) == [*range(1, 6), *range(21, 31)]
        assert (stats["events_lost"], writing.channel.dropped) == (15, 15)
        gaps = rows(lake, "stream_states").to_dicts()[1:]
        assert {(gap["exchange"], gap["symbol"], gap["state"], gap["dropped"]) for gap in gaps} == {
            ("", symbol, "gap", 15) for symbol in SYMBOLS
        }
        times = dict(rows(lake, "quotes").select("bid", "received_ts_us").rows())
        assert {(gap["since_us"], gap["received_ts_us"]) for gap in gaps} == {(times[5.0], times[21.0])}
        assert gaps[0]["reason"] == "15 events dropped: the lake did not keep up"

    async def test_the_first_row_of_a_collector_says_that_it_started(self, lake: Path) -> None:
        async with lake_sink(shard=Shard(1, 1)) as writing:
            writing.quotes(1)
            await writing.finish()
        (state,) = rows(lake, "stream_states").to_dicts()
        assert (state["exchange"], state["symbol"], state["state"]) == ("", "", "up")
        assert started_shard(state["reason"]) == Shard(1, 1)
        assert state["received_ts_us"] <= rows(lake, "quotes")["received_ts_us"][0]

    async def test_the_time_between_two_lives_is_a_gap_even_if_nobody_said_goodbye(self, lake: Path) -> None:
        async with lake_sink() as writing:
            writing.quotes(1)
            await writing.until_written(1)
            await writing.until(lambda stats: stats["pending_rows"] == 0)  # a flush writes several tables
            died_us = time.time_ns() // 1000
            writing.task.cancel()
        started_us = time.time_ns() // 1000
        async with lake_sink() as writing:
            writing.quotes(1)
            await writing.finish()
        gaps = [state for state in rows(lake, "stream_states").to_dicts() if state["state"] == "gap"]
        assert {(gap["exchange"], gap["symbol"], gap["reason"]) for gap in gaps} == {
            ("", symbol, "no collector ran") for symbol in SYMBOLS
        }
        last_us, first_us = rows(lake, "quotes")["received_ts_us"].to_list()
        for gap in gaps:
            assert last_us < gap["since_us"] <= died_us < started_us <= gap["received_ts_us"] < first_us

    async def test_a_shard_that_was_away_is_no_gap_of_the_others(self, lake: Path) -> None:
        shards = Shard(1, 2), Shard(2, 2)
        bases = "BTC", "ETH", "SOL", "XRP", "DOGE", "ADA", "LTC"
        owners = {f"{base}/USDT": shard for base in bases for shard in shards if shard.owns(f"{base}/USDT")}
        assert set(owners.values()) == set(shards)
        config = structs.replace(
            CONFIG, instruments=frozenset(InstrumentConfig("binance", symbol, symbol) for symbol in owners)
        )
        for shard in (*shards, shards[1]):
            async with lake_sink(shard=shard, config=config) as writing:
                writing.quotes(1)
                await writing.finish()
        gaps = [
            state["symbol"] for state in rows(lake, "stream_states").to_dicts() if state["state"] == "gap"
        ]
        assert sorted(gaps) == sorted(symbol for symbol, shard in owners.items() if shard == shards[1])
