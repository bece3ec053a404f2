"""Reading: which instruments' order books are wanted, the most important first."""

from collections.abc import Iterable, Iterator
from typing import Any

from core.names.market_keys import market_key
from markets.config import DepthConfig
from markets.models import DepthSettings, Instrument
from markets.selection import Chart, Market


def depth_config(market: Market, charts: Iterable[Chart]) -> DepthConfig:
    """The pinned instruments, then the legs of the charts of filters that follow depth (two queries).

    Only what is tradable can be followed.
    """
    row: dict[str, Any] = DepthSettings.objects.values("top", "stay_s", "most").first() or {}  # type: ignore[assignment]
    wanted = dict.fromkeys([*_pinned(_tradable(market)), *_legs(market, charts)])
    return DepthConfig(tuple(wanted), **row)


def _pinned(tradable: frozenset[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    rows = Instrument.objects.filter(depth_pinned=True).order_by("symbol__name", "exchange__key", "kind")
    for exchange, kind, symbol in rows.values_list("exchange__key", "kind", "symbol__name"):
        if (key := (market_key(exchange, kind), symbol)) in tradable:
            yield key


def _tradable(market: Market) -> frozenset[tuple[str, str]]:
    return frozenset((leg.exchange, leg.symbol) for legs in market.values() for leg in legs.values())


def _legs(market: Market, charts: Iterable[Chart]) -> Iterator[tuple[str, str]]:
    for symbol, pair in charts:
        for key in (pair.exchange1, pair.exchange2):
            leg = market[symbol][key]
            yield leg.exchange, leg.symbol
