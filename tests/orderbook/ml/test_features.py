"""Features: point in time, the same live as in training, and equal to their formulas."""

import math
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from orderbook.ml.adapters.base import BARS, DEPTH, PLACE, SECOND
from orderbook.ml.checking import check, loaded_of
from orderbook.ml.features.table import FAMILIES, WARM_UP_S, features
from orderbook.ml.grid import Grid, Loaded, Values
from orderbook.ml.made import made
from tests.orderbook.ml.market import lake_of, store_events, walk

START = datetime(2026, 3, 4, 7, 59, tzinfo=UTC)
KEYS = [("BTC/USDT", "gate"), ("BTC/USDT", "okx"), ("ETH/USDT", "okx")]


def loaded(seconds: int, seed: int, gaps: list[tuple[int, int]], shift_s: int = 0) -> Loaded:
    """Bars with prices and sizes of any scale, of which some seconds and spans are missing."""
    chance = np.random.default_rng(seed)
    frames = []
    start = START + timedelta(seconds=shift_s)
    for key in range(len(KEYS)):
        spoken = chance.random(seconds) > chance.choice((0.0, 0.02, 0.4))
        for at, length in gaps:
            spoken[at : at + length] = False
        second = np.flatnonzero(spoken)
        columns: dict[str, Any] = {name: chance.lognormal(0, 2, len(second)) for name in BARS}
        mid = 1000 * 10.0 ** chance.integers(-5, 3) * (1 + np.cumsum(chance.normal(0, 1e-4, len(second))))
        columns |= {"bid": mid * 0.9999, "ask": mid * 1.0001, "quotes": 1, "trades": 1}
        at_us = int(start.timestamp()) * 1_000_000 + second * 1_000_000
        bars = pl.DataFrame({"key": key, "second": at_us, **columns}, schema_overrides=PLACE | BARS)
        traded = pl.lit(pl.Series(chance.random(len(second)) < 0.5))
        nulls = [pl.when(traded).then(name).alias(name) for name in ("buy_volume", "sell_volume")]
        frames.append(bars.with_columns(nulls))
    bars = pl.concat(frames).with_columns(pl.col("second").cast(SECOND))
    depth = bars.select(*PLACE, bid_depth="bid_size", ask_depth="ask_size").select(*PLACE, *DEPTH)
    return loaded_of(Loaded(KEYS, bars, depth, bars.clear(), start, start + timedelta(seconds=seconds)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shift_s=st.integers(0, 3600),
    gaps=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60)), max_size=3),
    cuts=st.lists(st.integers(1, 539), min_size=1, max_size=4),
)
def test_no_feature_changes_when_less_is_loaded_after_or_before_it(
    seed: int, shift_s: int, gaps: list[tuple[int, int]], cuts: list[int]
) -> None:
    whole = loaded(540, seed, gaps, shift_s)
    assert list(check(whole, [whole.start + timedelta(seconds=cut) for cut in cuts])) == []


def test_every_feature_is_known_where_enough_is() -> None:
    """Else the property above would hold of nothing."""
    whole = made()
    table = features(loaded_of(whole), whole.start)
    names = [name for family in FAMILIES for name in family]
    assert {name for name in names if table[name].null_count() == len(table)} == set()
    assert {name for name in names if table[name].n_unique() < 10 and "age" not in name} <= {
        name for name in names if name.startswith("hour_")
    }


def _tomorrow(grid: Grid) -> dict[str, Values]:
    mid = grid.of["mid"]
    return {"mid_in_5_s": np.concatenate([mid[:, 5:], np.full((len(mid), 5), np.nan)], axis=1)}


def _running(grid: Grid) -> dict[str, Values]:
    return {"running_mean": np.cumsum(np.nan_to_num(grid.of["mid"]), axis=1)}


@pytest.mark.parametrize(("name", "compute", "how"), [
    ("mid_in_5_s", _tomorrow, "ends"), ("running_mean", _running, "starts"),
])  # fmt: skip
def test_a_feature_that_breaks_is_named_with_its_row(name: str, compute: Any, how: str) -> None:
    whole = loaded(400, 1, [])
    cut = START + timedelta(seconds=100)
    broken = next(iter(check(whole, [cut], {(name,): compute})))
    assert broken.feature == name
    assert f"{name} of {broken.symbol} on {broken.exchange} at 2026-03-04 0" in str(broken)
    assert how in broken.how
    if how == "ends":
        assert broken.second == cut - timedelta(seconds=5)


def test_the_features_of_a_window_are_their_formulas() -> None:
    chance = np.random.default_rng(5)
    seconds = 300
    mid = 100 + np.cumsum(chance.normal(0, 0.01, seconds))
    bid, ask = mid - 0.01, mid + 0.02
    sizes, volumes = chance.exponential(1, (2, seconds)), chance.exponential(1, (2, seconds))
    columns = {name: np.ones(seconds) for name in BARS}
    columns |= {"bid": bid, "ask": ask, "bid_size": sizes[0], "ask_size": sizes[1]}
    columns |= {"buy_volume": volumes[0], "sell_volume": volumes[1]}
    at_us = int(START.timestamp()) * 1_000_000 + np.arange(seconds) * 1_000_000
    bars = pl.DataFrame({"key": 0, "second": at_us, **columns}, schema_overrides=PLACE | BARS)
    bars = bars.with_columns(pl.col("second").cast(SECOND))
    end = START + timedelta(seconds=seconds)
    rows = features(
        Loaded(
            KEYS[:1],
            bars,
            pl.DataFrame(schema=PLACE | DEPTH),
            bars.clear().select("key", pl.col("second").alias("hour"), "open", "high", "low", "close"),
            START,
            end,
        ),
        START,
    )
    assert len(rows) == seconds
    t, mid = 250, (bid + ask) / 2
    row = rows.row(t, named=True)
    close = pytest.approx
    window = mid[t - 59 : t + 1]
    assert row["sma_60"] == close(window.mean())
    assert row["sma_10"] == close(window[-10:].mean())
    assert row["bollinger_upper"] == close(window[-20:].mean() + 2 * window[-20:].std(), rel=1e-6)
    assert row["spread_bps"] == close((ask[t] - bid[t]) / mid[t] * 10_000)
    micro = (bid[t] * sizes[1][t] + ask[t] * sizes[0][t]) / (sizes[0][t] + sizes[1][t])
    assert row["micro_price"] == close(micro)
    bought, sold = volumes[0][t - 59 : t + 1].sum(), volumes[1][t - 59 : t + 1].sum()
    assert row["volume_imbalance_60"] == close((bought - sold) / (bought + sold))
    returns = mid[t - 59 : t + 1] / mid[t - 60 : t] - 1
    assert row["realised_volatility_60_bps"] == close(math.sqrt((returns**2).sum()) * 10_000)
    flow = 0.0
    for s in range(t - 9, t + 1):
        flow += (bid[s] >= bid[s - 1]) * sizes[0][s] - (bid[s] <= bid[s - 1]) * sizes[0][s - 1]
        flow += (ask[s] >= ask[s - 1]) * sizes[1][s - 1] - (ask[s] <= ask[s - 1]) * sizes[1][s]
    assert row["order_flow_imbalance_10"] == close(flow)
    assert row["edge_bps"] is None
    # Wilder's means, started again 120 s before the minute of t.
    begin = t // 60 * 60 - 120
    moves = np.diff(mid[begin : t + 1])
    rise, fall = (np.maximum(sign * moves, 0) for sign in (1, -1))
    up, down = rise[:14].mean(), fall[:14].mean()
    for gained, lost in zip(rise[14:], fall[14:], strict=True):
        up, down = (13 * up + gained) / 14, (13 * down + lost) / 14
    assert row["rsi_14"] == close(100 * up / (up + down))


def test_the_edge_is_the_best_of_the_others_and_as_old_as_the_older_quote() -> None:
    keys = [("BTC/USDT", name) for name in ("bybit", "gate", "okx")]
    quoted = [(0, 0, 100.0, 101.0), (1, 0, 103.0, 104.0), (2, 3, 102.0, 102.5)]  # key, second, bid, ask
    columns = {"key": [q[0] for q in quoted], "bid": [q[2] for q in quoted], "ask": [q[3] for q in quoted]}
    bars = pl.DataFrame({"key": columns.pop("key"), **{name: [1.0] * 3 for name in BARS}, **columns})
    seconds = pl.Series([START + timedelta(seconds=q[1]) for q in quoted], dtype=SECOND)
    bars = bars.with_columns(seconds.alias("second"))
    end = START + timedelta(seconds=15)
    hours = bars.clear().select("key", pl.col("second").alias("hour"), "open", "high", "low", "close")
    book = pl.DataFrame(schema=PLACE | DEPTH)
    rows = features(Loaded(keys, bars, book, hours, START, end), START).sort("key", "second")
    found = {
        (key, (second - START).seconds): (edge, age)
        for key, second, edge, age in rows.select("key", "second", "edge_bps", "edge_age_s").iter_rows()
    }
    assert found[0, 0] == (pytest.approx((103 / 101 - 1) * 10_000), 0)
    assert found[1, 2] == (pytest.approx((100 / 104 - 1) * 10_000), 2)
    assert found[1, 3] == (
        pytest.approx((102 / 104 - 1) * 10_000),
        3,
    )  # okx quotes now; this quote is 3 s old
    assert found[2, 3] == (pytest.approx((103 / 102.5 - 1) * 10_000), 3)
    assert (0, 11) not in found
    assert found[2, 11] == (None, None)  # the others are silent for more than 10 s


def test_hours_are_those_before_the_present_one() -> None:
    whole = made()
    table = features(loaded_of(whole), whole.start).filter(pl.col("key") == 1)
    at = datetime(2026, 1, 1, 10, 20, tzinfo=UTC)
    row = table.filter(pl.col("second") == at).row(0, named=True)
    for lag in (1, 2):
        start = at.replace(minute=0) - timedelta(hours=lag)
        rows = whole.bars.filter(
            (pl.col("key") == 1)
            & pl.col("second").is_between(start, start + timedelta(hours=1), closed="left")
        )
        expected = (rows["mid_open"][0], rows["mid_high"].max(), rows["mid_low"].min(), rows["mid_close"][-1])
        assert tuple(row[f"hour_{name}_lag_{lag}"] for name in ("open", "high", "low", "close")) == expected
    assert row["hour_open_lag_3"] is None  # the data begin in the middle of it


def test_rsi_of_a_price_that_has_not_moved_is_unknown() -> None:
    whole = loaded(400, 1, [])
    still = whole.bars.with_columns(bid=pl.lit(1.0), ask=pl.lit(1.5))
    rows = features(Loaded(KEYS, still, whole.depth, whole.hours, whole.start, whole.end), whole.start)
    assert rows["rsi_14"].null_count() == len(rows)
    assert rows["macd"].null_count() < len(rows)


@pytest.mark.django_db(transaction=True)
def test_check_features_runs_on_made_data_and_on_the_operators(
    store: psycopg.Connection[Any], tmp_path: Path
) -> None:
    events = walk(START, 2 * WARM_UP_S)
    store_events(store, events)
    for arguments in ([], ["BTC/USDT"], ["BTC/USDT", "--dsn", lake_of(tmp_path, events).url]):
        said = StringIO()
        call_command("check_features", *arguments, "--cuts", "3", stdout=said)
        assert "Every feature is the same in training and live, and none looks ahead" in said.getvalue()
    with pytest.raises(CommandError, match="near: BTC/USDT"):
        call_command("check_features", "BTCUSDT")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cuts", "0"], "--cuts: 0 checks nothing"),
        (["--dsn", "/nowhere/lake"], "--dsn: name symbols"),
        (["BTC/USDT", "--dsn", "/nowhere/lake"], "none at all: check dsn"),
    ],
)
def test_what_cannot_be_checked_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("check_features", *arguments)


@pytest.mark.django_db(transaction=True)
def test_check_features_names_what_breaks(
    store: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "__defaults__", ({("mid_in_5_s",): _tomorrow},))
    said = StringIO()
    with pytest.raises(CommandError, match="1 features look ahead"):
        call_command("check_features", "--cuts", "2", stderr=said)
    assert said.getvalue().startswith("mid_in_5_s of MADE/USDT on bybit at 2026-01-01 ")
