"""A market of a few exchanges for the scanner's table, and what a collector would say of it."""

import time
from itertools import combinations
from typing import Any

import numpy as np

from core.names.symbols import base_of, quote_of
from engine.scan.identity import PASS
from markets.config import ExchangeConfig, FilterConfig, ListingConfig, MarketConfig, Opportunity, PairConfig
from realtime.scanner.wire import LEG_ROW, PAIR_ROW, Directory, LegName, ShardScan, State

FEE_BPS = 10.0
EXCHANGES = ("binance", "bybit", "okx")


def listing(exchange: str, symbol: str, volume: float | None = 1e6) -> ListingConfig:
    """A symbol as an exchange lists it, under its own name."""
    base, quote = base_of(symbol), quote_of(symbol)
    return ListingConfig(exchange, symbol, base + quote, base, quote, symbol, volume=volume)


def market(
    symbols: tuple[str, ...] = ("BTC/USDT", "ETH/USDT"),
    exchanges: tuple[str, ...] = EXCHANGES,
    listings: tuple[ListingConfig, ...] = (),
    filters: tuple[FilterConfig, ...] = (),
    charts: tuple[Opportunity, ...] = (),
) -> MarketConfig:
    """Every symbol on every exchange, all pairs enabled, the same fee everywhere."""
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key.title(), True, FEE_BPS, FEE_BPS) for key in exchanges),
        instruments=frozenset(),
        opportunities=charts,
        filters=filters,
        listings=listings or tuple(listing(key, symbol) for key in exchanges for symbol in symbols),
        pairs=tuple(PairConfig(one, two, None) for one, two in combinations(sorted(exchanges), 2)),
    )


def scan_of(
    config: MarketConfig, prices: dict[tuple[str, str], float], shard: str = "1/1", **columns: Any
) -> ShardScan:
    """State of a collector when these are the bids; asks are a bp higher, the rest as `columns` say."""
    names = [LegName(leg.exchange, leg.symbol, leg.counts_as) for leg in config.listings]
    rows = np.zeros(len(names), LEG_ROW)
    rows["bid"] = [prices.get((name.exchange, name.symbol), np.nan) for name in names]
    rows["ask"] = rows["bid"] * 1.0001
    rows["bid_size"], rows["ask_size"], rows["scale"] = 2.0, 1.0, 1.0
    rows["received_ts_us"], rows["age_ms"], rows["gap_ms"] = 1, 50.0, 100.0
    rows["age_ms"][np.isnan(rows["bid"])] = np.nan
    rows["up"] = True
    for name, value in columns.items():
        rows[name] = value
    place = {(name.exchange, name.counts_as): number for number, name in enumerate(names)}
    pairs = [
        (place[pair.exchange1, symbol], place[pair.exchange2, symbol])
        for symbol in sorted({name.counts_as for name in names})
        for pair in config.pairs
        if (pair.exchange1, symbol) in place and (pair.exchange2, symbol) in place
    ]
    evidence = np.zeros(len(pairs), PAIR_ROW)
    evidence["identity"] = PASS
    now_us = time.time_ns() // 1000
    directory = Directory(shard, 1, config.revision, names, np.array(pairs, "<i4").tobytes())
    return ShardScan(
        directory,
        State(1, 1, now_us, rows.tobytes()),
        State(1, 1, now_us, evidence.tobytes()),
        now_us,
        time.monotonic(),
    )
