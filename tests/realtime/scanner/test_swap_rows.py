"""Rows of pairs with a swap: a collector's words reach the table, which judges and explains as it did."""

import time
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from core.names.market_keys import SWAP, market_of
from engine.scan.scanner import Scanner
from markets.config import FilterConfig, ListingConfig, MarketConfig, PairConfig
from markets.events import Funding, MarkPrice, Quote
from realtime.scanner.columns import LegColumns
from realtime.scanner.explain import explain
from realtime.scanner.table import ScanTable
from tests.support.scan.data import market, scan_of

KEYS = ("bybit", "bybit:swap", "gate:swap", "okx")
NOW_US = 1_760_000_000_000_000
NOW_NS = 10**12
HELD = FilterConfig(
    1, "held", min_edge_bps=5.0, min_net_edge_bps=200.0, settlement_wanted=False,
    pair_kinds=("spot-spot", "swap-swap", "spot-swap", "basis"),
)  # fmt: skip


def swaps() -> MarketConfig:
    listings = tuple(
        ListingConfig(
            key, "BTC/USDT:USDT" if market_of(key) == SWAP else "BTC/USDT", key, "BTC", "USDT", "BTC/USDT",
            volume=1e6,
        )
        for key in KEYS
    )  # fmt: skip
    config = market(exchanges=KEYS, listings=listings, filters=(HELD,))
    pairs = [("bybit", "okx"), ("bybit:swap", "gate:swap"), ("bybit:swap", "okx"), ("bybit", "bybit:swap")]
    return structs.replace(config, pairs=tuple(PairConfig(*pair, None) for pair in pairs))


def collected(config: MarketConfig, *said: Funding | MarkPrice) -> Scanner:
    scanner = Scanner()
    scanner.configure(config, lambda symbol: True, NOW_US, NOW_NS)
    for row, bid in zip(config.listings, (100.0, 100.5, 99.5, 100.2), strict=True):
        scanner.on_quote(Quote(row.exchange, row.symbol, bid, 1.0, bid + 0.01, 1.0, None, NOW_US, NOW_NS))
    for event in said:
        event.received_ts_us, event.received_mono_ns = NOW_US, NOW_NS
        scanner.on_funding(event) if isinstance(event, Funding) else scanner.on_mark(event)
    return scanner


def funding(key: str, rate: float = 0.0001, interval_s: int | None = 8 * 3600) -> Funding:
    return Funding(key, "BTC/USDT:USDT", rate, NOW_US + 3600 * 1_000_000, interval_s)


def mark(key: str, price: float) -> MarkPrice:
    return MarkPrice(key, "BTC/USDT:USDT", price, None)


def table_of(scanner: Scanner, config: MarketConfig) -> ScanTable:
    """The table after a collector's rows came."""
    table = ScanTable(config)
    _, rows = LegColumns(scanner.legs, config.gates).update(scanner.legs, NOW_NS)
    order = {(leg.exchange, leg.listing.symbol): leg.index for leg in scanner.legs}
    places = [order[leg.exchange, leg.symbol] for leg in config.listings]
    columns: dict[str, Any] = {name: rows[name][places] for name in rows.dtype.names or ()}
    scan = scan_of(config, {}, **columns)
    now_s = time.monotonic()
    table.take(scan, table.match(scan), now_s, False)
    table.take_evidence(scan, table.match(scan))
    table.now_us = NOW_US
    table.refresh()
    return table


ALL_WELL = (
    funding("bybit:swap"), funding("gate:swap", -0.0002, 7200),
    mark("bybit:swap", 100.5), mark("gate:swap", 99.5),
)  # fmt: skip


def counts(table: ScanTable, pair_id: str) -> tuple[int, int, int]:
    row = table.row[pair_id]
    return int(table.passed[row]), int(table.failed[row]), int(table.unknown[row])


def test_a_row_with_a_swap_is_of_13_gates_and_one_of_spot_of_nine() -> None:
    config = swaps()
    table = table_of(collected(config, *ALL_WELL), config)
    assert counts(table, "BTC/USDT|bybit|okx") == (8, 0, 1), "wallets are unknown"
    assert counts(table, "BTC/USDT|bybit:swap|gate:swap") == (13, 0, 0)
    assert counts(table, "BTC/USDT|bybit:swap|okx") == (13, 0, 0)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ((), (11, 0, 2)),
        ((funding("gate:swap", 0.0001, None), *ALL_WELL[:1], *ALL_WELL[2:]), (12, 0, 1)),
        ((*ALL_WELL[:3], mark("gate:swap", 95.0)), (12, 1, 0)),
    ],
)  # fmt: skip
def test_what_blocks_in_the_collector_blocks_in_the_table(
    said: tuple[Funding | MarkPrice, ...], found: tuple[int, int, int]
) -> None:
    config = swaps()
    scanner = collected(config, *said)
    table = table_of(scanner, config)
    assert counts(table, "BTC/USDT|bybit:swap|gate:swap") == found
    (way,) = (each for each in scanner.directions if (each.buy.exchange, each.sell.exchange) == KEYS[2:0:-1])
    assert scanner.gatekeeper.blocked(way, structs.replace(HELD, settlement_wanted=True), NOW_NS)


def test_the_explanation_of_a_swap_pair_names_its_gates_and_what_the_filter_lacks() -> None:
    config = swaps()
    table = table_of(collected(config, *ALL_WELL), config)
    names = {"bybit:swap": "Bybit swap", "gate:swap": "Gate swap"}
    found = explain(table, table.row["BTC/USDT|bybit:swap|gate:swap"], NOW_NS, None, names)
    way = found.directions[0]
    said = {gate.name: gate for gate in way.gates}
    assert (way.buy_on, len(way.gates)) == ("gate:swap", 13)
    assert said["funding"].value == "Gate swap -0.0200 % per 2 h, Bybit swap +0.0100 % per 8 h"
    assert said["settlement"].value == "Gate swap in 1 h 00 min, Bybit swap in 1 h 00 min"
    assert said["mark"].verdict == "pass"
    (follows,) = way.filters
    assert not follows.met
    assert (
        "the gate check settlement blocks by the filter's own limit: Gate swap settles next" in follows.words
    )
    assert "the net edge is +" in follows.words
    assert "wanted: at least 200.0 bps" in follows.words


def test_a_table_that_was_given_nothing_knows_no_funding() -> None:
    config = swaps()
    table = ScanTable(config)
    assert np.isnan(table.legs["rate"]).all()
    found = explain(table, table.row["BTC/USDT|bybit:swap|gate:swap"], NOW_NS)
    words = {gate.name: gate.words for gate in found.directions[0].gates}
    assert "funding is unknown: nothing was said of its funding yet" in words["funding"]
