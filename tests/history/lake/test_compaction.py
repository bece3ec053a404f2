"""Compaction: small files become few sorted ones, and no row is lost, doubled or out of order."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake.exceptions import CommitFailedError

from history.lake.inventory import data_files, files_of
from history.lake.schema import SCHEMAS, SORT_ORDER
from history.lake.tables import Lake
from history.maintenance import compaction
from history.maintenance.compaction import GRACE, Heap, heaps
from history.maintenance.sorting import Source, sorted_slices
from history.write.sorted_files import MIN_ROW_GROUP_ROWS, ROW_GROUP_ROWS, row_groups
from tests.support.lakes.lake_data import write

HOUR = datetime.timedelta(hours=1)
NINE = datetime.datetime(2026, 3, 1, 9, tzinfo=datetime.UTC)
OVER = NINE + HOUR + GRACE
EXCHANGES = ("binance", "bybit", "okx")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def quotes(count: int, *, seed: int = 0, start: datetime.datetime = NINE, symbols: int = 5) -> pl.DataFrame:
    """Quotes of one hour as they arrive: by time, exchanges and symbols mixed, several in one µs."""
    rng = np.random.default_rng(seed)
    first_us = int(start.timestamp()) * 1_000_000
    bid = 100 + rng.integers(0, 50, count) / 10
    return pl.DataFrame(
        {
            "exchange": rng.choice(EXCHANGES, count),
            "symbol": [f"C{number}/USDT" for number in rng.integers(0, symbols, count)],
            "bid": bid,
            "bid_size": rng.integers(1, 100, count) / 10,
            "ask": bid + 0.1,
            "ask_size": rng.integers(1, 100, count) / 10,
            "exchange_ts_us": pl.Series([None] * count, dtype=pl.Int64),
            "received_ts_us": first_us + np.sort(rng.integers(0, 3_600_000_000, count) // 1000 * 1000),
            "received_mono_ns": np.arange(count, dtype=np.int64) + seed * 1_000_000,
        }
    )


def rows_of(lake: Lake, table: str = "quotes") -> pl.DataFrame:
    """Every row of the newest version, as any reader gets them."""
    delta = lake.open(table)
    assert delta is not None
    return pl.DataFrame(delta.to_pyarrow_table())


def same_rows(one: pl.DataFrame, other: pl.DataFrame) -> bool:
    names = sorted(one.columns)
    return one.select(names).sort(names).equals(other.select(names).sort(names))


def compact(lake: Lake, table: str = "quotes", now: datetime.datetime = OVER) -> int:
    return sum(step.work() for step in compaction.plan(lake, table, now))


def heap(lake: Lake, now: datetime.datetime = OVER) -> Heap:
    [only] = heaps(files_of(lake, "quotes"), now)
    return only


def test_an_hour_that_is_over_becomes_one_file_sorted_by_symbol_exchange_and_time(lake: Lake) -> None:
    for seed in range(20):
        write(lake, "quotes", quotes(500, seed=seed))
    before = rows_of(lake)

    assert compact(lake) == 10_000

    after = rows_of(lake)
    assert same_rows(before, after)
    assert after.equals(after.sort(SORT_ORDER["quotes"], maintain_order=True))
    files = files_of(lake, "quotes")
    assert len(files) == 1
    assert files["bytes"].item() == Path(lake.uri("quotes"), files["path"].item()).stat().st_size


def test_rows_of_one_moment_keep_the_order_they_were_written_in(lake: Lake) -> None:
    moment = int(NINE.timestamp() * 1e6)
    for first in (0, 100):
        one = quotes(100).with_columns(
            symbol=pl.lit("C/USDT"), exchange=pl.lit("okx"), received_ts_us=pl.lit(moment + first),
            received_mono_ns=first + np.arange(100, dtype=np.int64),
        )  # fmt: skip
        write(lake, "quotes", one)

    compact(lake)

    assert rows_of(lake)["received_mono_ns"].to_list() == list(range(200))


@pytest.mark.parametrize("table", [name for name in SCHEMAS if name != "quotes"])
def test_every_table_is_compacted_by_its_own_columns(lake: Lake, table: str) -> None:
    def value(name: str, kind: Any, number: int) -> Any:
        if name.endswith(("ts_us", "_ns")):
            return int(NINE.timestamp()) * 1_000_000 + (7919 * number) % 1000
        return f"{name}{number % 7}" if "string" in str(kind) else kind.to_pandas_dtype()(number)

    columns = [column for column in SCHEMAS[table] if column.name not in ("date", "hour")]
    for start in (0, 50):
        numbers = range(start, start + 50)
        write(lake, table, {c.name: [value(c.name, c.type, n) for n in numbers] for c in columns})
    before = rows_of(lake, table)

    assert compact(lake, table) == 100

    after = rows_of(lake, table)
    assert same_rows(before, after)
    assert after.equals(after.sort(SORT_ORDER[table]))


def test_nulls_and_infinities_survive(lake: Lake) -> None:
    rows = quotes(3).with_columns(
        bid_size=pl.Series([None, float("inf"), 1.0]), ask_size=pl.Series([None] * 3, dtype=pl.Float64)
    )
    write(lake, "quotes", rows)
    before = rows_of(lake)

    compact(lake)

    assert same_rows(before, rows_of(lake))
    low, high = files_of(lake, "quotes").select("oldest_us", "newest_us").row(0)
    assert (low, high) == (rows["received_ts_us"].min(), rows["received_ts_us"].max())


def test_what_is_compacted_is_not_done_again_but_a_late_row_is_taken_in(lake: Lake) -> None:
    write(lake, "quotes", quotes(100))
    compact(lake)
    assert compaction.plan(lake, "quotes", OVER) == []

    write(lake, "quotes", quotes(10, seed=1))

    assert compact(lake) == 110
    assert len(files_of(lake, "quotes")) == 1


def test_an_hour_waits_until_late_rows_are_in(lake: Lake) -> None:
    write(lake, "quotes", quotes(100))
    second = datetime.timedelta(seconds=1)

    assert compaction.plan(lake, "quotes", OVER - second) == []
    assert len(compaction.plan(lake, "quotes", OVER)) == 1


def test_in_an_hour_that_goes_on_only_many_loose_files_are_merged(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "MERGE_FILES", 10)
    for seed in range(9):
        write(lake, "quotes", quotes(5, seed=seed))
    during = NINE + HOUR / 2
    assert compaction.plan(lake, "quotes", during) == []
    write(lake, "quotes", quotes(5, seed=9))

    assert compact(lake, now=during) == 50
    assert len(files_of(lake, "quotes")) == 1
    write(lake, "quotes", quotes(5, seed=10))
    assert compaction.plan(lake, "quotes", during) == []  # one loose file beside the merged one

    assert compact(lake) == 55  # the hour is over: all of it, in one
    assert len(files_of(lake, "quotes")) == 1


def test_the_oldest_hour_is_first_and_each_is_a_step_of_its_own(lake: Lake) -> None:
    for hours in (2, 0, 1):
        write(lake, "quotes", quotes(10, start=NINE + hours * HOUR))

    labels = [step.label for step in compaction.plan(lake, "quotes", OVER + 2 * HOUR)]

    assert labels == [f"2026-03-01 {hour} (1 file)" for hour in ("09h", "10h", "11h")]


def test_rows_appended_between_reading_and_committing_stay(lake: Lake) -> None:
    write(lake, "quotes", quotes(100))
    opened = lake.open("quotes")
    assert opened is not None
    found = heap(lake)
    write(lake, "quotes", quotes(7, seed=1))  # the compaction below does not know of it

    compaction.compact(lake, opened, "quotes", found)

    assert len(rows_of(lake)) == 107
    assert len(files_of(lake, "quotes")) == 2


def test_two_compactions_at_once_cannot_both_commit(lake: Lake) -> None:
    write(lake, "quotes", quotes(100))
    one, other, found = lake.open("quotes"), lake.open("quotes"), heap(lake)
    assert one is not None
    assert other is not None
    compaction.compact(lake, one, "quotes", found)

    with pytest.raises(CommitFailedError):
        compaction.compact(lake, other, "quotes", found)

    assert len(rows_of(lake)) == 100


def test_a_compaction_does_not_bring_back_what_was_deleted_meanwhile(lake: Lake) -> None:
    write(lake, "quotes", quotes(100))
    opened, found = lake.open("quotes"), heap(lake)
    assert opened is not None
    deleter = lake.open("quotes")
    assert deleter is not None
    deleter.delete("date < '2026-03-02'")

    with pytest.raises(CommitFailedError):
        compaction.compact(lake, opened, "quotes", found)

    assert len(rows_of(lake)) == 0


def test_files_that_hold_other_rows_than_the_log_says_are_left_alone(lake: Lake) -> None:
    write(lake, "quotes", quotes(100))
    opened = lake.open("quotes")
    assert opened is not None
    files = data_files(opened, "quotes").with_columns(rows=pl.lit(101, dtype=pl.Int64))
    [wrong] = heaps(files, OVER)

    with pytest.raises(ValueError, match="100 rows in files that should hold 101"):
        compaction.compact(lake, opened, "quotes", wrong)

    assert len(files_of(lake, "quotes")) == 1
    assert compact(lake) == 100


def test_files_are_alike_and_near_the_target(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(4):
        write(lake, "quotes", quotes(5000, seed=seed))
    total = files_of(lake, "quotes")["bytes"].sum()
    monkeypatch.setattr(compaction, "TARGET_BYTES", total // 4)
    monkeypatch.setattr(compaction, "SLICE_ROWS", 1000)

    compact(lake)

    rows = files_of(lake, "quotes")["rows"].to_list()
    assert 3 <= len(rows) <= 5
    assert max(rows) <= 6000
    after = rows_of(lake)
    assert len(after) == 20_000


def test_nothing_is_left_of_sorting_not_even_by_one_that_was_killed(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "SLICE_ROWS", 50)
    write(lake, "quotes", quotes(200))
    killed = Path(lake.uri("quotes"), "_sort-of-a-process-that-died")
    killed.mkdir()
    (killed / "0.parquet").write_bytes(b"half a run")

    assert compact(lake) == 200

    assert {path.name for path in Path(lake.uri("quotes")).iterdir()} == {"_delta_log", "date=2026-03-01"}


def test_statistics_let_a_reader_skip_the_other_symbols(lake: Lake) -> None:
    rows = quotes(200_000, symbols=6).sort("received_ts_us")
    write(lake, "quotes", rows)

    compact(lake)

    file = Path(lake.uri("quotes"), files_of(lake, "quotes")["path"].item())
    metadata = pq.ParquetFile(file).metadata
    symbol = metadata.schema.names.index("symbol")
    needed = [
        metadata.row_group(i).num_rows
        for i in range(metadata.num_row_groups)
        if metadata.row_group(i).column(symbol).statistics.min <= "C3/USDT"
        <= metadata.row_group(i).column(symbol).statistics.max
    ]  # fmt: skip
    wanted = len(rows.filter(pl.col("symbol") == "C3/USDT"))
    assert wanted <= sum(needed) < wanted + 2 * MIN_ROW_GROUP_ROWS
    delta_symbols = pl.DataFrame(lake.open("quotes").get_add_actions(flatten=True))  # type: ignore[union-attr]
    assert delta_symbols.select("min.symbol", "max.symbol").row(0) == ("C0/USDT", "C5/USDT")


@pytest.mark.parametrize(
    ("runs", "groups"),
    [
        ([10], [10]),
        ([40_000, 40_000, 10], [40_000, 40_010]),
        ([1000] * 70, [33_000, 37_000]),
        ([ROW_GROUP_ROWS * 3, 5], [ROW_GROUP_ROWS * 3 + 5]),
    ],
)
def test_row_groups_end_where_a_name_ends_unless_they_would_be_small(
    runs: list[int], groups: list[int]
) -> None:
    assert row_groups(runs) == groups


@pytest.mark.parametrize("slice_rows", [100, 1000, 10_000])
def test_sorting_in_slices_equals_sorting_at_once(tmp_path: Path, slice_rows: int) -> None:
    frames = [quotes(count, seed=seed, symbols=3) for seed, count in enumerate((400, 1, 2000, 30))]
    sources = list(_stored(tmp_path, frames))
    order = SORT_ORDER["quotes"]

    slices = list(sorted_slices(sources, order, None, slice_rows))

    assert pl.concat(slices).equals(pl.concat(frames).sort(order, maintain_order=True))
    if slice_rows == 100:
        assert max(map(len, slices)) <= 150  # one second of one symbol may go over


def _stored(directory: Path, frames: list[pl.DataFrame]) -> Iterator[Source]:
    for number, frame in enumerate(frames):
        frame.write_parquet(directory / f"{number}.parquet")
        yield Source(str(directory / f"{number}.parquet"), len(frame))
