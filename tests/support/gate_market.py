"""A small market for tests of gates, freshness, identity and explanations."""

from itertools import combinations
from math import nan
from typing import Any

from msgspec import structs

from core.names.symbols import base_of, quote_of
from engine.scan.directions import Direction
from engine.scan.legs import Leg, Market
from markets.config import ExchangeConfig, FilterConfig, GateTerms, ListingConfig, MarketConfig, PairConfig
from markets.selection import scan_pairs

NOON_US = 1_795_003_200_000_000
START_NS = 10**13
NOTHING = nan
EXCHANGES = ("binance", "bybit", "okx")
TERMS = GateTerms()
FOLLOWS = FilterConfig(1, "Everything", min_edge_bps=5.0)


def listing(exchange: str, symbol: str = "BTC/USDT", **more: Any) -> ListingConfig:
    base, quote = base_of(symbol), quote_of(symbol)
    values: dict[str, Any] = {"counts_as": symbol, "volume": 1e6, "status": ""} | more
    return ListingConfig(exchange, symbol, base + quote, base, quote, **values)


def config(*listings: ListingConfig, **more: Any) -> MarketConfig:
    """All pairs of the three exchanges; `listings` default to BTC/USDT on each of them."""
    values: dict[str, Any] = {
        "exchanges": tuple(ExchangeConfig(key, key.title(), True, 10.0, 10.0) for key in EXCHANGES),
        "listings": listings or tuple(listing(key) for key in EXCHANGES),
        "pairs": tuple(PairConfig(*pair, None) for pair in combinations(EXCHANGES, 2)),
        "filters": (FOLLOWS,),
        "gates": TERMS,
    }
    return MarketConfig(1, instruments=frozenset(), opportunities=(), **values | more)


class Floor:
    """Legs and directions as a scanner makes them, quoted by hand."""

    def __init__(self, configured: MarketConfig) -> None:
        self.config = configured
        self.now_ns = START_NS
        pairs = scan_pairs(configured)
        found = {(row.exchange, row.symbol): row for pair in pairs for row in (pair.listing1, pair.listing2)}
        self.legs = {key: Leg(row) for key, row in found.items()}
        for leg in self.legs.values():
            same = (each for each in self.legs.values() if each.listing.counts_as == leg.listing.counts_as)
            leg.market = Market(tuple(same))
        self.directions: list[Direction] = []
        for index, pair in enumerate(pairs):
            one, two = (self.legs[row.exchange, row.symbol] for row in (pair.listing1, pair.listing2))
            self.directions += [Direction(index, pair, *ends, 10_000.0) for ends in ((two, one), (one, two))]

    def leg(self, exchange: str, symbol: str = "BTC/USDT") -> Leg:
        return self.legs[exchange, symbol]

    def way(self, buy: str, sell: str, symbol: str = "BTC/USDT") -> Direction:
        ways = (each for each in self.directions if each.pair.symbol == symbol)
        return next(each for each in ways if (each.buy.exchange, each.sell.exchange) == (buy, sell))

    def quote(self, leg: Leg, mid: float = 100.0, age_ms: float = 0.0, gap_ms: float = 100.0) -> None:
        leg.bid, leg.ask = mid * 0.9999, mid * 1.0001
        leg.bid_size = leg.ask_size = 5.0
        leg.gap_ms, leg.quotes = gap_ms, leg.quotes + 1
        leg.received_mono_ns = self.now_ns - int(age_ms * 1e6)

    def quote_all(self, mid: float = 100.0) -> None:
        for leg in self.legs.values():
            self.quote(leg, mid)


def with_terms(configured: MarketConfig, **terms: float) -> MarketConfig:
    return structs.replace(configured, gates=structs.replace(configured.gates, **terms))
