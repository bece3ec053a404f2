"""`manage.py export`: rows of the lake as files, complete or not at all, in constant memory."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from pytest_django import Settings

from history.lake.tables import Lake
from markets.events import Quote
from tests.history.test_api import START_US, quotes, store_points
from tests.support.lakes.lake_data import write, write_quotes
from tests.support.live import database_url
from tests.support.swaps import pair, swap

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lake(tmp_path: Path, settings: Settings, transactional_db: None) -> Lake:
    """Ten seconds of quotes of BTC/USDT on two exchanges."""
    settings.LAKE_URL = str(tmp_path / "lake")
    call_command("seed", verbosity=0)
    made = Lake(settings.LAKE_URL)
    write_quotes(made, quotes(100))
    return made


def export(path: Path, *args: str) -> Path:
    call_command("export", *args, "-o", str(path))
    assert not path.with_name(f"{path.name}.part").exists()
    return path


def test_quotes_as_csv_have_plain_numbers_and_a_header(lake: Lake, tmp_path: Path) -> None:
    tiny: dict[str, Any] = {"exchange": ["okx"], "symbol": ["BTC/USDT"], "bid": [1.25e-8], "ask": [1e22]}
    write(lake, "quotes", tiny | {"received_ts_us": [START_US]})
    path = export(tmp_path / "q.csv", "quotes", "--symbol", "btcusdt", "--exchange", "OKX")
    (row,) = csv.DictReader(path.open())
    assert row == {
        "exchange": "okx", "symbol": "BTC/USDT", "bid": "0.0000000125", "bid_size": "",
        "ask": "10000000000000000000000", "ask_size": "", "exchange_ts_us": "",
        "received_ts_us": str(START_US), "received_mono_ns": "", "late_us": "",
    }  # fmt: skip


def test_the_same_rows_in_every_format_and_only_of_the_range(lake: Lake, tmp_path: Path) -> None:
    asked = ["quotes", "--symbol", "BTC/USDT", "--exchange", "bybit"]
    asked += ["--from", "2025-10-09T08:53:21Z", "--to", "2025-10-09T08:53:24"]
    of_csv = pl.read_csv(export(tmp_path / "a", *asked))
    of_ndjson = pl.read_ndjson(export(tmp_path / "b", *asked, "--format", "ndjson"))
    of_parquet = pl.read_parquet(export(tmp_path / "c", *asked, "--format", "parquet"))
    times = of_parquet["received_ts_us"]
    assert times.to_list() == [START_US + us for us in range(1_100_000, 4_000_000, 200_000)]
    for other in (of_csv, of_ndjson):
        kept = [name for name in of_parquet.columns if name != "exchange_ts_us"]
        assert other.select(kept).equals(of_parquet.select(kept))


def test_spreads_are_exported_stored_or_computed(lake: Lake, tmp_path: Path) -> None:
    asked = ["spreads", "--symbol", "BTCUSDT", "--exchange", "binance", "--exchange2", "bybit"]
    asked += ["--to", "2025-10-09T08:53:30", "--format", "ndjson"]
    computed = pl.read_ndjson(export(tmp_path / "a", *asked))
    assert computed.columns[:5] == ["symbol", "exchange1", "exchange2", "ts_us", "spread"]
    assert len(computed) == 99
    store_points(lake, [0.5] * 10)
    assert pl.read_ndjson(export(tmp_path / "b", *asked))["spread"].to_list() == [0.5] * 10


def test_without_a_file_the_rows_go_to_standard_output(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    call_command("export", "quotes", "--format", "ndjson")
    rows = [json.loads(line) for line in out.buffer.getvalue().splitlines()]
    assert [row["received_ts_us"] for row in rows] == [START_US + i * 100_000 for i in range(100)]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["quotes", "--symbol", "BTCUSD"], "near in name: BTC/USDT"),
        (["quotes", "--exchange", "kraken"], "--exchange: there is no exchange 'kraken'"),
        (["trades"], "nothing is recorded of this"),
        (["quotes", "--from", "noon"], "--from: 'noon' is no time"),
        (["quotes", "--to", "1999-01-01"], "--to: 1999-01-01T00:00:00Z is not after"),
        (["quotes", "--from", "1999-01-01", "--to", "1999-01-02"], "nothing is recorded between 1999"),
        (["quotes", "--exchange2", "okx"], "--exchange2 goes with spreads"),
        (["spreads", "--exchange", "okx"], "--symbol and --exchange2"),
        (["quotes", "--from", "0001-01-01T00:00:00+14:00"], "--from: .* is not between 1970 and 2100"),
        (["quotes", "--to", "9999-12-31T23:59:59-14:00"], "--to: .* is not between 1970 and 2100"),
        (["quotes", "--symbol", ""], "--symbol: it is empty; leave it out"),
        (["quotes", "--exchange", "  "], "--exchange: it is empty; leave it out"),
        (["quotes", "--from", ""], "--from: it is empty; leave it out"),
    ],
)
def test_what_cannot_be_exported_is_said_and_leaves_no_file(
    lake: Lake, tmp_path: Path, args: list[str], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        export(tmp_path / "out.csv", *args)
    assert not list(tmp_path.glob("out*"))


def test_a_file_with_nul_in_its_name_is_refused_in_words(lake: Lake) -> None:
    with pytest.raises(CommandError, match=r"holds the character U\+0000"):
        call_command("export", "quotes", "-o", "out\0.csv")


def test_a_place_that_cannot_be_written_is_an_error_in_words(lake: Lake) -> None:
    with pytest.raises(CommandError, match=r"/nowhere/at/all.part: No such file"):
        call_command("export", "quotes", "-o", "/nowhere/at/all")


def test_an_export_of_a_million_rows_takes_little_more_memory_than_one_of_a_tenth(
    lake: Lake, tmp_path: Path
) -> None:
    hours = 4
    for hour in range(hours):
        write(lake, "quotes", many_quotes(hour, 300_000))
    peaks = []  # of 120,000 rows and of all
    for end in ("2025-10-09T10:24", "2025-10-09T14:00"):
        peaks.append(peak_of_export(lake, tmp_path / "all.csv", "2025-10-09T10:00", end))
    assert sum(1 for _line in (tmp_path / "all.csv").open()) == 1 + hours * 300_000
    assert peaks[1] < peaks[0] + 120_000_000, f"{peaks} bytes"


def many_quotes(hour: int, count: int) -> pl.DataFrame:
    """Quotes of one hour from 10:00 on."""
    start_us = 1_760_004_000_000_000 + hour * 3_600_000_000
    us = start_us + np.arange(count) * (3_600_000_000 // count)
    bid = 100 + np.arange(count) % 100 / 100
    return pl.DataFrame(
        {"bid": bid, "bid_size": bid, "ask": bid, "ask_size": bid, "received_ts_us": us}
    ).with_columns(exchange=pl.lit("okx"), symbol=pl.lit("BTC/USDT"))


def peak_of_export(lake: Lake, path: Path, start: str, end: str) -> int:
    """The most memory a process of its own took, in bytes."""
    command = [sys.executable, "manage.py", "export", "quotes", "--exchange", "okx", "-o", str(path)]
    process = subprocess.Popen(
        [*command, "--from", start, "--to", end],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": database_url(), "LAKE_URL": lake.url},
        start_new_session=True,  # a process of its own from the start: its memory is measured, not a fork's
    )
    _pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return int(usage.ru_maxrss) * 1024


# --- swaps ---------------------------------------------------------------------------------------

SWAP = "BTC/USDT:USDT"


@pytest.fixture
def swaps(lake: Lake) -> Lake:
    """Quotes, funding and marks of one coin's swaps on two exchanges beside its spot."""
    for key in ("gate", "okx"):
        swap(key)
        write_quotes(lake, [Quote(f"{key}:swap", SWAP, 100.0, 1.0, 101.0, 1.0, None, START_US + 1, 1)])
        at: dict[str, Any] = {"exchange": [f"{key}:swap"], "symbol": [SWAP], "received_ts_us": [START_US]}
        write(lake, "funding", at | {"rate": [0.0001], "interval_s": [28_800], "settled_here": [False]})
        write(lake, "marks", at | {"mark": [100.5], "index": [100.4]})
    pair("gate:swap", "okx:swap")
    pair("gate:swap", "binance")
    return lake


@pytest.mark.parametrize("table", ["funding", "marks", "quotes"])
@pytest.mark.parametrize(
    "named",
    [
        ("gate:swap", SWAP),
        ("gate", SWAP),
        ("gate:swap", "BTC/USDT"),
        ("Gate swap", "btcusdt"),
        ("Gate:swap", SWAP),
    ],
)
def test_a_swap_is_named_by_its_market_or_by_its_symbol(
    swaps: Lake, tmp_path: Path, table: str, named: tuple[str, str]
) -> None:
    exchange, symbol = named
    path = export(tmp_path / "x", table, "--exchange", exchange, "--symbol", symbol)
    (row,) = csv.DictReader(path.open())
    assert (row["exchange"], row["symbol"]) == ("gate:swap", SWAP)


def test_funding_and_marks_are_of_swaps_whatever_is_named(swaps: Lake, tmp_path: Path) -> None:
    assert len(pl.read_csv(export(tmp_path / "all", "funding"))) == 2
    assert len(pl.read_csv(export(tmp_path / "coin", "marks", "--symbol", "BTC/USDT"))) == 2
    of_gate = pl.read_csv(export(tmp_path / "gate", "funding", "--exchange", "gate"))
    assert of_gate["exchange"].to_list() == ["gate:swap"]
    assert of_gate["rate"].to_list() == [0.0001]


def test_a_spread_is_of_any_two_markets(swaps: Lake, tmp_path: Path) -> None:
    asked = ["--from", "2025-10-09T08:53:00Z", "--to", "2025-10-09T08:54:00Z"]
    for number, (one, other, symbol, legs) in enumerate(
        [
            ("gate", "okx", SWAP, ["gate:swap", "okx:swap"]),
            ("gate:swap", "binance", "BTC/USDT", ["gate:swap", "binance"]),
        ]
    ):
        names = ["--symbol", symbol, "--exchange", one, "--exchange2", other]
        found = pl.read_csv(export(tmp_path / str(number), "spreads", *names, *asked))
        assert found.select("symbol", "exchange1", "exchange2").row(0) == ("BTC/USDT", *legs)


def test_a_market_that_is_not_there_is_named_with_those_there_are(swaps: Lake, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"there is no exchange 'kraken'; there are: .*gate:swap"):
        export(tmp_path / "x", "funding", "--exchange", "kraken:swap")
    with pytest.raises(CommandError, match="nothing is recorded of this"):
        export(tmp_path / "x", "funding", "--exchange", "bybit:swap")
    legs = ("--exchange", "gate:swap", "--exchange2", "bybit:swap")
    with pytest.raises(CommandError, match="nothing is recorded of this"):
        export(tmp_path / "x", "spreads", "--symbol", SWAP, *legs)
