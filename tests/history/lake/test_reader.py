"""Reading the lake: the right rows, out of as few files as can hold them; docs/lake.md stays true."""

import re
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from django.conf import settings

from history.lake.schema import SCHEMAS
from history.lake.tables import Lake
from history.read.reader import BATCH_ROWS, LakeReader
from tests.history.lake.test_s3 import Store
from tests.support.lakes.lake_data import write, write_quotes
from tests.support.spread_oracle import quote

HOUR_US = 3_600_000_000
START_US = 1_760_000_400_000_000 // HOUR_US * HOUR_US


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "the lake"))


@pytest.fixture
def reader(lake: Lake) -> LakeReader:
    return LakeReader(lake)


def quotes(us: list[int], symbol: str = "BTC/USDT", exchange: str = "binance") -> pl.DataFrame:
    """Quotes at these µs after START_US; the bid is the time."""
    frame = pl.DataFrame({"received_ts_us": [START_US + at for at in us], "bid": [float(at) for at in us]})
    return frame.with_columns(ask=pl.col("bid"), symbol=pl.lit(symbol), exchange=pl.lit(exchange))


def bids(frame: pl.LazyFrame) -> list[float]:
    return frame.collect()["bid"].sort().to_list()


def test_ranges_include_their_start_and_not_their_end(lake: Lake, reader: LakeReader) -> None:
    write(lake, "quotes", quotes([0, 5, 10, HOUR_US - 1, HOUR_US, HOUR_US + 1]))
    for start, end in ((0, 10), (5, 5), (5, HOUR_US), (HOUR_US, 2 * HOUR_US), (11, HOUR_US - 1)):
        expected = [at for at in (0, 5, 10, HOUR_US - 1, HOUR_US, HOUR_US + 1) if start <= at < end]
        where: Any = {"start_us": START_US + start, "end_us": START_US + end}
        assert bids(reader.scan("quotes", **where)) == expected
        in_order = [row["bid"] for batch in reader.batches("quotes", **where) for row in batch.to_pylist()]
        assert in_order == expected
    assert reader.range("quotes") == (START_US, START_US + HOUR_US + 1)
    assert reader.range("quotes", symbol="ETH/USDT") is None


def test_names_choose_rows_one_or_several(lake: Lake, reader: LakeReader) -> None:
    write(lake, "quotes", quotes([1], "BTC/USDT", "binance"))
    write(lake, "quotes", quotes([2], "ETH/USDT", "bybit"))
    write(lake, "quotes", pl.concat([quotes([3], "BTC/USDT", "bybit"), quotes([4], "XRP/USDT", "okx")]))
    assert bids(reader.scan("quotes", symbol="BTC/USDT")) == [1, 3]
    assert bids(reader.scan("quotes", symbol=["ETH/USDT", "XRP/USDT"], exchange=["okx", "kraken"])) == [4]
    assert bids(reader.scan("quotes", exchange="kraken")) == []
    assert reader.symbols("quotes", exchange=["bybit", "okx"]) == ["BTC/USDT", "ETH/USDT", "XRP/USDT"]
    assert reader.scan("quotes", columns=["ask"], symbol="BTC/USDT").collect().columns == ["ask"]


def test_files_that_cannot_hold_the_answer_are_not_even_opened(lake: Lake, reader: LakeReader) -> None:
    write(lake, "quotes", quotes([1], "BTC/USDT"))
    write(lake, "quotes", quotes([2], "XRP/USDT"))
    write(lake, "quotes", quotes([HOUR_US + 1], "BTC/USDT"))
    write(lake, "quotes", quotes([HOUR_US + 1000], "BTC/USDT"))
    files = reader.snapshot("quotes").files.sort("min.clock")["uri"].to_list()
    for ruled_out in files[1:]:
        Path(ruled_out).unlink()
    assert bids(reader.scan("quotes", symbol="BTC/USDT", end_us=START_US + HOUR_US)) == [1]
    assert bids(reader.scan("quotes", symbol="BTC/USDT", end_us=START_US + HOUR_US + 1)) == [1]


def test_a_table_nobody_wrote_yet_is_empty_and_an_unknown_one_an_error(reader: LakeReader) -> None:
    assert reader.scan("trades").collect().is_empty()
    assert list(reader.batches("trades")) == []
    assert (reader.range("trades"), reader.symbols("trades")) == (None, [])
    with pytest.raises(KeyError):
        reader.scan("tickers")


def test_a_snapshot_does_not_see_what_is_written_later(lake: Lake, reader: LakeReader) -> None:
    write(lake, "quotes", quotes([1]))
    snapshot = reader.snapshot("quotes")
    write(lake, "quotes", quotes([2]))
    assert bids(snapshot.scan()) == [1]
    assert bids(reader.scan("quotes")) == [1, 2]


def test_batches_come_in_order_of_receipt_with_the_tables_own_types(lake: Lake, reader: LakeReader) -> None:
    later, earlier = quote("bybit", 101.0, 2_000_500), quote("binance", 100.0, 2_000_100)
    write_quotes(lake, [later])
    write_quotes(lake, [earlier])
    (batch,) = reader.batches("quotes")
    assert batch["bid"].to_pylist() == [100.0, 101.0], "both in one microsecond"
    kept = [field for field in SCHEMAS["quotes"] if field.name not in ("date", "hour")]
    assert batch.schema.equals(pa.schema(kept))


def test_an_hour_too_large_for_memory_comes_in_several_batches(lake: Lake, reader: LakeReader) -> None:
    count = BATCH_ROWS + 50_000
    us = pl.int_range(count, eager=True) * (HOUR_US // count)
    frame = pl.DataFrame({"received_ts_us": START_US + us, "bid": us.cast(pl.Float64)})
    frame = frame.with_columns(ask="bid", symbol=pl.lit("BTC/USDT"), exchange=pl.lit("okx"))
    write(lake, "quotes", frame.sample(fraction=1.0, shuffle=True, seed=1))
    frames = list(reader.snapshot("quotes").frames())
    assert max(map(len, frames)) <= BATCH_ROWS
    assert pl.concat(frames)["bid"].equals(frame["bid"])


def test_an_object_store_is_read_the_same_way() -> None:
    store = Store()
    try:
        lake = Lake("s3://bucket/desk", store.options | {"AWS_EXECUTION_ENV": "no option of a store"})
        reader = LakeReader(lake)
        write(lake, "quotes", quotes([1, HOUR_US]))
        assert bids(reader.scan("quotes", start_us=START_US + 2)) == [HOUR_US]
        assert sum(len(batch) for batch in reader.batches("quotes", symbol="BTC/USDT")) == 2
        assert reader.range("quotes") == (START_US + 1, START_US + HOUR_US)
    finally:
        store.stop()


# --- docs/lake.md --------------------------------------------------------------------------------


def test_the_examples_of_the_documentation_run(lake: Lake, reader: LakeReader) -> None:
    both = [quotes([i * 1000 for i in range(100)], exchange=e) for e in ("binance", "bybit")]
    write(lake, "quotes", pl.concat(both).with_columns(bid=pl.lit(100.0), ask=pl.lit(100.1)))
    trade: dict[str, Any] = {
        "exchange": ["binance"],
        "symbol": ["BTC/USDT"],
        "price": [100.0],
        "size": [0.25],
    }
    write(lake, "trades", trade | {"received_ts_us": [START_US]})
    known: dict[str, Any] = {"start_us": START_US, "end_us": START_US + HOUR_US, "duckdb": duckdb}
    known["Lake"] = Lake
    text = (settings.BASE_DIR / "docs" / "lake.md").read_text()
    examples = [code for code in re.findall(r"```python\n(.*?)```", text, re.S) if "spark" not in code]
    examples[0] = examples[0].replace("Lake.from_settings()", f"Lake({lake.url!r})")
    for example in examples:
        exec(example, known)
    assert known["widths"].rows() == [
        ("binance", pytest.approx(10.0), 100),
        ("bybit", pytest.approx(10.0), 100),
    ]
    assert known["volume"] == 25.0
    assert known["sources"] == ["computed"]
    assert known["best"] == pytest.approx((100 / 100.1 * 0.999 / 1.001 - 1) * 10_000)
    assert known["counts"] == [("binance", 100), ("bybit", 100)]


def test_the_documented_columns_are_the_tables(reader: LakeReader) -> None:
    text = (settings.BASE_DIR / "docs" / "lake.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| ([\w, ]+) \| (\w+) \|$", text, re.M)
    documented = {table: columns.split(", ") for table, columns, _clock in rows}
    assert documented == {
        table: [name for name in schema.names if name not in ("date", "hour")]
        for table, schema in SCHEMAS.items()
    }
