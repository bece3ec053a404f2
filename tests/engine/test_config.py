"""A running engine follows the operator's changes and touches only what changed."""

import numpy as np
import pytest
from msgspec import structs

from engine.charts.points import POINT_COLUMNS
from engine.charts.spread import SpreadEngine
from markets.config import Opportunity
from markets.events import StreamState
from tests.support.spread_oracle import CHART, FIRST, NOON_US, SECOND, SYMBOL, config, feed, quote

MS = 1_000_000
EDGE12 = POINT_COLUMNS.index("edge12")
ETH = "ETH/USDT"
BOTH = (SYMBOL, ETH)


def running(symbols: tuple[str, ...] = BOTH) -> SpreadEngine:
    """An engine with three points on every chart, all collected."""
    desk = SpreadEngine()
    desk.configure(config(symbols=symbols))
    for symbol in symbols:
        bids = [(FIRST, 100.0), (SECOND, 100.0), (FIRST, 101.0), (SECOND, 103.0)]
        feed(desk, [quote(e, bid, n * MS, symbol=symbol) for n, (e, bid) in enumerate(bids)])
    return desk


def test_a_chart_that_stays_keeps_its_points_and_bands() -> None:
    left_alone, reconfigured = running(), running()
    reconfigured.configure(config(symbols=(SYMBOL,)))
    reconfigured.configure(config(symbols=BOTH))
    one_more = quote(FIRST, 100.5, 10 * MS)
    np.testing.assert_array_equal(feed(reconfigured, [one_more]), feed(left_alone, [one_more]))
    np.testing.assert_array_equal(reconfigured.points(CHART), left_alone.points(CHART))


def test_the_same_configuration_again_reports_nothing() -> None:
    desk = running()
    desk.configure(config(symbols=BOTH))
    assert desk.collect() == []


def test_changed_fees_apply_to_the_next_quote_and_the_window_stays() -> None:
    desk = running()
    before = desk.points(CHART)
    desk.configure(config(fees_bps=(0.0, 0.0), symbols=BOTH))
    point = feed(desk, [quote(FIRST, 101.0, 10 * MS)])[0]
    assert point[EDGE12] == pytest.approx((101.0 / (103.0 * 1.0001) - 1) * 10_000)
    np.testing.assert_array_equal(desk.points(CHART)[: len(before)], before)


def test_a_changed_tolerance_applies_at_once_both_ways() -> None:
    desk = running((SYMBOL,))
    desk.expire(500 * MS, NOON_US + 500_000)
    assert desk.collect() == []
    desk.configure(config(tolerance_ms=100))
    (delta,) = desk.collect()
    assert (delta.state, len(delta.points)) == ("stale", 1)
    desk.configure(config(tolerance_ms=None))
    (delta,) = desk.collect()
    assert (delta.state, delta.reason, len(delta.points)) == ("live", "", 0)
    assert len(desk.points(CHART)) == 4  # three points and the gap


def test_a_removed_chart_is_freed() -> None:
    desk = running()
    desk.configure(config(symbols=(ETH,)))
    with pytest.raises(KeyError):
        desk.points(CHART)
    desk.on_quote(quote(FIRST, 100.0, 10 * MS))
    assert desk.counters.unknown == 1
    assert desk.collect() == []


def test_a_chart_removed_before_it_was_collected_is_not_collected_any_more() -> None:
    desk = running()
    desk.on_quote(quote(FIRST, 100.0, 10 * MS))
    desk.configure(config(symbols=(ETH,)))
    assert desk.collect() == []


def test_a_chart_that_returns_starts_again() -> None:
    desk = running()
    desk.configure(config(symbols=(ETH,)))
    desk.configure(config(symbols=BOTH))
    (delta,) = desk.collect()
    assert (delta.id, delta.state, len(desk.points(CHART))) == (CHART, "stale", 0)


def test_an_instrument_s_last_quote_is_there_for_a_chart_added_later() -> None:
    desk = SpreadEngine()
    only_instruments = structs.replace(config(), opportunities=())
    desk.configure(only_instruments)
    feed(desk, [quote(FIRST, 100.0, 0), quote(SECOND, 100.0, 0)])
    desk.configure(config())
    (delta,) = desk.collect()
    assert (delta.state, len(delta.points)) == ("live", 0)
    assert len(feed(desk, [quote(FIRST, 100.0, MS)])) == 1


def test_reasons_call_markets_by_their_names() -> None:
    desk = running((SYMBOL,))
    off = config(disabled=[SECOND])
    names = {FIRST: "Binance", SECOND: "Bybit swap"}
    called = tuple(structs.replace(row, name=names[row.key]) for row in off.exchanges)
    desk.configure(structs.replace(off, exchanges=called))
    (delta,) = desk.collect()
    assert delta.reason == "Bybit swap: exchange disabled"
    assert (delta.exchange1, delta.exchange2) == (FIRST, SECOND)


def test_a_disabled_exchange_takes_its_charts_down_and_they_keep_their_points() -> None:
    desk = running((SYMBOL,))
    desk.configure(config(disabled=[SECOND]))
    (delta,) = desk.collect()
    assert (delta.state, delta.reason, delta.id) == ("down", "bybit: exchange disabled", CHART)
    assert np.isnan(delta.points[:, 1]).tolist() == [True]
    assert len(desk.points(CHART)) == 4


def test_what_still_arrives_of_a_disabled_exchange_revives_nothing() -> None:
    desk = running((SYMBOL,))
    desk.configure(config(disabled=[SECOND]))
    desk.collect()
    desk.on_quote(quote(SECOND, 100.0, 10 * MS))
    desk.on_state(StreamState(SECOND, (SYMBOL,), "up", "", NOON_US + 11_000, 11 * MS))
    desk.on_state(StreamState(SECOND, (SYMBOL,), "down", "exchange disabled", NOON_US + 12_000, 12 * MS))
    assert desk.collect() == []


def test_an_enabled_exchange_returns_with_its_first_new_quote() -> None:
    desk = running((SYMBOL,))
    desk.configure(config(disabled=[SECOND]))
    desk.on_quote(quote(SECOND, 100.0, 10 * MS))
    desk.configure(config())
    (delta,) = desk.collect()
    assert (delta.state, delta.reason) == ("stale", "waiting for the first quote of bybit")
    points = feed(desk, [quote(FIRST, 100.0, 20 * MS), quote(SECOND, 100.0, 21 * MS)])
    assert points[:, 0].tolist() == [NOON_US + 21_000]


def test_an_exchange_disabled_and_enabled_between_two_collects_is_no_news_to_a_chart_without_quotes() -> None:
    desk = SpreadEngine()
    desk.configure(config())
    desk.collect()
    desk.configure(config(disabled=[SECOND]))
    desk.configure(config())
    assert desk.collect() == []


def test_one_instrument_feeds_all_its_charts_and_no_other() -> None:
    both = config(symbols=BOTH)
    okx = structs.replace(both.exchanges[0], key="okx", name="okx")
    desk = SpreadEngine()
    desk.configure(
        structs.replace(
            both,
            exchanges=(*both.exchanges, okx),
            opportunities=(*both.opportunities, Opportunity(SYMBOL, FIRST, "okx", 1000)),
        )
    )
    feed(desk, [quote("okx", 100.0, 0), quote(SECOND, 100.0, 0)])
    desk.on_quote(quote(FIRST, 100.0, MS))
    assert {d.id: len(d.points) for d in desk.collect()} == {CHART: 1, f"{SYMBOL}|{FIRST}|okx": 1}


def test_a_configuration_that_contradicts_itself_is_refused_and_the_running_one_stays() -> None:
    desk = running((SYMBOL,))
    wrong = structs.replace(config(), opportunities=(Opportunity(SYMBOL, FIRST, "kraken", None),))
    with pytest.raises(ValueError, match="revision 1 uses exchanges it does not describe: kraken"):
        desk.configure(wrong)
    assert len(feed(desk, [quote(FIRST, 100.0, 10 * MS)])) == 1
