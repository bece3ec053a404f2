"""Nothing older replaces something newer: states and frames of shards, however late and in whatever order."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.scanner import book as scan_book
from realtime.scanner import wire as scan_wire
from realtime.scanner.book import ScanBook
from realtime.scanner.messages import CELLS, make_page
from realtime.scanner.table import ScanTable
from realtime.scanner.view import Query, View
from realtime.scanner.wire import LEG_ROW, Directory, Frame, LegName, ShardScan, State
from realtime.shard_view import SILENT_AFTER_S
from tests.support.scan.data import market

START_S = 1_000_000.0  # of the monotonic clock
WALL_S = 1_763_640_000.0
HOUR_S = 3600.0


class Clock:
    """The reader's clocks, which only the test moves."""

    def __init__(self) -> None:
        self.now_s = START_S

    def monotonic(self) -> float:
        return self.now_s

    def monotonic_ns(self) -> int:
        return round(self.now_s * 1e9)

    def time_ns(self) -> int:
        return round((WALL_S + self.now_s - START_S) * 1e9)


class Collector:
    """A shard's process: its legs are BTC on three exchanges, whose bids count their quotes."""

    def __init__(self, shard: str = "1/1", wall_s: float = 0.0, layout: int = 1000) -> None:
        self.shard = shard
        self.wall_s = wall_s  # by how much its wall clock is wrong
        self.layout = self.seq = layout
        self.names = [LegName(key, "BTC/USDT", "BTC/USDT") for key in ("binance", "bybit", "okx")]
        self.rows = np.zeros(3, LEG_ROW)
        for name in ("bid", "ask", "age_ms", "gap_ms"):
            self.rows[name] = np.nan
        self.rows["scale"], self.rows["up"] = 1.0, True
        self.born = np.full(3, np.nan)
        self.changed: set[int] = set()

    def wall_us(self, now_s: float) -> int:
        return round((WALL_S + now_s - START_S + self.wall_s) * 1e6)

    def quote(self, leg: int, number: int, now_s: float) -> None:
        row = self.rows[leg]
        row["bid"], row["ask"] = number, number + 0.5
        row["bid_size"] = row["ask_size"] = 1.0
        row["received_ts_us"], self.born[leg] = self.wall_us(now_s), now_s
        self.changed.add(leg)

    def _aged(self, now_s: float) -> Any:
        self.rows["age_ms"] = (now_s - self.born) * 1e3
        return self.rows

    def frame(self, now_s: float) -> Frame:
        previous, self.seq = self.seq, self.seq + 1
        changed = sorted(self.changed)
        self.changed.clear()
        return Frame(
            self.shard, self.layout, self.seq, previous, self.wall_us(now_s),
            np.array(changed, "<u4").tobytes(), self._aged(now_s)[changed].tobytes(),
        )  # fmt: skip

    def state(self, now_s: float) -> tuple[Directory, State]:
        self.seq += 1
        self.changed.clear()
        pairs = np.array([(0, 1), (0, 2), (1, 2)], "<i4").tobytes()
        state = State(self.layout, self.seq, self.wall_us(now_s), self._aged(now_s).tobytes())
        return Directory(self.shard, self.layout, 1, self.names, pairs), state


class Web:
    """A web process's scanner without Redis: what comes, and what its rows are then."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.book = ScanBook()
        self.book.table = ScanTable(market(("BTC/USDT",)))

    def take_state(self, directory: Directory, state: State) -> None:
        now_us = self.clock.time_ns() // 1000
        scan = ShardScan(directory, state, None, now_us, self.clock.now_s)
        self.book.learn({directory.shard: scan})

    def take_frame(self, frame: Frame) -> None:
        self.book.apply(scan_wire.decode_frame(scan_wire.encode(frame)))

    def rows(self) -> dict[str, dict[str, Any]]:
        self.book.refresh()
        page = make_page(View(self.book.table, Query()), slice(0, 10), 1, self.book.now_us())
        return {id: dict(zip(CELLS, row, strict=True)) for id, row in page.rows.items()}

    def legs(self) -> dict[str, tuple[float, int | None, str]]:
        """Exchange -> number of its quote, when it came, its state."""
        rows = self.rows()
        seen = {}
        for place, leg in enumerate(self.book.table.listings):
            for row in rows.values():
                for side in (1, 2):
                    if row[f"exchange{side}"] == leg.exchange:
                        bid = float(self.book.table.legs["bid"][place])
                        seen[leg.exchange] = (bid, row[f"at{side}"], row[f"state{side}"])
        return seen


@contextmanager
def web() -> Iterator[Web]:
    clock = Clock()
    with patch.object(scan_book, "time", clock):
        yield Web(clock)


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["quote", "quote", "quote", "frame", "frame", "state", "wait", "restart", "reconfigure"]
        ),
        st.integers(0, 2),
        st.floats(0.0, 1.5),  # how long it takes
        st.floats(0.0, 3.0),  # how late what is said then arrives
        st.booleans(),  # it is lost
    ),
    max_size=40,
)


def said(collector: Collector, chosen: Any, walls: list[float]) -> list[tuple[float, Any]]:
    """Messages of a collector in the course of these steps: arrival -> a frame, or directory and state."""
    arriving: list[tuple[float, Any]] = [(START_S, collector.state(START_S))]
    now_s, number = START_S, 0
    for kind, leg, wait_s, late_s, lost in chosen:
        now_s += wait_s
        if kind == "quote":
            number += 1
            collector.quote(leg, number, now_s)
        elif kind in ("frame", "state"):
            message = collector.frame(now_s) if kind == "frame" else collector.state(now_s)
            if not lost:
                arriving.append((now_s + late_s, message))
        elif kind == "restart":
            wall_s = walls.pop() if walls else 0.0
            after = Collector(collector.shard, wall_s, collector.seq + 1)
            collector.__dict__.update(after.__dict__)
            arriving.append((now_s + late_s, collector.state(now_s)))
        elif kind == "reconfigure":
            collector.layout = collector.seq = collector.seq + 1
            arriving.append((now_s + late_s, collector.state(now_s)))
    return arriving


@given(steps, st.lists(st.sampled_from([0.0, HOUR_S, -HOUR_S]), max_size=5))
@settings(max_examples=400, deadline=None)
def test_no_leg_goes_back_whatever_comes_late_or_not_at_all(chosen: Any, walls: list[float]) -> None:
    collector = Collector()
    arriving = said(collector, chosen, walls)
    with web() as reader:
        shown: dict[str, tuple[float, int]] = {}
        for when_s, message in sorted(arriving, key=lambda each: each[0]):
            reader.clock.now_s = when_s
            if isinstance(message, Frame):
                reader.take_frame(message)
            else:
                reader.take_state(*message)
            for exchange, (bid, at, _state) in reader.legs().items():
                number, before = shown.get(exchange, (0.0, 0))
                if at is None:
                    continue
                assert at >= before, f"{exchange}: the time of its quote fell"
                assert np.isnan(bid) or bid >= number, f"{exchange}: an older quote came back"
                shown[exchange] = (number if np.isnan(bid) else bid, at)

        last_s = max(when_s for when_s, _message in arriving)
        reader.clock.now_s = last_s
        reader.take_state(*collector.state(last_s))
        reader.take_frame(collector.frame(last_s))
        bids = {exchange: bid for exchange, (bid, _at, _state) in reader.legs().items()}
        wanted = {
            name.exchange: bid for name, bid in zip(collector.names, collector.rows["bid"], strict=True)
        }
        assert bids == pytest.approx(wanted, nan_ok=True), "in the end it is all there"


@given(steps, steps)
@settings(max_examples=150, deadline=None)
def test_of_a_leg_that_two_shards_know_the_newer_quote_stays(one: Any, two: Any) -> None:
    """The split changes: the old shard's process dies while the new ones' say the same legs."""
    first, second = Collector("1/1"), Collector("1/2")
    only = {"quote", "frame", "state"}
    arriving = said(first, [step for step in one if step[0] in only], [])
    arriving += said(second, [step for step in two if step[0] in only], [])
    with web() as reader:
        shown: dict[str, int] = {}
        received_s = dict.fromkeys(("1/1", "1/2"), START_S)
        for when_s, message in sorted(arriving, key=lambda each: each[0]):
            if any(when_s - last_s > SILENT_AFTER_S - 0.1 for last_s in received_s.values()):
                break  # what a dead shard said may give way to less
            reader.clock.now_s = when_s
            if isinstance(message, Frame):
                received_s[message.shard] = when_s
                reader.take_frame(message)
            else:
                reader.take_state(*message)
            for exchange, (_bid, at, _state) in reader.legs().items():
                if at is not None:
                    assert at >= shown.get(exchange, 0)
                    shown[exchange] = at
                assert (at is None) <= (exchange not in shown), "a quote that is known is not forgotten"


def started(reader: Web) -> Collector:
    """A collector that has reported: every leg has its first quote."""
    collector = Collector()
    for leg in range(3):
        collector.quote(leg, 1, START_S)
    reader.take_state(*collector.state(START_S))
    return collector


def test_a_state_that_is_older_than_the_frames_changes_nothing() -> None:
    with web() as reader:
        collector = started(reader)
        written = collector.state(START_S)
        reader.take_state(*written)
        reader.clock.now_s += 1.4
        collector.quote(0, 2, reader.clock.now_s)
        reader.take_frame(collector.frame(reader.clock.now_s))
        before = reader.rows()
        reader.take_state(*written)
        assert reader.rows() == before


def test_a_healed_exchange_stays_healed() -> None:
    with web() as reader:
        collector = started(reader)
        collector.rows["up"][0] = False
        collector.changed.add(0)
        reader.take_frame(collector.frame(START_S))
        written = collector.state(START_S)
        states = [reader.legs()["binance"][2]]
        collector.rows["up"][0] = True
        collector.quote(0, 2, START_S + 0.5)
        for _ in range(4):
            reader.clock.now_s += 0.5
            reader.take_frame(collector.frame(reader.clock.now_s))
            states.append(reader.legs()["binance"][2])
            reader.take_state(*written)
            states.append(reader.legs()["binance"][2])
        assert states == ["down"] + ["live"] * 8


def test_what_a_frame_missed_is_made_up_for_and_what_came_after_it_counts_at_once() -> None:
    with web() as reader:
        collector = started(reader)
        collector.quote(0, 2, START_S)
        collector.frame(START_S)  # lost
        collector.quote(1, 2, START_S)
        reader.take_frame(collector.frame(START_S))
        assert [bid for bid, _, _ in reader.legs().values()] == [1, 2, 1]
        assert reader.book.stale == {"1/1"}, "a state is read"
        reader.take_state(*collector.state(START_S))
        assert [bid for bid, _, _ in reader.legs().values()] == [2, 2, 1]
        assert not reader.book._shards["1/1"].scan.is_behind


def test_an_earlier_layout_comes_back_only_when_the_later_one_has_fallen_silent() -> None:
    with web() as reader:
        collector = started(reader)
        reborn = Collector(layout=collector.layout - 10)  # its clock was set back, and Redis was emptied
        reborn.quote(0, 7, START_S)
        reader.take_state(*reborn.state(START_S))
        reader.take_frame(reborn.frame(START_S))
        assert reader.legs()["binance"][0] == 1
        reader.clock.now_s += SILENT_AFTER_S + 0.1
        reader.take_frame(reborn.frame(reader.clock.now_s))
        assert reader.legs()["binance"][2] == "lost", (
            "frames of another layout are no sign of life of this one"
        )
        reader.take_state(*reborn.state(reader.clock.now_s))
        reader.take_frame(reborn.frame(reader.clock.now_s))
        assert (reader.legs()["binance"][0], reader.legs()["bybit"][2]) == (7, "waiting")


def test_a_late_quote_is_shown_as_late_as_its_collector_says() -> None:
    """Lateness counts as age: the quote came after another one and is older by the collector's word."""
    with web() as reader:
        collector = started(reader)
        (_, before, _) = reader.legs()["binance"]
        reader.clock.now_s += 1
        collector.quote(0, 2, reader.clock.now_s)
        collector.born[0] -= 22 * 60
        reader.take_frame(collector.frame(reader.clock.now_s))
        (_, at, _) = reader.legs()["binance"]
        assert at is not None
        assert before is not None
        assert at - before == pytest.approx(1000 - 22 * 60_000, abs=2)


def test_the_time_of_a_quote_stands_still_while_its_age_grows() -> None:
    with web() as reader:
        started(reader)
        reader.clock.now_s += 0.123_456_7
        seen = set()
        for _ in range(200):
            reader.clock.now_s += 1.037_777_7
            reader.book._shards["1/1"].scan.received_s = reader.clock.now_s
            seen.add(reader.legs()["binance"][1])
        assert len(seen) == 1


def test_a_shard_that_is_gone_leaves_no_age_behind() -> None:
    with web() as reader:
        started(reader)
        reader.clock.now_s += scan_book.GONE_AFTER_S + 1
        reader.book.drop_gone()
        assert {(at, state) for _, at, state in reader.legs().values()} == {(None, "lost")}


def test_evidence_is_not_replaced_by_older() -> None:
    collector = Collector()
    directory, state = collector.state(START_S)
    rows = np.zeros(3, scan_wire.PAIR_ROW)
    rows["ratio"] = 1.0
    old = State(directory.layout, 1, 0, rows.tobytes())
    rows["ratio"] = 2.0
    new = State(directory.layout, 2, 0, rows.tobytes())
    scan = ShardScan(directory, state, new, 0, 0.0)
    scan.merge(ShardScan(directory, state, old, 0, 0.0))
    assert set(scan.pairs["ratio"]) == {2.0}
