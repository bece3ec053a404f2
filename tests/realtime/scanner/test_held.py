"""Net columns of the scanner: each row as the one position of `/api/funding/net`; unknown ones; the order."""

import json
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from core.names.market_keys import exchange_of, market_of
from core.web.refused import Refused
from engine.funding.net import leg_funding
from engine.funding.settlements import FundingTerms
from markets.config import ExchangeConfig, FilterConfig, ListingConfig, MarketConfig
from markets.follow.fundings import Snapshot, SwapRow
from realtime.funding.net import NetQuery, net
from realtime.scanner import view as scan_view
from realtime.scanner.api import COLUMNS, _csv_row, query_of
from realtime.scanner.book import ScanBook
from realtime.scanner.holding import KEPT, LegFunding
from realtime.scanner.messages import CELLS, NET_CELLS, Page, make_page
from realtime.scanner.table import ScanTable
from realtime.scanner.view import Query, View
from tests.support.scan.data import market, scan_of

NOW_US = 1_763_640_000_000_000
HOUR_US = 3_600_000_000
KEYS = ("binance", "binance:swap", "bybit:swap", "okx")
BIDS = {"binance": 100.0, "binance:swap": 100.2, "bybit:swap": 101.0, "okx": 100.4}
SYMBOLS = ("BTC/USDT", "ETH/USDT")


def said(
    key: str, symbol: str = "BTC/USDT", rate: float | None = 1e-4, hours: int = 8, **more: Any
) -> SwapRow:
    """Funding of a swap that settles in half an hour."""
    row = SwapRow(
        key,
        f"{symbol}:USDT",
        symbol,
        rate,
        NOW_US + HOUR_US // 2,
        hours * 3600,
        False,
        None,
        None,
        None,
        None,
        1.0,
        "",
    )
    return structs.replace(row, **more)


USUAL = (said("binance:swap"), said("bybit:swap", rate=3e-4, hours=4))


def config_of(filters: tuple[FilterConfig, ...] = ()) -> MarketConfig:
    listings = tuple(
        ListingConfig(key, f"{s}:USDT" if market_of(key) == "swap" else s, s, s[:3], "USDT", s, volume=1e6)
        for key in KEYS
        for s in SYMBOLS
    )
    made = market(SYMBOLS, KEYS, listings, filters)
    fees = {"binance": 10.0, "binance:swap": 5.0, "bybit:swap": 5.5, "okx": 8.0}
    return structs.replace(
        made, exchanges=tuple(ExchangeConfig(key, key.title(), True, fees[key], fees[key]) for key in KEYS)
    )


def table_of(
    rows: tuple[SwapRow, ...] = USUAL, ratio: float | None = None, filters: tuple[FilterConfig, ...] = ()
) -> ScanTable:
    """Both coins at the prices of `BIDS` with these swaps' funding, at `NOW_US`."""
    config = config_of(filters)
    table = ScanTable(config)
    scan = scan_of(config, {(leg.exchange, leg.symbol): BIDS[leg.exchange] for leg in config.listings})
    match = table.match(scan)
    table.take(scan, match, 1.0, False)
    if ratio is not None:
        scan.pairs = scan.pairs.copy()
        scan.pairs["ratio"] = ratio
    table.take_evidence(scan, match)
    table.funding.learn([Snapshot("1/1", NOW_US, list(rows))])
    table.funding.turn(NOW_US)
    table.refresh()
    return table


def page_of(table: ScanTable, **query: Any) -> Page:
    return make_page(View(table, Query(**query)), slice(0, 200), 1, NOW_US)


def rows_of(table: ScanTable, **query: Any) -> dict[str, dict[str, Any]]:
    page = page_of(table, **query)
    return {id: dict(zip(page.head.cells, row, strict=True)) for id, row in page.rows.items()}


@pytest.mark.parametrize(("hours", "borrow"), [(8.0, 0.0), (0.25, 0.0), (24.0, 0.05)])
def test_every_row_says_what_the_one_position_says(hours: float, borrow: float) -> None:
    table = table_of()
    rows = rows_of(table, hold=hours, borrow=borrow)
    assert len(rows) == len(table) == 12
    for id, row in rows.items():
        symbol, one, two = id.split("|")
        buy, sell = (two, one) if row["sell"] == 1 else (one, two)
        asked = NetQuery(symbol=symbol, buy=buy, sell=sell, hours=hours, borrow=borrow)
        found = net(table, asked, [Snapshot("1/1", NOW_US, list(USUAL))], NOW_US).bps
        if symbol != "BTC/USDT" and "swap" in buy + sell:
            assert row["net_zero"] is found["net_zero"] is None, "nothing was said of ETH's funding"
            continue
        for name in ("net_zero", "net_now"):
            assert row[name] == pytest.approx(found[name], abs=0.051), (id, name)
        paid = (found["funding_long"] or 0) + (found["funding_short"] or 0)
        assert row["funding"] == pytest.approx(paid, abs=0.051)


def test_two_swaps_in_figures() -> None:
    """Buy Binance's swap at 100.21002, sell Bybit's at 101: 1 bp is paid once, 3 bps are received twice."""
    row = rows_of(table_of())["BTC/USDT|binance:swap|bybit:swap"]
    unit = 10_000 / 1.0005
    entry = 101 * (1 - 0.00055) / (100.2 * 1.0001 * 1.0005) * 10_000 - 10_000
    assert (row["sell"], row["edge"]) == (2, pytest.approx(entry, abs=0.051))
    assert row["funding"] == pytest.approx((6e-4 - 1e-4) * unit, abs=0.051)
    assert row["net_zero"] == pytest.approx(entry + (5e-4 - 0.0005 - 0.00055) * unit, abs=0.051)
    spread = 101 * 1.0001 / 100.2 - 1
    assert row["net_now"] == pytest.approx(row["net_zero"] - spread * 1.00055 * unit, abs=0.11)
    assert (row["why1"], row["why2"]) == ("", "")


def test_two_spot_legs_are_paid_exactly_nothing() -> None:
    row = rows_of(table_of(rows=()))["BTC/USDT|binance|okx"]
    assert str(row["funding"]) == "0.0"
    assert row["net_zero"] == pytest.approx(row["edge"] - (0.001 + 0.0008) / 1.001 * 1e4, abs=0.11)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ((), "nothing was said of its funding"),
        ((said("bybit:swap", rate=None, problem="the rate is unknown"),), "the rate is unknown"),
        (
            (said("bybit:swap", interval_s=None, problem="the interval is unknown"),),
            "the interval is unknown",
        ),
    ],
)
def test_unknown_funding_is_no_net_and_says_why(rows: tuple[SwapRow, ...], why: str) -> None:
    row = rows_of(table_of(rows))["BTC/USDT|bybit:swap|okx"]
    assert row["edge"] is not None
    assert [row[name] for name in ("net_zero", "net_now", "net_median", "funding")] == [None] * 4
    assert (row["why1"], row["why2"]) == (why, ""), "a spot leg's is known"


def test_a_median_that_is_as_now_leaves_as_much_as_now_and_one_not_known_leaves_nothing_to_say() -> None:
    id = "BTC/USDT|binance:swap|bybit:swap"
    unknown = rows_of(table_of())[id]
    assert (unknown["net_median"], unknown["why1"], unknown["why2"]) == (None, "", "")
    assert unknown["net_now"] is not None
    as_now = rows_of(table_of(ratio=100.2 / 101))[id]
    assert as_now["net_median"] == pytest.approx(as_now["net_now"], abs=0.11)
    meeting = rows_of(table_of(ratio=1.0))[id]
    one_bp = 1.00055 / 1.0005
    assert meeting["net_median"] == pytest.approx(meeting["net_zero"] - one_bp, abs=0.11), (
        "books stay a bp wide"
    )


def test_rows_are_sorted_and_limited_by_net() -> None:
    table = table_of()
    for sort in ("net_zero", "net_now", "funding"):
        values = [row[sort] for row in rows_of(table, sort=sort).values()]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=True)
        assert values == known + [None] * (len(values) - len(known)), "unknown ones are last"
    nets = {id: row["net_now"] for id, row in rows_of(table).items() if row["net_now"] is not None}
    least = sorted(nets.values())[len(nets) // 2]
    limited = rows_of(table, min_net=least, exit="now")
    assert set(limited) == {id for id, value in nets.items() if value >= least}
    assert limited, "some are"


def test_a_view_of_a_filter_holds_as_long_as_the_filter_says_unless_it_says_otherwise() -> None:
    kinds: Any = ("swap-swap", "basis", "spot-swap")
    row = FilterConfig(
        7, "held", min_edge_bps=-1e9, pair_kinds=kinds, holding_hours=24.0, exit_assumption="now"
    )
    table = table_of(filters=(row,))
    assert page_of(table, filter=7).head.hold == 24
    assert page_of(table, filter=7, hold=2.0).head.hold == 2
    assert page_of(table).head.hold == 8
    nets = [row["net_now"] for row in rows_of(table, filter=7, min_net=-1e9).values()]
    assert min(nets) < max(nets)
    kept = rows_of(table, filter=7, min_net=max(nets) - 0.05)
    assert [row["net_now"] for row in kept.values()] == [max(nets)], "the minimum is of the filter's exit"


def test_columns_are_there_where_swaps_are_or_when_they_are_asked_for() -> None:
    table = table_of()
    spot: dict[str, Any] = {"kind": "spot-spot"}
    for query, has in (
        ({}, True), (spot, False), (spot | {"net": "show"}, True), ({"net": "hide"}, False),
        (spot | {"sort": "funding"}, True), (spot | {"min_net": -1e9}, True),
    ):  # fmt: skip
        page = page_of(table, **query)
        assert page.head.net is has, query
        cells = {name for row in json.loads(b"{" + page.whole())["rows"] for name in row}
        assert cells == {"id", *CELLS} | (set(NET_CELLS) if has else set())


def test_a_tick_of_funding_that_no_figure_shows_sends_nothing() -> None:
    table = table_of()
    seen = page_of(table)
    table.funding.learn([Snapshot("1/1", NOW_US, [USUAL[0], structs.replace(USUAL[1], rate=3.0001e-4)])])
    assert page_of(table).changes(seen) == b""
    table.funding.learn([Snapshot("1/1", NOW_US, [USUAL[0], structs.replace(USUAL[1], rate=4e-4)])])
    changed = json.loads(b"{" + page_of(table).changes(seen))["rows"]
    assert {id for row in changed if "bybit:swap" in (id := row["id"])} == {row["id"] for row in changed}
    assert changed[0].keys() <= {"id", *NET_CELLS}


def test_a_view_that_begins_to_have_net_columns_sends_all_of_every_row() -> None:
    table = table_of()
    spot, mixed = page_of(table, kind="spot-spot"), page_of(table, kind="spot-spot", net="show")
    (first, *_) = json.loads(b"{" + mixed.changes(spot))["rows"]
    assert first.keys() == {"id", *CELLS, *NET_CELLS}


def test_what_is_shown_beside_the_edge_is_of_the_edge_s_moment() -> None:
    table = table_of()
    view = View(table, Query())
    before = make_page(view, slice(0, 12), 1, NOW_US)
    table.legs["bid"] *= 1.01
    table.refresh()
    table.funding.learn([])
    after = make_page(view, slice(0, 12), 1, NOW_US)
    nets = slice(len(CELLS), len(CELLS) + 4)
    assert [row[nets] for row in after.rows.values()] == [row[nets] for row in before.rows.values()]
    view.sort()
    again = make_page(view, slice(0, 12), 1, NOW_US)
    assert [row[nets] for row in again.rows.values()] != [row[nets] for row in before.rows.values()]


def test_the_csv_has_the_columns_behind_those_that_were_there() -> None:
    page = page_of(table_of(), net="show", hold=6.0, size=50.0)
    line = dict(zip(COLUMNS, _csv_row(page.head, page.rows["BTC/USDT|binance:swap|bybit:swap"]), strict=True))
    assert list(line)[-11:] == [
        "net_exit_zero_bps", "net_exit_now_bps", "net_exit_median_bps", "funding_bps", "held_hours",
        "edge_at_size_bps", "profit_at_size", "size_to_zero_edge", "size_reached", "size_of", "my_size_usdt",
    ]  # fmt: skip
    assert (line["size_of"], line["my_size_usdt"]) == ("top", "50.0")
    assert (line["funding_bps"], line["held_hours"], line["net_exit_median_bps"]) == ("5.0", "6.0", None)


@given(
    st.lists(
        st.tuples(
            st.floats(-0.01, 0.01), st.integers(-100, 100), st.sampled_from([1, 2, 4, 8]),
            st.one_of(st.none(), st.floats(0, 0.005)), st.one_of(st.none(), st.floats(-0.005, 0)),
        ),
        min_size=2,
        max_size=2,
    ),
    st.integers(1, 720),
)  # fmt: skip
def test_sums_of_columns_are_those_of_single_legs(terms: Any, quarters: int) -> None:
    hours = quarters / 4
    keys = ("binance:swap", "bybit:swap")
    rows = [
        said(key, rate=rate, hours=every, cap=cap, floor=floor, next_ts_us=NOW_US + minutes * 60_000_000)
        for key, (rate, minutes, every, cap, floor) in zip(keys, terms, strict=True)
    ]
    listings = [leg for leg in config_of().listings if exchange_of(leg.exchange) in ("binance", "bybit")]
    funding = LegFunding(listings)
    funding.learn([Snapshot("1/1", NOW_US, rows)])
    funding.turn(NOW_US)
    found = dict(zip([(leg.exchange, leg.counts_as) for leg in listings], funding.within(hours), strict=True))
    for row in rows:
        single = FundingTerms(row.rate or 0, row.next_ts_us or 0, row.interval_s or 1, row.cap, row.floor)
        expected = leg_funding(row.exchange, single, NOW_US, hours * 3600)
        assert found[row.exchange, "BTC/USDT"] == pytest.approx(expected)
        assert np.isnan(found[row.exchange, "ETH/USDT"])
    assert found["binance", "ETH/USDT"] == 0


def test_sums_are_made_once_a_second_and_kept_of_some_holding_times() -> None:
    funding = table_of().funding
    first = funding.within(8.0)
    funding.turn(NOW_US + 999_999)
    assert funding.within(8.0) is first
    funding.turn(NOW_US + 1_000_000)
    assert funding.within(8.0) is not first
    for hours in range(1, 3 * KEPT):
        funding.within(float(hours))
    assert len(funding._kept) <= KEPT


def test_a_table_of_another_configuration_knows_the_funding_that_was_said() -> None:
    book = ScanBook()
    book.learn_funding([Snapshot("1/1", NOW_US, list(USUAL))])
    book.adopt(ScanTable(config_of()))
    place = book.table._place["bybit:swap", "BTC/USDT:USDT"]
    assert book.table.funding.problem(place) == ""
    book.learn_funding([])
    assert book.table.funding.problem(place) == "nothing was said of its funding"


@given(
    st.lists(st.sampled_from([None, 99.0, 100.0, 100.0, 101.0, 103.0]), min_size=8, max_size=8),
    st.sampled_from(["edge", "net_zero", "size", "symbol", "state", "hour"]),
    st.booleans(), st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 13),
)  # fmt: skip
def test_the_first_rows_are_those_of_the_whole_order(
    bids: Any, sort: Any, descending: bool, same: list[bool], least: int
) -> None:
    table = table_of()
    for place, bid in enumerate(bids):
        table.legs["bid"][place] = np.nan if bid is None else bid
        table.legs["ask"][place] = np.nan if bid is None else bid + 0.01
    table.refresh()
    table.same_coin = np.array(same)
    query = Query(sort=sort, descending=descending)
    with patch.object(scan_view, "_LEAST", len(table)):
        whole = View(table, query).order.tolist()
    with patch.object(scan_view, "_LEAST", least):
        view = View(table, query)
        assert view.rows(slice(0, least)).tolist() == whole[:least]
        assert view.rows(slice(least, least + 3)).tolist() == whole[least : least + 3]
        assert view.order.tolist() == whole


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hold": "0"}, "hold: '0' must be a number above 0, 720 at most"),
        ({"hold": "721"}, "hold: '721' must be a number above 0, 720 at most"),
        ({"hold": "a day"}, "hold: 'a day' must be a number above 0, 720 at most"),
        ({"borrow": "-1"}, "borrow: '-1' must be a number from 0 to 100"),
        ({"exit": "soon"}, "exit: 'soon' must be one of median, now, zero"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name_with_what_can(given: dict[str, str], words: str) -> None:
    with pytest.raises(Refused) as refused:
        query_of(given)
    assert str(refused.value).startswith(f"{words};")
    assert query_of({"hold": "0.5"}).hold == 0.5
