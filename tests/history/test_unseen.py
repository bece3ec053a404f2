"""Unseen time is a gap, beside any writer: a kill, a standstill, a chart switched off and on."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from collectors import supervisor as supervisor_module
from core.clock.clocks import Clocks
from engine.charts.batch import POINT_SCHEMA, Terms
from history.lake.schema import collector_started
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.read.spreads import chart_points
from history.read.unseen import broken
from markets.config import Shard
from markets.events import StreamState
from tests.collectors import test_supervisor as collecting
from tests.support.exchanges.tiny_exchange import TinyExchange, until
from tests.support.lakes.lake_data import write
from tests.support.spread_oracle import FIRST, NOON_US, SECOND, SYMBOL, config, engine, feed, quote

S = 1_000_000
TERMS = Terms("BTC/USDT", "binance", "bybit")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def store_points(lake: Lake, *seconds: float) -> None:
    names = {"symbol": "BTC/USDT", "exchange1": "binance", "exchange2": "bybit"}
    times = [NOON_US + int(second * S) for second in seconds]
    columns: dict[str, list[Any]] = {name: [value] * len(times) for name, value in names.items()}
    write(lake, "spreads", columns | {"ts_us": times, "spread": [1.0] * len(times)})


def store_states(lake: Lake, *rows: tuple[str, str, float | None, float], symbol: str = "BTC/USDT") -> None:
    """State, reason, since, received; seconds."""
    found = [
        ("", "" if state == "up" else symbol, state, reason, 0, _us(since), _us(at))
        for state, reason, since, at in rows
    ]
    names = ["exchange", "symbol", "state", "reason", "dropped", "since_us", "received_ts_us"]
    write(lake, "stream_states", pl.DataFrame(found, schema=names, orient="row"))


def _us(second: float | None) -> int | None:
    return None if second is None else NOON_US + int(second * S)


def line(lake: Lake, terms: Terms = TERMS) -> list[tuple[float, bool]]:
    """Seconds, and whether there is a value."""
    _sources, frames = chart_points(LakeReader(lake), terms, NOON_US, NOON_US + 3600 * S)
    rows = pl.concat(list(frames))
    return [
        ((us - NOON_US) / S, spread is not None) for us, spread in rows.select("ts_us", "spread").iter_rows()
    ]


STARTED = collector_started(Shard())


class TestStoredLines:
    def test_a_kill_breaks_the_line_where_the_killed_one_was_last_alive(self, lake: Lake) -> None:
        store_points(lake, 0, 1, 91, 92)
        store_states(lake, ("up", STARTED, None, 90), ("gap", "no collector ran", 1.5, 90))
        assert line(lake) == [(0, True), (1, True), (1.5, False), (91, True), (92, True)]

    def test_a_start_alone_breaks_it_after_the_last_point(self, lake: Lake) -> None:
        """The first collector of a shard does not know when the last one was alive."""
        store_points(lake, 0, 1, 91)
        store_states(lake, ("up", STARTED, None, 90))
        assert line(lake) == [(0, True), (1, True), (1.000001, False), (91, True)]

    def test_the_start_of_another_shard_breaks_nothing(self, lake: Lake) -> None:
        store_points(lake, 0, 1, 50)
        shard = next(Shard(i, 2) for i in (1, 2) if not Shard(i, 2).owns("BTC/USDT"))
        store_states(lake, ("up", collector_started(shard), None, 40))
        assert line(lake) == [(0, True), (1, True), (50, True)]

    def test_a_gap_of_another_symbol_breaks_nothing(self, lake: Lake) -> None:
        store_points(lake, 0, 1, 50)
        store_states(lake, ("gap", "no collector ran", 1, 40), symbol="ETH/USDT")
        assert line(lake) == [(0, True), (1, True), (50, True)]

    def test_a_damaged_file_of_everything_breaks_it(self, lake: Lake) -> None:
        store_points(lake, 0, 1, 50)
        store_states(lake, ("gap", "spreads: x is damaged", 10, 40), symbol="")
        assert line(lake) == [(0, True), (1, True), (10, False), (50, True)]

    def test_several_starts_in_a_row_break_it_once(self, lake: Lake) -> None:
        store_points(lake, 0, 1, 91)
        store_states(
            lake, ("up", STARTED, None, 30), ("gap", "no collector ran", 1, 30),
            ("up", STARTED, None, 60), ("gap", "no collector ran", 31, 60),
        )  # fmt: skip
        assert line(lake) == [(0, True), (1, True), (1.000001, False), (91, True)]

    def test_either_way_round_and_over_a_gap_that_is_stored_already(self, lake: Lake) -> None:
        store_points(lake, 0, 1, 91)
        store_states(lake, ("up", STARTED, None, 90), ("gap", "no collector ran", 1.5, 90))
        assert [at for at, seen in line(lake, TERMS.turned()) if not seen] == [1.5]

    @pytest.mark.parametrize("cut", range(1, 5))
    def test_where_the_frames_are_cut_changes_nothing(self, cut: int) -> None:
        rows = pl.DataFrame(
            {"ts_us": [10, 20, 30, 40, 50], "spread": [1.0] * 5}, schema_overrides={"ts_us": pl.Int64}
        )
        rows = rows.with_columns(
            pl.lit(None, pl.Float64).alias(n) for n in POINT_SCHEMA if n not in rows.columns
        )
        whole = pl.concat(list(broken([rows], [(12, 19), (0, 30), (35, 45)])))
        parts = pl.concat(list(broken([rows[:cut], rows[cut:]], [(12, 19), (0, 30), (35, 45)])))
        assert whole["ts_us"].to_list() == parts["ts_us"].to_list() == [10, 12, 20, 21, 30, 40, 41, 50]


class TestSwitchedOff:
    def test_a_chart_that_is_switched_off_ends_with_its_last_points_and_a_gap(self) -> None:
        desk = engine(1000)
        feed(desk, [quote(FIRST, 100, 0), quote(SECOND, 100, 0)])
        desk.on_quote(quote(FIRST, 101, 200))
        desk.expire(300_000_000, NOON_US + 300_000)
        before = config(1000)
        desk.configure(type(before)(before.revision + 1, before.exchanges, before.instruments, ()))
        (ended,) = desk.take_ended()
        assert ended.symbol == SYMBOL
        assert np.isnan(ended.points[-1, 1])
        assert ended.points[-1, 0] <= NOON_US + 300_000
        assert len(ended.points) == 2, "what was not collected yet is kept as well"
        assert desk.take_ended() == []
        assert desk.collect() == []

    def test_one_that_never_was_live_ends_with_nothing(self) -> None:
        desk = engine(1000)
        before = config(1000)
        desk.configure(type(before)(before.revision + 1, before.exchanges, before.instruments, ()))
        assert desk.take_ended() == []


class Fake:
    """Clocks set by hand, ns."""

    def __init__(self) -> None:
        self.wall = 1_000_000 * 10**9
        self.boot = 5 * 10**9

    def clocks(self) -> Clocks:
        return Clocks(1.0, lambda: self.wall, lambda: self.boot, lambda: self.boot)

    def pass_s(self, seconds: float, wall_s: float | None = None) -> None:
        self.boot += int(seconds * 1e9)
        self.wall += int((seconds if wall_s is None else wall_s) * 1e9)


@pytest.mark.parametrize(
    ("passed_s", "wall_s", "jumped_s", "stood_s"),
    [
        (1.0, 1.0, 0.0, 0.0),
        (1.0, -3599.0, -3600.0, 0.0),
        (1.0, 21.0, 20.0, 0.0),
        (1.0, 1.9, 0.0, 0.0),
        (1.0, 3.0, 2.0, 0.0),
        (2.5, 2.5, 0.0, 0.0),
        (90.0, 90.0, 0.0, 90.0),  # SIGSTOP, or a sleep that the clock since boot counts
        (90.0, -3510.0, -3600.0, 90.0),
    ],
)
def test_what_happened_to_the_clocks(passed_s: float, wall_s: float, jumped_s: float, stood_s: float) -> None:
    fake = Fake()
    clocks = fake.clocks()
    fake.pass_s(passed_s, wall_s)
    tick = clocks.tick()
    assert (tick.jumped_s, tick.stood_s) == (jumped_s, stood_s)
    fake.pass_s(1.0)
    assert (clocks.tick().jumped_s, clocks.last.stood_s) == (0.0, 0.0)


async def test_a_collector_that_stood_still_says_so_at_the_last_moment_it_saw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = Fake()
    monkeypatch.setattr(supervisor_module, "CLOCK_CHECK_S", 0.05)
    monkeypatch.setattr(supervisor_module, "Clocks", lambda _every_s: fake.clocks())
    out = collecting.outlet()
    async with TinyExchange() as exchange, collecting.running(out) as supervisor:
        supervisor.apply(collecting.config(exchange, "tiny"))
        sink = collecting.kept(out)
        await until(lambda: sink.up() == collecting.both("tiny"))
        seen_us = fake.wall // 1000
        fake.pass_s(90.0)
        await until(lambda: any(state == "gap" for _, state, _, _ in sink.states))
        gap = next(e for e in sink.events if isinstance(e, StreamState) and e.state == "gap")
        assert "stood still for 90.0 s" in gap.reason
        assert gap.received_ts_us == seen_us
        assert set(gap.symbols) == {name for _, name in collecting.both("tiny")}
