"""The loader: yesterday, past days and now, out of PostgreSQL and out of the lake."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

from orderbook.ml import MLDataLoader
from orderbook.ml.errors import BarsBehindError, NoDataError, StoreUnreadableError, UnknownSymbolError
from orderbook.ml.features.table import FAMILIES, WARM_UP_S
from tests.orderbook.ml.market import dsn, lake_of, store_events, walk

pytestmark = pytest.mark.django_db(transaction=True)

TODAY = datetime(2026, 3, 5, tzinfo=UTC)
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
SYMBOLS = ["BTC/USDT", "ETH/USDT"]


def at(now: datetime) -> Any:
    return lambda: now


def same(first: pl.DataFrame, second: pl.DataFrame) -> None:
    """Equal to the last bit, nulls included."""
    assert len(first) > 0
    assert_frame_equal(first, second, check_exact=True, categorical_as_str=True)


async def test_yesterday_is_all_of_it_and_nothing_else(store: psycopg.Connection[Any]) -> None:
    for start in (TODAY - timedelta(days=1, seconds=20), TODAY - timedelta(seconds=20)):
        store_events(store, walk(start, 40))
    async with MLDataLoader(dsn(), at(TODAY + timedelta(hours=9))) as loader:
        bars = await loader.get_training_data(SYMBOLS)
    yesterday = TODAY - timedelta(days=1)
    assert bars["second"].is_between(yesterday, TODAY, closed="left").all()
    oldest, newest = bars.select(pl.col("second").min(), pl.col("second").max().alias("newest")).row(0)
    assert oldest < yesterday + timedelta(seconds=3)
    assert newest > TODAY - timedelta(seconds=3)
    assert (bars["available_at"] - bars["second"]).unique().to_list() == [timedelta(seconds=1)]
    assert bars.select("symbol", "exchange").unique().height == 6
    assert bars.select("symbol", "exchange", "second").is_duplicated().sum() == 0
    assert bars.filter(pl.col("trades").is_null())["volume"].null_count() > 0  # a second without a trade


async def test_postgresql_and_the_lake_give_equal_results(
    store: psycopg.Connection[Any], tmp_path: Path
) -> None:
    events = walk(NOON, 400, quiet=[range(100, 130)])
    twice = events[5]  # what was recorded twice counts once
    store_events(store, events)
    lake = lake_of(tmp_path, [*events, twice])
    now = at(TODAY + timedelta(hours=1))
    async with MLDataLoader(dsn(), now) as one, MLDataLoader(lake.url, now) as other:
        same(await one.get_training_data(SYMBOLS), await other.get_training_data(SYMBOLS))
        features, of_lake = [await each.get_ml_features(SYMBOLS, days_back=1) for each in (one, other)]
    assert of_lake["depth_imbalance_5"].null_count() == len(of_lake)  # the lake has no books
    same(features.drop("depth_imbalance_5"), of_lake.drop("depth_imbalance_5"))


async def test_seconds_that_are_not_rolled_up_yet_are_there_and_whole(store: psycopg.Connection[Any]) -> None:
    events = walk(NOON, 200)
    store_events(store, events[:600])
    store_events(store, events[600:], roll_up=False)
    async with MLDataLoader(dsn(), at(TODAY)) as loader:
        before = await loader.get_training_data(SYMBOLS)
        store_events(store, [])
        same(before, await loader.get_training_data(SYMBOLS))


async def test_live_features_equal_those_of_training_to_the_last_bit(store: psycopg.Connection[Any]) -> None:
    """Whenever they are asked for, rolled up or not, with what the loader kept and without."""
    start = TODAY - timedelta(hours=5)
    hours = [event for n in range(3) for event in walk(start + timedelta(hours=n, minutes=7), 30, n)]
    events = walk(start + timedelta(hours=3, minutes=55), 600, quiet=[range(200, 207), range(400, 420)])
    store_events(store, hours)
    second = start + timedelta(hours=3, minutes=55)
    live, written = [], 0
    async with MLDataLoader(dsn(), lambda: now) as loader:
        for passed in (230, 231, 290, 325, 330, 401, 425, 599):
            now = second + timedelta(seconds=passed, milliseconds=300)
            due = [e for e in events[written:] if e.received_ts_us < now.timestamp() * 1e6]
            store_events(store, due, roll_up=passed in (290, 401))
            written += len(due)
            live.append(await loader.get_real_time_features(SYMBOLS, minutes=1))
    store_events(store, events)
    async with MLDataLoader(dsn(), at(TODAY + timedelta(hours=1))) as loader:
        training = await loader.get_ml_features(SYMBOLS, days_back=1)
    for found in live:
        rows = training.join(found, on=["symbol", "exchange", "second"], how="semi")
        same(found, rows)
        newest = rows["second"].max()
        assert rows["second"].n_unique() > 25, newest
    assert all(live[-1][name].null_count() < len(live[-1]) for names in FAMILIES for name in names)


async def test_a_live_row_waits_until_its_second_is_complete(store: psycopg.Connection[Any]) -> None:
    events = walk(NOON, WARM_UP_S)
    store_events(store, events)
    async with MLDataLoader(dsn(), at(NOON + timedelta(seconds=WARM_UP_S + 2))) as loader:
        found = await loader.get_real_time_features(SYMBOLS, minutes=1)
    newest = datetime.fromtimestamp(events[-1].received_ts_us // 1_000_000, UTC)
    assert found["second"].max() == newest - timedelta(seconds=1)


async def test_a_quote_is_carried_on_for_ten_seconds_and_is_unknown_after(
    store: psycopg.Connection[Any],
) -> None:
    store_events(store, walk(NOON, 400, quiet=[range(250, 280)]))
    async with MLDataLoader(dsn(), at(TODAY)) as loader:
        found = await loader.get_ml_features(["BTC/USDT"], days_back=1)
    gone = found.filter(
        pl.col("second").is_between(NOON + timedelta(seconds=262), NOON + timedelta(seconds=279))
    )
    assert gone.is_empty()
    assert found["quote_age_s"].max() == 10
    back = found.filter(pl.col("second") == NOON + timedelta(seconds=300))
    assert back["spread_bps"].null_count() == 0
    assert back["rsi_14"].null_count() == back["realised_volatility_60_bps"].null_count() == len(back) > 0


async def test_bars_of_several_days_with_some_columns(store: psycopg.Connection[Any], tmp_path: Path) -> None:
    events = [event for day in (1, 2, 3) for event in walk(TODAY - timedelta(days=day), 5, day)]
    store_events(store, events)
    for place in (dsn(), lake_of(tmp_path, events).url):
        async with MLDataLoader(place, at(TODAY)) as loader:
            bars = await loader.get_training_data(["BTC/USDT"], days_back=2, columns=["bid", "mid_low"])
        assert bars.columns == ["symbol", "exchange", "second", "available_at", "bid", "mid_low"]
        assert bars["second"].dt.date().unique().sort().to_list() == [date(2026, 3, 3), date(2026, 3, 4)]


async def test_pandas_on_request(store: psycopg.Connection[Any]) -> None:
    store_events(store, walk(NOON, 5))
    async with MLDataLoader(dsn(), at(TODAY)) as loader:
        frame = await loader.get_training_data(["BTC/USDT"])
        found = pl.from_pandas(await loader.get_training_data(["BTC/USDT"], as_pandas=True))
    assert frame["trades"].null_count() > 0  # pandas has whole numbers with nulls as floats
    same(found.with_columns(pl.col("trades").cast(pl.Int32)), frame)


async def test_an_unknown_symbol_is_named_with_those_spelled_alike(
    store: psycopg.Connection[Any], tmp_path: Path
) -> None:
    events = walk(NOON, 5)
    store_events(store, events)
    for place in (dsn(), lake_of(tmp_path, events).url):
        async with MLDataLoader(place, at(TODAY)) as loader:
            with pytest.raises(UnknownSymbolError, match=r"symbols: 'btcusdt' .* near: BTC/USDT"):
                await loader.get_training_data(["btcusdt"])


async def test_a_day_without_data_says_of_when_the_newest_is(
    store: psycopg.Connection[Any], tmp_path: Path
) -> None:
    events = walk(NOON, 5)
    store_events(store, events)
    for place in (dsn(), lake_of(tmp_path, events).url):
        async with MLDataLoader(place, at(TODAY + timedelta(days=3))) as loader:
            with pytest.raises(
                NoDataError, match=r"for 2026-03-07 \(yesterday, UTC\), .* 2026-03-04 12:00:0"
            ):
                await loader.get_training_data(["BTC/USDT"])
            with pytest.raises(NoDataError, match="the last 5 minutes"):
                await loader.get_real_time_features(["BTC/USDT"], minutes=5)
            with pytest.raises(NoDataError, match="2026-03-06 to 2026-03-07"):
                await loader.get_ml_features(["BTC/USDT"], days_back=2)


async def test_wrong_arguments_are_refused_by_name(store: psycopg.Connection[Any]) -> None:
    async with MLDataLoader(dsn(), at(TODAY)) as loader:
        with pytest.raises(ValueError, match="symbols: 'BTC/USDT' is not a list"):
            await loader.get_training_data("BTC/USDT")
        with pytest.raises(ValueError, match="days_back: 0"):
            await loader.get_ml_features(["BTC/USDT"], days_back=0)
        with pytest.raises(ValueError, match=r"columns: \['bit'\] are not among bid, "):
            await loader.get_training_data(["BTC/USDT"], columns=["bid", "bit"])
        with pytest.raises(ValueError, match="minutes: 61"):
            await loader.get_real_time_features(["BTC/USDT"], minutes=61)
    with pytest.raises(RuntimeError, match="async with"):
        await loader.get_training_data(["BTC/USDT"])


async def test_bars_that_wait_for_too_long_are_not_computed_here(store: psycopg.Connection[Any]) -> None:
    store_events(store, walk(NOON, 5))
    store.execute(
        "INSERT INTO marketdata.touched SELECT 'book_ticker', %s + n * interval '1 minute' "
        "FROM generate_series(0, 70) n",
        [NOON],
    )
    async with MLDataLoader(dsn(), at(TODAY)) as loader:
        with pytest.raises(BarsBehindError, match="book_ticker: the second bars of 71 minutes"):
            await loader.get_training_data(["BTC/USDT"])


async def test_a_server_that_is_away_is_named_without_the_password(tmp_path: Path) -> None:
    with pytest.raises(StoreUnreadableError, match="dsn: ") as refused:
        await MLDataLoader(f"postgresql://u:hidden@/x?host={tmp_path}").__aenter__()
    assert "hidden" not in str(refused.value)
