"""Output of the realtime sink for the sinks after it: every point, every episode, and the lake's events."""

from typing import TypeVar

import numpy as np
import pytest
from msgspec import structs

from markets.config import (
    ExchangeConfig,
    FilterConfig,
    IdentityConfig,
    InstrumentConfig,
    ListingConfig,
    MarketConfig,
    Opportunity,
    PairConfig,
)
from markets.events import DerivedEvent, Episode, OpportunityEvent, SpreadPoints
from tests.support.live import desk, eventually

KEYS = ("binance", "bybit")
WIDE = FilterConfig(1, "wide", min_edge_bps=50.0, close_edge_bps=10.0, min_size=1.0)

E = TypeVar("E", bound=DerivedEvent)


def config() -> MarketConfig:
    """One pair, charted, that a filter follows."""
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in KEYS),
        instruments=frozenset(InstrumentConfig(key, "BTC/USDT", "BTCUSDT") for key in KEYS),
        opportunities=(Opportunity("BTC/USDT", *KEYS, None, (1,)),),
        filters=(WIDE,),
        listings=tuple(
            ListingConfig(key, "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC/USDT", volume=1e9) for key in KEYS
        ),
        pairs=(PairConfig(*KEYS, None),),
        identities=(IdentityConfig("BTC/USDT", *KEYS, "confirmed"),),
    )


def of(kind: type[E], emitted: list[DerivedEvent]) -> list[E]:
    return [event for event in emitted if isinstance(event, kind)]


async def test_points_episodes_and_what_the_lake_keeps_of_them() -> None:
    async with desk(config()) as collector:
        collector.quote("bybit", 100.0)
        collector.quote("binance", 101.0)
        await eventually(lambda: of(Episode, collector.emitted), "an opening")
        collector.quote("binance", 100.2)  # less than the fees: it is over
        await eventually(lambda: len(of(Episode, collector.emitted)) == 2, "a close")
    points = np.concatenate([event.points for event in of(SpreadPoints, collector.emitted)])
    assert np.allclose(points[:, 1], [1.0, 0.2])
    opened, closed = of(Episode, collector.emitted)
    assert (opened.phase, opened.buy_on, opened.sell_on) == ("open", "bybit", "binance")
    assert (closed.phase, closed.id, closed.reason) == ("close", opened.id, "edge fell below 10.0 bps")
    events = of(OpportunityEvent, collector.emitted)
    assert [(each.event, each.ts_us) for each in events] == [("open", points[0, 0]), ("close", points[1, 0])]
    assert np.allclose([each.spread for each in events], points[:, 1])
    assert np.allclose([each.edge12 for each in events], points[:, 4])
    assert np.allclose([each.size12 for each in events], points[:, 6])


async def test_a_sink_that_ends_leaves_nothing_open() -> None:
    async with desk(config()) as collector:
        collector.quote("bybit", 100.0)
        collector.quote("binance", 101.0)
        await eventually(lambda: of(Episode, collector.emitted), "an opening")
    assert [(each.phase, each.reason) for each in of(Episode, collector.emitted)] == [
        ("open", ""),
        ("close", "collector stopped"),
    ]


async def test_what_is_at_hand_is_judged_by_the_settings_it_came_under() -> None:
    market = config()
    async with desk(market) as collector:
        collector.quote("bybit", 100.0)
        collector.quote("binance", 101.0)
        dear = tuple(structs.replace(each, taker_fee_bps=100.0) for each in market.exchanges)
        collector.sink.configure(structs.replace(market, revision=2, exchanges=dear))
        opened, closed = of(Episode, collector.emitted)
        before, after = of(OpportunityEvent, collector.emitted)
    assert (opened.phase, closed.phase, closed.reason) == ("open", "close", "edge fell below 10.0 bps")
    assert before.edge12 == pytest.approx(opened.opened.edge_bps)
    assert closed.closed is not None
    assert after.edge12 == pytest.approx(closed.closed.edge_bps)
    assert after.edge12 < before.edge12 - 150
    assert (after.buy_on, after.sell_on) == ("bybit", "binance")
