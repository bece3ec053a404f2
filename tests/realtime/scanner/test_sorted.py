"""The scanner sorts by what it shows, in every message; rows move once a second."""

import json
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.scan.identity import FAIL
from markets.config import MarketConfig
from realtime.scanner import book as scan_book
from realtime.scanner import viewer as scan_viewer
from realtime.scanner.api import COLUMNS, _csv_row
from realtime.scanner.book import ScanBook
from realtime.scanner.hub import TICK_S
from realtime.scanner.messages import CELLS, Show, make_page
from realtime.scanner.pages import SORT_EVERY_S, Pages
from realtime.scanner.table import STATES, ScanTable
from realtime.scanner.view import Query, SortKey, View
from realtime.scanner.viewer import ScanViewer
from tests.realtime.scanner.test_order import Clock
from tests.support.scan.data import EXCHANGES, listing, market, scan_of

SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT")
KEYS = get_args(SortKey)
VOLUMES = {"binance": 2e6, "bybit": 1e6, "okx": None}


class Browser:
    """Table that `static/js/scanner/table.js` draws; it acknowledges when the test says so."""

    ready = True

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.order: list[str] = []
        self.seq = 0

    def send(self, message: bytes) -> None:
        said = json.loads(message)
        self.seq = said["seq"]
        if said["type"] == "page":
            self.rows, self.order = {}, [row["id"] for row in said["rows"]]
        self.order = said.get("order", self.order)
        for row in said["rows"]:
            self.rows[row["id"]] = self.rows.get(row["id"], {}) | row
        self.rows = {id: self.rows[id] for id in self.order}


def shown_key(row: dict[str, Any], sort: str) -> float | str | None:
    """Value that a row shows in the column it is sorted by; None: unknown."""
    buy, sell = (2, 1) if row["sell"] == 1 else (1, 2)
    times, volumes = (row["at1"], row["at2"]), (row["volume1"], row["volume2"])
    match sort:
        case "symbol":
            return str(row["symbol"])
        case "buy" | "sell":
            return str(row[f"exchange{buy if sort == 'buy' else sell}"])
        case "age":
            return None if None in times else -min(times)
        case "volume":
            return None if None in volumes else float(min(volumes))
        case "gates":
            return float(-(row["blocked"] * 10_000 + row["failed"] * 100 + row["unknown"]))
        case "state":
            return float(max(STATES.index(row["state1"]), STATES.index(row["state2"])))
        case _:
            value: float | None = row[sort]
            return value


def assert_sorted(rows: list[dict[str, Any]], query: Query, places: dict[str, int]) -> None:
    """By the shown key; equal ones by symbol and pair, unknown ones last in either direction."""
    keys = [shown_key(row, query.sort) for row in rows]
    known = [key for key in keys if key is not None]
    assert keys == known + [None] * (len(keys) - len(known)), "unknown values are last"
    assert known == sorted(known, reverse=query.descending)
    for (key, row), (next_key, following) in zip(
        zip(keys, rows, strict=True), list(zip(keys, rows, strict=True))[1:], strict=False
    ):
        if key == next_key:
            assert places[row["id"]] < places[following["id"]], "equal ones stay by symbol and pair"


def desk() -> MarketConfig:
    return market(SYMBOLS, listings=tuple(listing(e, s, VOLUMES[e]) for e in EXCHANGES for s in SYMBOLS))


quotes = st.lists(
    st.tuples(
        st.integers(0, len(SYMBOLS) * len(EXCHANGES) - 1),
        # Of a grid, so that some are equal; none: the leg loses its quote.
        st.one_of(st.none(), st.integers(0, 12).map(lambda step: 100 + step / 8), st.floats(99, 102)),
        st.sampled_from([1.0, 0.5, 33.333, 2.0]),
        st.booleans(),
    ),
    max_size=6,
)
ticks = st.lists(st.tuples(quotes, st.booleans()), min_size=1, max_size=14)


@given(ticks, st.sampled_from(KEYS), st.booleans(), st.integers(0, 3), st.sampled_from([3, 9]))
@settings(max_examples=250, deadline=None)
async def test_every_message_is_sorted_by_what_it_shows(
    chosen: Any, sort: SortKey, descending: bool, offset: int, limit: int
) -> None:
    config, clock = desk(), Clock()
    with patch.object(scan_book, "time", clock), patch.object(scan_viewer, "time", clock):
        pages = Pages(ScanBook())
        pages.adopt(ScanTable(config))
        places = {id: place for place, id in enumerate(pages.book.table.ids)}
        prices = {(leg.exchange, leg.symbol): 100.0 for leg in config.listings}
        browser = Browser()
        viewer = ScanViewer(browser, pages, lambda closed: None)
        scan = scan_of(config, prices)
        scan.received_s = clock.now_s
        pages.book.learn({"1/1": scan})
        pages.refresh()
        viewer.show(Show(sort=sort, descending=descending, offset=offset, limit=limit))
        moved_s, order = clock.now_s, browser.order
        for batch, ack in chosen:
            clock.now_s += TICK_S
            follow(scan, batch, clock)
            if ack:
                viewer.acked(browser.seq)
            pages.refresh()
            await pages.sort([viewer.shows.query] if viewer.shows else [])
            viewer.refreshed()
            rows = [browser.rows[id] for id in browser.order]
            assert_sorted(rows, Query(sort=sort, descending=descending), places)
            if browser.order != order:
                assert clock.now_s - moved_s >= SORT_EVERY_S - 1e-6
                moved_s, order = clock.now_s, browser.order
        whole = make_page(View(pages.book.table, Query(sort=sort, descending=descending)), slice(0, 50), 1, 0)
        rows = [{"id": id, **dict(zip(whole.head.cells, row, strict=True))} for id, row in whole.rows.items()]
        assert_sorted(rows, Query(sort=sort, descending=descending), places)


def follow(scan: Any, batch: Any, clock: Clock) -> None:
    """The legs are so now, as a frame would have said."""
    scan.received_s = clock.now_s
    for leg, bid, size, up in batch:
        row = scan.legs[leg]
        row["bid"] = np.nan if bid is None else bid
        row["ask"] = row["bid"] * 1.0001
        row["bid_size"], row["up"] = size, up
        row["received_ts_us"] += 1
        scan._births.note(np.array([leg]), scan.legs[[leg]], 0, clock.now_s)


def test_figures_of_one_row_are_of_one_moment() -> None:
    """Sorted by the edge: its direction, size and gates are held with it, its legs' states are not."""
    config = market(("BTC/USDT",))
    table = ScanTable(config)
    scan = scan_of(config, {(key, "BTC/USDT"): 100.0 for key in EXCHANGES} | {("okx", "BTC/USDT"): 103.0})
    match = table.match(scan)
    table.take(scan, match, 1.0, False)
    table.refresh()
    view = View(table, Query())
    before = make_page(view, slice(0, 1), 1, 1_000_000).rows["BTC/USDT|binance|okx"]
    scan.legs["bid"], scan.legs["ask"] = [100.0, 100.0, 90.0], [100.01, 100.01, 90.01]
    scan.legs["up"] = [False, True, True]
    table.take(scan, match, 1.25, False)
    table.refresh()
    after = make_page(view, slice(0, 1), 1, 1_250_000).rows["BTC/USDT|binance|okx"]
    changed = {name for name, old, new in zip(CELLS, before, after, strict=True) if old != new}
    assert changed == {"state1"}
    view.sort()
    assert make_page(view, slice(0, 3), 1, 0).rows["BTC/USDT|bybit|okx"][CELLS.index("sell")] == 1


@pytest.mark.parametrize("descending", [True, False])
def test_coins_that_only_share_a_name_are_behind_all_others_in_either_direction(descending: bool) -> None:
    config = market(("BTC/USDT",))
    table = ScanTable(config)
    scan = scan_of(config, {("binance", "BTC/USDT"): 100.0, ("bybit", "BTC/USDT"): 130.0})
    match = table.match(scan)
    table.take(scan, match, 1.0, False)
    table.take_evidence(scan, match)
    table.identity[table.row["BTC/USDT|binance|bybit"]] = FAIL
    table.refresh()
    order = [table.ids[row] for row in View(table, Query(descending=descending)).order]
    assert order == ["BTC/USDT|binance|bybit", "BTC/USDT|binance|okx", "BTC/USDT|bybit|okx"], "none is known"
    scan.legs["bid"][2], scan.legs["ask"][2] = 101.0, 101.1
    table.take(scan, match, 1.0, False)
    table.refresh()
    first, *others = (table.ids[row] for row in View(table, Query(descending=descending)).order)
    assert first == "BTC/USDT|binance|okx", "the one pair whose prices are those of one coin"
    assert set(others) == {"BTC/USDT|binance|bybit", "BTC/USDT|bybit|okx"}


def test_the_csv_says_the_same_as_the_page() -> None:
    config = desk()
    table = ScanTable(config)
    scan = scan_of(config, {(leg.exchange, leg.symbol): 100.0 + n for n, leg in enumerate(config.listings)})
    table.take(scan, table.match(scan), 1.0, False)
    table.refresh()
    page = make_page(View(table, Query(net="show", size=50.0)), slice(0, 50), 1, 0)
    lines = [dict(zip(COLUMNS, _csv_row(page.head, row), strict=True)) for row in page.rows.values()]
    edges = [line["edge_bps"] for line in lines]
    assert edges == sorted(edges, reverse=True)
