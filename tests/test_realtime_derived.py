"""What the realtime sink hands to the sinks after it: every point it made, and what passes a filter."""

from math import isnan, nan

import numpy as np
from msgspec import structs

from markets.config import ExchangeConfig, FilterConfig, InstrumentConfig, MarketConfig, Opportunity
from markets.events import OpportunityEvent, SpreadPoints
from realtime.passing import Passing
from realtime.points import POINT_COLUMNS, ChartDelta, ChartState
from tests.live import desk, eventually

WIDE = FilterConfig(1, "wide", min_spread_pct=0.5)
PROFITABLE = FilterConfig(2, "profitable", min_edge_bps=10.0)
EVERYTHING = FilterConfig(3, "everything")
CHART = "BTC/USDT|binance|bybit"


def config(*filters: FilterConfig) -> MarketConfig:
    """One chart that every filter selects."""
    keys = ("binance", "bybit")
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in keys),
        instruments=frozenset(InstrumentConfig(key, "BTC/USDT", "BTCUSDT") for key in keys),
        opportunities=(Opportunity("BTC/USDT", *keys, None, tuple(f.id for f in filters)),),
        filters=filters,
    )


def passing(*filters: FilterConfig) -> Passing:
    following = Passing()
    assert following.configure(config(*filters), 0) == []
    return following


def delta(*points: tuple[int, float, float], state: ChartState = "live") -> ChartDelta:
    """A chart's news: (time, spread, edge12) per point, edge21 out of reach, sizes 5 and 6."""
    rows = [(ts, spread, 0, 0, edge12, -99, 5, 6, 0, 0) for ts, spread, edge12 in points]
    array = np.array(rows, dtype=float).reshape(-1, len(POINT_COLUMNS))
    return ChartDelta(CHART, "BTC/USDT", "binance", "bybit", state, "", array)


def told(events: list[OpportunityEvent]) -> list[tuple[int, str, int]]:
    return [(e.filter_id, e.event, e.ts_us) for e in events]


class TestPassing:
    def test_a_chart_opens_at_the_first_point_that_passes_and_closes_at_the_first_that_does_not(self) -> None:
        following = passing(WIDE)
        (opened,) = following.update([delta((1, 0.1, -20), (2, -0.6, -20))])
        assert opened == OpportunityEvent("BTC/USDT", "binance", "bybit", 1, "open", 2, -0.6, -20, -99, 5, 6)
        assert following.update([delta((3, 0.7, -20))]) == []
        (closed,) = following.update([delta((4, 0.4, -20))])
        assert (closed.event, closed.ts_us, closed.spread) == ("close", 4, 0.4)

    def test_when_points_are_collected_changes_nothing(self) -> None:
        points = [(ts, 0.6 if ts % 3 else 0.4, 0.0) for ts in range(1, 20)]
        at_once = passing(WIDE).update([delta(*points)])
        one_by_one = passing(WIDE)
        assert at_once == [event for point in points for event in one_by_one.update([delta(point)])]
        assert told(at_once)[:3] == [(1, "open", 1), (1, "close", 3), (1, "open", 4)]

    def test_the_edge_counts_in_the_better_direction_and_each_filter_for_itself(self) -> None:
        following = passing(WIDE, PROFITABLE)
        assert told(following.update([delta((1, 0.1, 12))])) == [(2, "open", 1)]
        assert told(following.update([delta((2, 0.9, 9))])) == [(1, "open", 2), (2, "close", 2)]

    def test_a_filter_that_asks_for_nothing_live_is_left_out(self) -> None:
        assert passing(EVERYTHING).update([delta((1, 9.9, 999))]) == []

    def test_a_chart_that_is_not_live_any_more_closes_and_the_values_are_not_known(self) -> None:
        following = passing(WIDE)
        following.update([delta((1, 0.6, 0))])
        (closed,) = following.update([delta((5, nan, nan), state="stale")])
        assert (closed.event, closed.ts_us) == ("close", 5)
        assert isnan(closed.spread)

    def test_news_without_a_point_decides_nothing_while_the_chart_is_live(self) -> None:
        following = passing(WIDE)
        following.update([delta((1, 0.6, 0))])
        assert following.update([delta()]) == []

    def test_a_filter_or_chart_that_goes_closes_what_was_open(self) -> None:
        following = passing(WIDE, PROFITABLE)
        following.update([delta((1, 0.6, 12))])
        assert told(following.configure(config(WIDE), 8)) == [(2, "close", 8)]
        assert told(following.configure(structs.replace(config(WIDE), opportunities=()), 9)) == [
            (1, "close", 9)
        ]


async def test_the_sink_emits_every_point_and_what_passes() -> None:
    async with desk(config(WIDE)) as collector:
        collector.quote("binance", 101.0)
        collector.quote("bybit", 100.0)
        await eventually(lambda: len(collector.emitted) == 2, "a point and an opening")
        collector.quote("bybit", 101.0)
    points = np.concatenate([e.points for e in collector.emitted if isinstance(e, SpreadPoints)])
    events = [e for e in collector.emitted if isinstance(e, OpportunityEvent)]
    assert np.allclose(points[:, 1], [1.0, 0.0])
    assert [(e.event, e.ts_us) for e in events] == [("open", points[0, 0]), ("close", points[1, 0])]
