"""The scanner's table: rows, views, and what of a page a browser is sent."""

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from engine.scan.identity import FAIL
from markets.config import FilterConfig, MarketConfig, Opportunity
from realtime.scanner.messages import CELLS, make_page, message
from realtime.scanner.table import STATES, ScanTable
from realtime.scanner.view import Query, View
from realtime.scanner.wire import ShardScan
from tests.support.scan.data import EXCHANGES, FEE_BPS, listing, market, scan_of

KEEP = (1 - FEE_BPS / 1e4) / (1 + FEE_BPS / 1e4)
BTC = "BTC/USDT|binance|bybit"


def filled(config: MarketConfig, scan: ShardScan, silent: bool = False) -> ScanTable:
    """A table that has received one shard."""
    table = ScanTable(config)
    found = table.match(scan)
    table.take(scan, found, time.monotonic(), silent)
    table.take_evidence(scan, found)
    table.refresh()
    return table


def ids(table: ScanTable, **query: Any) -> list[str]:
    """The rows of a query, in order."""
    return [table.ids[row] for row in View(table, Query(**query)).order]


prices = st.fixed_dictionaries(
    {(e, s): st.floats(1, 1000) for e in EXCHANGES for s in ("BTC/USDT", "ETH/USDT")}
)


@given(prices)
def test_a_row_is_the_better_direction_of_its_pair(bids: dict[tuple[str, str], float]) -> None:
    config = market()
    table = filled(config, scan_of(config, bids))
    for row, pair in enumerate(table.pairs):
        one, two = bids[pair.pair.exchange1, pair.symbol], bids[pair.pair.exchange2, pair.symbol]
        edge12 = one / (two * 1.0001) * KEEP * 1e4 - 1e4
        edge21 = two / (one * 1.0001) * KEEP * 1e4 - 1e4
        assert table.edge[row] == pytest.approx(max(edge12, edge21), abs=1e-6)
        assert bool(table.sell_first[row]) is (edge12 >= edge21)
        sell, buy = (one, two) if edge12 >= edge21 else (two, one)
        assert table.spread[row] == pytest.approx((sell / buy - 1) * 100, abs=1e-9)
        assert table.size[row] == pytest.approx(1.0 * buy * 1.0001), "the smaller of both best sizes"


@given(prices, st.booleans(), st.sampled_from(["edge", "size", "spread", "age", "volume", "gates", "symbol"]))
def test_every_order_is_complete_and_stable(
    bids: dict[tuple[str, str], float], descending: bool, sort: str
) -> None:
    config = market()
    table = filled(config, scan_of(config, bids))
    order = ids(table, sort=sort, descending=descending)
    assert sorted(order) == sorted(table.ids)
    assert order == ids(table, sort=sort, descending=descending)


def priced(**columns: Any) -> tuple[MarketConfig, ScanTable]:
    """BTC is 1 % dearer on okx; ETH is 2 % dearer on bybit."""
    config = market()
    bids = {
        ("binance", "BTC/USDT"): 100.0, ("bybit", "BTC/USDT"): 100.0, ("okx", "BTC/USDT"): 101.0,
        ("binance", "ETH/USDT"): 10.0, ("bybit", "ETH/USDT"): 10.2, ("okx", "ETH/USDT"): 10.0,
    }  # fmt: skip
    return config, filled(config, scan_of(config, bids, **columns))


def test_the_best_edge_comes_first_and_equal_rows_stay_by_symbol_and_pair() -> None:
    _config, table = priced()
    assert ids(table) == [
        "ETH/USDT|binance|bybit",
        "ETH/USDT|bybit|okx",
        "BTC/USDT|binance|okx",
        "BTC/USDT|bybit|okx",
        "BTC/USDT|binance|bybit",
        "ETH/USDT|binance|okx",
    ]
    assert ids(table, sort="symbol", descending=False)[0] == BTC


def test_between_different_coins_of_one_name_there_is_no_edge_to_come_first() -> None:
    _config, table = priced()
    first, *others = ids(table)
    table.identity[table.row[first]] = FAIL
    table.refresh()
    assert ids(table) == [*others, first]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"search": "btc"}, 3),
        ({"search": "BTCUSDT"}, 3),
        ({"search": "btc eth"}, 0),
        ({"exchanges": ("okx",)}, 4),
        ({"exchanges": ("okx", "bybit")}, 2),
        ({"quote": "USDT"}, 6),
        ({"quote": "USDC"}, 0),
        ({"min_edge": 50.0}, 4),
        ({"min_size": 50.0}, 3),
        ({"min_volume": 1e6}, 6),
        ({"min_volume": 2e6}, 0),
    ],
)
def test_each_filter_keeps_what_it_says(query: dict[str, Any], count: int) -> None:
    _config, table = priced()
    assert len(ids(table, **query)) == count


@pytest.mark.parametrize(
    ("kind", "pairs"),
    [
        ("spot-spot", {"binance|okx"}),
        ("swap-swap", {"binance:swap|okx:swap"}),
        ("spot-swap", {"binance|okx:swap", "binance:swap|okx"}),
        ("basis", {"binance|binance:swap", "okx|okx:swap"}),
    ],
)
def test_a_kind_of_pairs_is_what_its_two_markets_make(kind: str, pairs: set[str]) -> None:
    config = market(("BTC/USDT",), ("binance", "binance:swap", "okx", "okx:swap"))
    table = filled(config, scan_of(config, {}))
    assert set(ids(table, kind=kind)) == {f"BTC/USDT|{pair}" for pair in pairs}
    assert ids(ScanTable(market(())), kind=kind) == []


def test_a_row_whose_gates_block_is_left_out_on_demand_and_unknown_wallets_do_not_block() -> None:
    okx_btc_jumped = [False, False, False, False, True, False]
    _config, table = priced(jumped=okx_btc_jumped)
    assert len(ids(table, passed=True)) == 4
    assert not any(id.startswith("BTC") and "okx" in id for id in ids(table, passed=True))
    row = table.row[BTC]
    assert (table.passed[row], table.failed[row], table.unknown[row], table.blocked[row]) == (8, 0, 1, False)


def test_an_unknown_price_is_last_in_both_orders_and_passes_no_minimum() -> None:
    config = market(("BTC/USDT",))
    table = filled(config, scan_of(config, {("binance", "BTC/USDT"): 100.0, ("bybit", "BTC/USDT"): 99.0}))
    assert ids(table)[0] == ids(table, descending=False)[0] == BTC
    assert ids(table, min_edge=-1e9) == [BTC]
    assert STATES[table.state[table.row["BTC/USDT|binance|okx"]]] == "waiting"


def test_a_filter_of_the_operator_names_the_pairs_it_follows_and_those_it_charts() -> None:
    follows = FilterConfig(
        7, "edges", min_edge_bps=5.0, symbols="BTC/*", pairs=frozenset({("binance", "okx")})
    )
    chart = Opportunity("ETH/USDT", "bybit", "okx", None, (8,))
    config = market(filters=(follows, FilterConfig(8, "charts")), charts=(chart,))
    table = ScanTable(config)
    assert ids(table, filter=7) == ["BTC/USDT|binance|okx"]
    assert ids(table, filter=8) == [chart.id]
    assert ids(table, filter=9) == []


def test_rows_of_a_silent_collector_say_so_and_offer_nothing() -> None:
    config = market(("BTC/USDT",))
    scan = scan_of(config, {(key, "BTC/USDT"): 100.0 for key in EXCHANGES})
    table = filled(config, scan, silent=True)
    assert {STATES[state] for state in table.state} == {"lost"}
    assert np.isnan(table.edge).all()
    assert table.blocked.all()


def test_an_alias_meets_the_coin_it_counts_as() -> None:
    alias = structs.replace(listing("okx", "1000PEPE/USDT"), counts_as="PEPE/USDT", multiplier=1000.0)
    config = market(listings=(listing("binance", "PEPE/USDT"), alias), exchanges=("binance", "okx"))
    scan = scan_of(config, {("binance", "PEPE/USDT"): 0.01, ("okx", "1000PEPE/USDT"): 0.01}, scale=[1, 0.001])
    table = filled(config, scan)
    assert table.ids == ["PEPE/USDT|binance|okx"]
    assert table.spread[0] == pytest.approx(0)


def test_legs_of_another_configuration_have_no_row() -> None:
    table = filled(market(("BTC/USDT",)), scan_of(market(), {("binance", "ETH/USDT"): 10.0}))
    assert {STATES[state] for state in table.state} == {"waiting"}


def test_a_market_of_nothing_has_an_empty_page() -> None:
    table = ScanTable(MarketConfig(0, (), frozenset(), ()))
    assert json.loads(b"{" + page_of(table).whole())["rows"] == []


def test_opportunities_that_cannot_be_counted_are_unknown_and_last() -> None:
    _config, table = priced()
    hour = CELLS.index("hour")
    assert {row[hour] for row in page_of(table, sort="hour").rows.values()} == {None}
    table.count_hour({BTC: 2})
    assert [row[hour] for row in page_of(table, sort="hour").rows.values()] == [2, 0, 0, 0]
    table.count_hour(None)
    assert {row[hour] for row in page_of(table, sort="hour", descending=False).rows.values()} == {None}


# --- pages ---------------------------------------------------------------------------------------


def page_of(table: ScanTable, **query: Any) -> Any:
    return make_page(View(table, Query(**query)), slice(0, 4), 1, 1_763_640_000_000_000)


def test_a_page_says_all_of_its_rows_and_of_the_whole() -> None:
    _config, table = priced()
    said = json.loads(message("page", 1, 1_763_640_000_123_456, page_of(table).whole()))
    assert (said["type"], said["seq"], said["time"]) == ("page", 1, 1763640000.123)
    assert (said["total"], said["matches"], said["collectors"], len(said["rows"])) == (6, 6, 1, 4)
    first = said["rows"][0]
    assert set(first) == {"id", *CELLS}
    assert (first["symbol"], first["exchange1"], first["exchange2"], first["sell"]) == (
        "ETH/USDT", "binance", "bybit", 2,
    )  # fmt: skip
    assert first["edge"] == pytest.approx(10.2 / 10.001 * KEEP * 1e4 - 1e4, abs=0.05)


def test_changes_carry_only_cells_that_differ_and_the_order_only_when_it_moved() -> None:
    config, table = priced()
    shown = page_of(table)
    assert page_of(table).changes(shown) == b"", "nothing moved"

    bids = {("binance", "ETH/USDT"): 10.05, ("bybit", "ETH/USDT"): 10.2, ("okx", "ETH/USDT"): 10.0}
    btc = {(key, "BTC/USDT"): price for key, price in zip(EXCHANGES, (100.0, 100.0, 100.2), strict=True)}
    scan = scan_of(config, btc | bids)
    table.take(scan, table.match(scan), time.monotonic(), False)
    table.refresh()
    said = json.loads(b"{" + page_of(table).changes(shown))
    assert "order" in said
    by_id = {row["id"]: row for row in said["rows"]}
    assert "symbol" not in by_id["ETH/USDT|binance|bybit"], "it was there before"
    assert {"edge", "spread"} <= by_id["ETH/USDT|binance|bybit"].keys()
    new = set(said["order"]) - set(shown.ids)
    assert new
    assert all(set(by_id[id]) == {"id", *CELLS} for id in new)


@given(st.lists(prices, min_size=2, max_size=5))
def test_a_browser_that_applies_the_changes_sees_the_newest_page(
    moves: list[dict[tuple[str, str], float]],
) -> None:
    config = market()
    table = filled(config, scan_of(config, moves[0]))
    shown = page_of(table)
    seen = {row["id"]: row for row in json.loads(b"{" + shown.whole())["rows"]}
    order = list(seen)
    for bids in moves[1:]:
        scan = scan_of(config, bids)
        table.take(scan, table.match(scan), 0.0, False)
        table.refresh()
        page = page_of(table)
        said = json.loads(b"{" + (page.changes(shown) or b'"rows":[]}'))
        order = said.get("order", order)
        for row in said["rows"]:
            seen[row["id"]] = seen.get(row["id"], {}) | row
        seen = {id: seen[id] for id in order}
        shown = page
        assert list(seen.values()) == json.loads(b"{" + page.whole())["rows"]
