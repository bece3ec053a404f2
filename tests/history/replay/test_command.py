"""`manage.py replay`: what an operator types and gets."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connections
from pytest_django import Settings

from core.clock.times import parse_time, shown_time
from history.lake.tables import Lake
from history.read.reader import LakeReader
from history.replay.pacing import Pace
from markets.models import ExchangePair, OpportunityFilter
from markets.seed import seed
from tests.history.replay.test_replay import record
from tests.support.lakes.lake_data import write
from tests.support.lakes.recorded_session import NOON_US, session
from tests.support.live import database_url


@pytest.fixture
def lake(tmp_path: Path, settings: Settings) -> Lake:
    """The desk's lake, with a short session in it."""
    settings.LAKE_URL = str(tmp_path / "lake")
    lake = Lake.from_settings()
    record(lake, session(600))
    return lake


@pytest.fixture
def desk(db: None) -> None:
    """The default desk."""
    set_up()


def set_up() -> None:
    """Filters that an edge trembles about, for everything between Binance, Bybit and OKX."""
    seed()
    OpportunityFilter.objects.update(
        symbols="BTC/USDT DOGE/USDT", min_edge_bps=-15, close_edge_bps=-25, min_duration_ms=0
    )
    wanted = ExchangePair.objects.filter(exchange1__key="binance", exchange2__key__in=("bybit", "okx"))
    OpportunityFilter.objects.get(name="Majors").pairs.set(wanted)


def run(*arguments: str) -> str:
    """Run the command; returns what it says on stderr."""
    said = StringIO()
    call_command("replay", *arguments, stderr=said)
    return said.getvalue()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.usefixtures("desk")
class TestLines:
    def test_the_same_replay_writes_the_same_bytes(self, lake: Lake, tmp_path: Path) -> None:
        digests = set()
        for name in ("first", "second"):
            run("-o", str(tmp_path / name))
            digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        assert len(digests) == 1

    def test_points_and_events_are_named_as_in_the_lake_and_a_gap_has_nulls(
        self, lake: Lake, tmp_path: Path
    ) -> None:
        said = run("-o", str(tmp_path / "out"))
        found = lines(tmp_path / "out")
        spreads = [line for line in found if line["type"] == "spread"]
        events = [line for line in found if line["type"] == "opportunity"]
        assert list(spreads[0]) == [
            "type", "symbol", "exchange1", "exchange2", "ts_us", "spread", "upper", "lower",
            "edge12", "edge21", "size12", "size21", "age1_ms", "age2_ms",
        ]  # fmt: skip
        assert isinstance(spreads[0]["ts_us"], int)
        assert any(line["spread"] is None for line in spreads)
        assert {line["event"] for line in events} == {"open", "close"}
        assert said.startswith("600 quotes made ")

    def test_symbols_can_be_chosen_in_either_spelling_and_the_rest_is_counted(
        self, lake: Lake, tmp_path: Path
    ) -> None:
        said = run("--symbols", "btcusdt", "-o", str(tmp_path / "out"))
        assert {line["symbol"] for line in lines(tmp_path / "out")} == {"BTC/USDT"}
        skipped = LakeReader(lake).scan("quotes", symbol="DOGE/USDT").collect()
        assert f"Skipped {len(skipped)} quotes of 1 symbols" in said

    def test_quotes_without_sizes_open_nothing_and_say_so_unless_a_size_is_assumed(
        self, tmp_path: Path, settings: Settings
    ) -> None:
        settings.LAKE_URL = str(tmp_path / "imported")
        wide = [("binance", 100.0, 100.01), ("bybit", 100.6, 100.61)] * 20
        rows: dict[str, Any] = {
            "exchange": [exchange for exchange, _, _ in wide], "symbol": ["BTC/USDT"] * 40,
            "bid": [bid for _, bid, _ in wide], "ask": [ask for _, _, ask in wide],
            "received_ts_us": [1_760_000_000_000_000 + i * 100_000 for i in range(40)],
        }  # fmt: skip
        write(Lake(settings.LAKE_URL), "quotes", rows)
        said = run("-o", str(tmp_path / "without"))
        assert "40 quotes have no sizes" in said
        assert "--assume-size" in said
        assert not [line for line in lines(tmp_path / "without") if line["type"] == "opportunity"]

        said = run("--assume-size", "1000", "-o", str(tmp_path / "with"))
        assert "40 quotes without sizes were taken for 1000 each" in said
        events = [line for line in lines(tmp_path / "with") if line["type"] == "opportunity"]
        assert events[0]["event"] == "open"
        assert events[0]["size21"] == pytest.approx(1000 * 100.01 / 100.6)

    def test_a_range_is_half_open(self, lake: Lake, tmp_path: Path) -> None:
        start_us, end_us = NOON_US + 3_000_000, NOON_US + 5_000_000
        run("--from", shown_time(start_us), "--to", shown_time(end_us), "-o", str(tmp_path / "out"))
        times = [line["ts_us"] for line in lines(tmp_path / "out")]
        assert times
        assert start_us <= min(times) <= max(times) < end_us


@pytest.mark.usefixtures("desk")
class TestStore:
    def test_points_and_events_become_rows_of_another_lake_once(self, lake: Lake, tmp_path: Path) -> None:
        run("-o", str(tmp_path / "out"))
        found = lines(tmp_path / "out")
        study = LakeReader(Lake(str(tmp_path / "study")))
        for _ in range(2):
            run("--store", str(tmp_path / "study"))
            spreads = study.scan("spreads").collect()
            assert len(spreads) == sum(line["type"] == "spread" for line in found)
            assert study.scan("opportunities").collect().height == len(found) - len(spreads)
        rows = spreads.sort("ts_us", "symbol", "exchange2").to_dicts()
        wanted = [line for line in found if line.pop("type") == "spread"]
        assert rows == sorted(wanted, key=lambda line: (line["ts_us"], line["symbol"], line["exchange2"]))

    def test_not_into_the_lake_that_is_replayed(self, lake: Lake) -> None:
        with pytest.raises(CommandError, match="its points would be there twice"):
            run("--store", lake.url)


@pytest.mark.usefixtures("desk")
class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--from", "noon"], "'noon' is no time; write it like 2026-11-20T12:30"),
            (
                ["--from", "2026-01-02", "--to", "2026-01-01"],
                "--from 2026-01-02T00:00:00Z is not before --to",
            ),
            (["--from", "2026-01-01"], "nothing was recorded between"),
            (["--from", "2020-01-01", "--to", "2020-01-02"], "there are quotes from 2025-10-09T09:00:00"),
            (
                ["--symbols", ",, "],
                "names no symbol; leave it out for all",
            ),
            (["--from", "0001-01-01"], "is not between 1970 and 2100"),
            (["--to", "9999-12-31T23:59:59-14:00"], "is not between 1970 and 2100"),
            (["-o", "out\0"], "holds the character U\\+0000"),
            (
                ["--symbols", "NOPE/USDT"],
                "no filter selects NOPE/USDT now; there are BTC/USDT",
            ),
            (["--speed", "fast"], "'fast' is neither a number above 0 nor max"),
            (["--assume-size", "0"], "'0' is no amount above 0"),
            (["-o", "/nonexistent/file"], "cannot write /nonexistent/file: No such file"),
        ],
    )
    def test_what_makes_no_sense_is_refused_with_the_remedy(
        self, lake: Lake, arguments: list[str], words: str
    ) -> None:
        with pytest.raises(CommandError, match=words):
            run(*arguments)

    def test_an_empty_lake(self, tmp_path: Path, settings: Settings) -> None:
        settings.LAKE_URL = str(tmp_path / "nothing")
        with pytest.raises(CommandError, match="holds no quotes"):
            run()

    def test_no_charts(self, lake: Lake) -> None:
        OpportunityFilter.objects.update(enabled=False)
        with pytest.raises(CommandError, match="no enabled filter selects an opportunity"):
            run()


class FakeClock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class TestPace:
    def test_recorded_time_passes_at_the_speed_asked_for(self) -> None:
        clock = FakeClock()
        pace = Pace(10.0, clock)
        for ts_us in (NOON_US, NOON_US + 1_000_000, NOON_US + 61_000_000):
            pace.wait_for(ts_us)
        assert clock.slept == pytest.approx([0.1, 6.0])

    def test_who_is_behind_hurries(self) -> None:
        clock = FakeClock()
        pace = Pace(1.0, clock)
        pace.wait_for(NOON_US)
        clock.now += 5
        pace.wait_for(NOON_US + 4_000_000)
        pace.wait_for(NOON_US + 6_000_000)
        assert clock.slept == pytest.approx([1.0])

    def test_at_full_speed_nobody_waits(self) -> None:
        clock = FakeClock()
        pace = Pace(None, clock)
        pace.wait_for(NOON_US)
        pace.wait_for(NOON_US + 3_600_000_000)
        assert clock.slept == []


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert parse_time("2025-10-09T09:00") == NOON_US
    assert parse_time("2025-10-09T11:00+02:00") == NOON_US
    assert parse_time("2025-10-09T09:00:00.000001Z") == NOON_US + 1
    assert parse_time(shown_time(NOON_US + 1)) == NOON_US + 1


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_ends_a_slow_replay_with_what_it_has_written(lake: Lake, tmp_path: Path) -> None:
    set_up()
    connections.close_all()
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "manage.py", "replay", "--speed", "1", "-o", str(out)],
        cwd=django_settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": database_url(), "LAKE_URL": lake.url},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 30
        while not (out.exists() and out.stat().st_size):
            assert process.poll() is None
            assert time.monotonic() < deadline, "nothing was written"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "stopped; what was written so far stays" in said
    assert "Traceback" not in said
    assert lines(out)
