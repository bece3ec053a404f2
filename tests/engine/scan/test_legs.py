"""One side of what is compared: when its quote counts, and how far its neighbours moved since."""

from math import inf, isnan, nan

import pytest

from engine.scan.legs import Leg, Market
from markets.events import Quote, StreamState
from tests.support.scan.market import EXCHANGES, listing

BTC = "BTC/USDT"
SINCE_NS = 1_000


def market(*mids: float) -> tuple[Leg, list[Leg]]:
    """A leg that cost 100 when everybody else did, and the others at what they cost now."""
    legs = [Leg(listing(f"exchange {number}", BTC)) for number in range(len(mids) + 1)]
    for leg, mid in zip(legs, (100.0, *mids), strict=True):
        leg.bid, leg.ask, leg.received_mono_ns = mid - 0.5, mid + 0.5, SINCE_NS
        leg.market = Market(tuple(legs))
    legs[0].marks = [200.0] * len(legs)
    return legs[0], legs[1:]


@pytest.mark.parametrize(
    ("mids", "moved"),
    [
        ([101.0], 100.0),
        ([99.0], 100.0),
        ([101.0, 102.0], 100.0),
        ([98.0, 99.0], 100.0),
        ([99.0, 101.0], 0.0),
        ([100.0, 101.0], 0.0),
        ([99.0, 100.0], 0.0),
        ([100.0, 101.0, 105.0], 100.0),
        ([95.0, 99.0, 101.0], 100.0),
        ([99.0, 101.0, 102.0, 103.0], 100.0),
        ([98.0, 99.0, 101.0, 102.0], 0.0),
    ],
)
def test_the_others_moved_as_far_as_most_of_them_say(mids: list[float], moved: float) -> None:
    for order in (mids, mids[::-1]):
        leg, _ = market(*order)
        assert leg.moved_bps(SINCE_NS) == pytest.approx(moved)


def test_one_without_a_quote_since_that_jumped_or_has_no_price_vouches_for_nothing() -> None:
    leg, others = market(101.0, 150.0, 160.0, 170.0)
    others[1].received_mono_ns = SINCE_NS - 1
    others[2].jumped = True
    others[3].bid = nan
    assert leg.moved_bps(SINCE_NS) == pytest.approx(100.0)
    others[0].received_mono_ns = SINCE_NS - 1
    assert isnan(leg.moved_bps(SINCE_NS))


def test_before_it_was_noted_what_the_others_cost_nothing_is_known() -> None:
    leg, _ = market(101.0)
    leg.marks = []
    assert isnan(leg.moved_bps(SINCE_NS))


def test_the_best_prices_are_those_of_the_legs_that_have_any() -> None:
    _, others = market(101.0, 99.0, 180.0)
    others[2].bid = others[2].ask = nan
    at = others[0].market
    at.reckon()
    assert (at.high_bid, at.low_ask) == (100.5, 99.5)
    for leg in at.legs:
        leg.bid = leg.ask = nan
    at.reckon()
    assert (at.high_bid, at.low_ask) == (-inf, inf)


@pytest.mark.parametrize(("states", "up"), [(["gap"], True), (["down"], False), (["down", "gap"], False)])
def test_a_quote_before_an_interruption_does_not_count_and_one_while_it_is_down_waits(
    states: list[str], up: bool
) -> None:
    leg = Leg(listing(EXCHANGES[0], BTC))
    leg.quote, leg.quotes, leg.jumped = quoted(1.0), 7, True
    leg.price()
    assert (leg.bid, leg.ask) == (1.0, 2.0)
    for state in states:
        leg.turn(StreamState(EXCHANGES[0], (BTC,), state, "no frame"))  # type: ignore[arg-type]
    assert (leg.up, leg.reason, leg.quotes, leg.jumped) == (up, "no frame", 0, False)
    assert all(map(isnan, (leg.bid, leg.ask, leg.bid_size, leg.ask_size)))
    leg.quote = quoted(3.0)
    leg.price()
    assert isnan(leg.bid) is not up
    leg.turn(StreamState(EXCHANGES[0], (BTC,), "up", ""))
    assert (leg.up, leg.reason) == (True, "")
    assert (leg.bid, leg.bid_size, leg.ask, leg.ask_size) == (3.0, 5.0, 4.0, 6.0)


def test_a_leg_of_an_alias_is_priced_and_sized_by_the_coin() -> None:
    leg = Leg(listing(EXCHANGES[0], "1000PEPE/USDT", counts_as="PEPE/USDT", multiplier=1000.0))
    leg.quote = quoted(2.0)
    leg.price()
    assert (leg.bid, leg.ask) == pytest.approx((0.002, 0.003))
    assert (leg.bid_size, leg.ask_size) == (5000.0, 6000.0)
    leg.scale = nan
    leg.price()
    assert all(map(isnan, (leg.bid, leg.ask, leg.bid_size, leg.ask_size)))


def quoted(bid: float) -> Quote:
    return Quote(EXCHANGES[0], BTC, bid, 5.0, bid + 1, 6.0, None, 1, 1)
