"""An opportunity's own numbers: they agree with each other, with its legs, and with the settings of then."""

from itertools import pairwise
from math import isnan, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from engine.scan.lifecycle import opportunity_events
from markets.config import FeeRule, FilterConfig, GateTerms, IdentityConfig, ListingConfig, MarketConfig
from markets.events import Episode, Moment
from tests.support.scan.market import NOON_US, Desk, config, listing

BTC = "BTC/USDT"
BUY, SELL = "okx", "binance"
HELD = FilterConfig(1, "held", min_edge_bps=5.0, close_edge_bps=2.0, min_duration_ms=50)
AT_ONCE = structs.replace(HELD, min_duration_ms=0)
SIZE = 50.0
"""What a filter here asks to be executable."""


def market(follows: FilterConfig = HELD, *, fee_bps: float = 0.0, **more: Any) -> MarketConfig:
    listed: tuple[ListingConfig, ...] = more.pop("listings", (listing(SELL, BTC), listing(BUY, BTC)))
    return config(
        listed,
        structs.replace(follows, min_size=SIZE),
        fees_bps=(fee_bps,) * 4,
        pairs=[(SELL, BUY)],
        **{"identities": [IdentityConfig(BTC, SELL, BUY, "confirmed")]} | more,
    )


def quote(desk: Desk, at_ms: float, edge_bps: float, size: float = 1.0) -> None:
    """Sell so many bps above what is bought at 100, before fees."""
    desk.quote(SELL, BTC, 100 + edge_bps / 100, 130.0, at_ms=at_ms, sizes=(size, 1.0))


def started(follows: FilterConfig = HELD, **more: Any) -> Desk:
    desk = Desk(market(follows, **more))
    desk.quote(BUY, BTC, 80.0, 100.0, sizes=(1.0, 1.0))
    return desk


def finish(desk: Desk, at_ms: float) -> list[Episode]:
    desk.scanner.lifecycle.tick(5_000_000_000 + round(at_ms * 1e6))
    desk.scanner.lifecycle.stop("over", NOON_US + round(at_ms * 1000), 5_000_000_000 + round(at_ms * 1e6))
    return [each for each in desk.scanner.lifecycle.take() if each.phase == "close"]


def edge_of(moment: Moment) -> float:
    """The edge that the two legs give after the fees they had then."""
    buy, sell = moment.buy, moment.sell
    assert buy.taker_fee_bps is not None
    assert sell.taker_fee_bps is not None
    paid, got = buy.ask * (1 + buy.taker_fee_bps / 1e4), sell.bid * (1 - sell.taker_fee_bps / 1e4)
    return (got / paid - 1) * 1e4


def check_figures(episode: Episode) -> None:
    """Check what holds for every row, however it came about."""
    peak = episode.peak.edge_bps
    moments = [each for each in (episode.opened, episode.peak, episode.closed) if each is not None]
    for moment in moments:
        assert moment.edge_bps == pytest.approx(edge_of(moment), abs=1e-6)
        assert moment.size == pytest.approx(min(moment.buy.ask_size, moment.sell.bid_size) * moment.buy.ask)
        assert moment.edge_bps <= peak
        assert moment.ts_us >= episode.started_us
    assert episode.mean_edge_bps <= peak
    assert episode.opened.size >= SIZE
    assert episode.peak.size >= SIZE
    assert episode.closed_us is not None
    assert max(moment.ts_us for moment in moments) <= episode.closed_us


# --- against a naive recomputation from every quote and every change ------------------------------


class Step(Struct, frozen=True):
    """Something happens: a quote of the seller, one of the buyer, or other fees."""

    kind: str
    after_ms: int
    value: float  # bps, of the price or of the fee
    size: float


class Stay(Struct, frozen=True):
    """State that held from one moment until another."""

    since: int
    until: int
    edge: float
    size: float


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(("sell", "sell", "sell", "buy", "fees")),
        st.integers(1, 30),
        st.sampled_from((0.0, 1.1, 2.6, 5.2, 6.1, 9.3, 14.4, 30.2)),
        st.sampled_from((1.0, 1.0, 2.0, 0.01)),
    ),
    min_size=1,
    max_size=30,
)


def stays_of(walk: list[Step], end: int) -> list[Stay]:
    """Edge and executable size between each two things that happened."""
    held, sell, ask, bid_size, ask_size, fee, now = [], nan, 100.0, nan, 1.0, 0.0, 0
    for step in walk:
        now += step.after_ms
        if step.kind == "sell":
            sell, bid_size = 100 + step.value / 100, step.size
        elif step.kind == "buy":
            ask, ask_size = 100 - step.value / 100, step.size
        else:
            fee = step.value / 1e4
        edge = (sell * (1 - fee) / (ask * (1 + fee)) - 1) * 1e4
        held.append((now, edge, min(bid_size, ask_size) * ask))
    return [Stay(a[0], b[0], a[1], a[2]) for a, b in pairwise([*held, (end, nan, nan)])]


def naive(stays: list[Stay], hold: int, opens: float, closes: float) -> list[dict[str, float]]:
    """Every episode by the book: what it held, from its first moment to its last."""
    found, place = [], 0
    while place < len(stays):
        count = _while(stays, place, lambda each: each.edge >= opens and each.size >= SIZE)
        held = stays[place : place + count]
        if not held or held[-1].until - held[0].since < hold:
            place += max(1, count)
            continue
        inside = stays[place : place + _while(stays, place, lambda each: each.edge >= closes)]
        usable = [each for each in inside if each.size >= SIZE]
        lasted = sum(each.until - each.since for each in usable)
        opened = next(each for each in inside if each.until >= held[0].since + hold)
        found.append(
            {
                "started": held[0].since,
                "open": opened.edge,
                "peak": max(each.edge for each in usable),
                "mean": sum(each.edge * (each.until - each.since) for each in usable) / lasted,
                "closed": inside[-1].until,
            }
        )
        place += len(inside)
    return found


def _while(stays: list[Stay], place: int, holds: Any) -> int:
    return next((n for n, each in enumerate(stays[place:]) if not holds(each)), len(stays) - place)


@given(steps, st.sampled_from((0, 20, 60)))
@settings(max_examples=300, deadline=None)
def test_figures_are_those_of_a_naive_recomputation(walk: list[Step], hold_ms: int) -> None:
    follows = structs.replace(HELD, min_duration_ms=hold_ms)
    desk, now = started(follows), 0
    for step in walk:
        now += step.after_ms
        if step.kind == "sell":
            quote(desk, now, step.value, step.size)
        elif step.kind == "buy":
            desk.quote(BUY, BTC, 80.0, 100 - step.value / 100, at_ms=now, sizes=(1.0, step.size))
        else:
            desk.configure(market(follows, fee_bps=step.value), at_ms=now)
    closed = finish(desk, now + 10)
    wanted = naive(stays_of(walk, now + 10), hold_ms, 5.0, 2.0)
    assert len(closed) == len(wanted)
    for episode, naively in zip(closed, wanted, strict=True):
        check_figures(episode)
        phases = {
            "started": (episode.started_us - NOON_US) / 1000,
            "open": episode.opened.edge_bps,
            "peak": episode.peak.edge_bps,
            "mean": episode.mean_edge_bps,
            "closed": ((episode.closed_us or 0) - NOON_US) / 1000,
        }
        assert phases == pytest.approx(naively, abs=1e-6)


# --- the peak ----------------------------------------------------------------------------------------


def test_the_peak_of_the_time_before_it_opened_counts() -> None:
    desk = started()
    for at_ms, edge in ((0, 12.0), (10, 28.95), (40, 18.73), (200, 18.73), (300, 0.0)):
        quote(desk, at_ms, edge)
    opened, closed = desk.scanner.lifecycle.take()
    assert opened.opened.edge_bps == pytest.approx(18.73, abs=1e-6)
    for episode in (opened, closed):
        assert episode.peak.edge_bps == pytest.approx(28.95, abs=1e-6)
        assert episode.peak.ts_us == NOON_US + 10_000
        assert episode.mean_edge_bps <= episode.peak.edge_bps
    check_figures(closed)


def test_time_in_which_too_little_was_executable_counts_neither_for_the_peak_nor_for_the_mean() -> None:
    desk = started(structs.replace(HELD, min_duration_ms=0))
    quote(desk, 0, 6.0)
    quote(desk, 100, 60.0, size=0.01)
    quote(desk, 900, 8.0)
    quote(desk, 1000, 0.0)
    (closed,) = finish(desk, 1001)
    assert closed.peak.edge_bps == pytest.approx(8.0, abs=1e-6)
    assert closed.mean_edge_bps == pytest.approx(7.0, abs=1e-6)


def test_the_mean_in_another_currency_is_of_the_time_in_which_enough_was_executable() -> None:
    """The least size is 50 USDT; a thousandth of a BTC is worth 60."""
    listed = (listing(SELL, "ETH/BTC"), listing(BUY, "ETH/BTC"))
    desk = Desk(
        market(AT_ONCE, listings=listed, identities=[IdentityConfig("ETH/BTC", SELL, BUY, "confirmed")])
    )
    desk.scanner.rates.receive({"BTC/USDT": (60_000.0, NOON_US)})
    desk.tick(0)
    desk.quote(BUY, "ETH/BTC", 0.04, 0.05, sizes=(1.0, 0.02))
    for at_ms, edge, size in ((0, 6.0, 0.02), (100, 8.0, 0.02), (200, 90.0, 0.01), (300, 0.0, 0.02)):
        desk.quote(SELL, "ETH/BTC", 0.05 * (1 + edge / 1e4), 0.06, at_ms=at_ms, sizes=(size, 1.0))
    _, closed = desk.scanner.lifecycle.take()
    assert (closed.peak.edge_bps, closed.mean_edge_bps) == pytest.approx((8.0, 7.0), abs=1e-6)


def test_a_close_above_anything_that_was_executable_is_not_known() -> None:
    desk = started(structs.replace(HELD, min_duration_ms=0))
    quote(desk, 0, 6.0)
    quote(desk, 100, 60.0, size=0.01)
    (closed,) = finish(desk, 200)
    assert closed.closed is None
    assert (closed.peak.edge_bps, closed.mean_edge_bps) == pytest.approx((6.0, 6.0), abs=1e-6)


def test_a_price_that_is_not_believed_is_no_close() -> None:
    desk = started(structs.replace(HELD, min_duration_ms=0), gates=GateTerms(jump_pct=1.0))
    quote(desk, 0, 6.0)
    quote(desk, 100, 900.0)
    (closed,) = finish(desk, 200)
    assert closed.closed is None
    assert closed.peak.edge_bps == pytest.approx(6.0, abs=1e-6)


def test_a_wall_clock_that_steps_back_ends_nothing_before_it_began() -> None:
    desk = started(structs.replace(HELD, min_duration_ms=0))
    quote(desk, 0, 6.0)
    desk.scanner.lifecycle.stop("over", NOON_US - 3_600_000_000, 6_000_000_000)
    opened, closed = desk.scanner.lifecycle.take()
    assert closed.closed_us == opened.started_us


# --- settings ----------------------------------------------------------------------------------------


def phases(desk: Desk) -> list[str]:
    return [each.phase for each in desk.scanner.lifecycle.take()]


def test_what_waits_is_judged_by_the_fees_of_now() -> None:
    desk = started()
    quote(desk, 0, 6.0)
    desk.configure(market(fee_bps=10.0), at_ms=20)  # -14 bps now
    desk.tick(500)
    assert phases(desk) == []


def test_what_is_open_is_judged_by_the_fees_of_now_and_says_so() -> None:
    desk = started()
    quote(desk, 0, 6.0)
    desk.tick(100)
    desk.configure(market(fee_bps=10.0), at_ms=150)
    opened, closed = desk.scanner.lifecycle.take()
    assert opened.opened.edge_bps == pytest.approx(6.0, abs=1e-6)
    assert closed.closed_us == NOON_US + 150_000
    assert closed.closed is not None
    assert closed.closed.edge_bps == pytest.approx(-14.0, abs=0.1)
    assert closed.closed.buy.taker_fee_bps == 10.0
    check_figures(closed)


def test_a_fee_of_one_symbol_is_judged_at_once_as_well() -> None:
    desk = started()
    quote(desk, 0, 6.0)
    desk.tick(100)
    fee = FeeRule(BUY, BTC, 20.0, 20.0, "a schedule")
    desk.configure(structs.replace(market(), fee_rules=(fee,)), at_ms=150)
    assert phases(desk) == ["open", "close"]


def test_what_other_fees_make_worth_it_begins_at_once() -> None:
    desk = started(fee_bps=10.0)
    quote(desk, 0, 6.0)
    desk.configure(market(), at_ms=150)
    desk.tick(250)
    (opened,) = desk.scanner.lifecycle.take()
    assert (opened.started_us, opened.opened.ts_us) == (NOON_US + 150_000, NOON_US + 200_000)
    assert opened.opened.edge_bps == pytest.approx(6.0, abs=1e-6)


@pytest.mark.parametrize(
    ("after", "right"),
    [
        pytest.param(market(structs.replace(AT_ONCE, min_edge_bps=4.0)), ["close", "open"], id="threshold"),
        pytest.param(market(structs.replace(AT_ONCE, min_edge_bps=7.0)), ["close"], id="higher threshold"),
        pytest.param(market(structs.replace(AT_ONCE, close_edge_bps=None)), ["close", "open"], id="closing"),
        pytest.param(
            market(
                AT_ONCE,
                listings=(listing(SELL, BTC), listing(BUY, BTC, multiplier=0.9)),
            ),
            ["close"],
            id="scale",
        ),
        pytest.param(market(AT_ONCE, fee_bps=3.0), ["close"], id="fees"),
        pytest.param(market(AT_ONCE, fee_bps=1.0), [], id="fees that leave enough"),
        pytest.param(
            market(AT_ONCE, gates=GateTerms(jump_pct=1e6, min_volume=1e9)), ["close"], id="a gate's threshold"
        ),
        pytest.param(
            structs.replace(market(AT_ONCE), identities=(IdentityConfig(BTC, SELL, BUY, "different"),)),
            ["close"],
            id="identity",
        ),
    ],
)
def test_whatever_a_setting_enters_is_judged_when_it_changes(after: MarketConfig, right: list[str]) -> None:
    desk = started(AT_ONCE)
    quote(desk, 0, 6.0)
    assert phases(desk) == ["open"]
    desk.configure(after, at_ms=10)
    changed = desk.scanner.lifecycle.take()
    assert [each.phase for each in changed] == right
    for each in changed:
        if each.phase == "close":
            check_figures(each)


def test_a_jump_that_the_new_threshold_allows_is_believed_at_once() -> None:
    desk = started(AT_ONCE, gates=GateTerms(jump_pct=1.0))
    quote(desk, 0, 0.0)
    desk.quote(SELL, BTC, 104.0, 130.0, at_ms=10)
    assert phases(desk) == []
    desk.configure(market(AT_ONCE, gates=GateTerms(jump_pct=1.2)), at_ms=15)
    assert phases(desk) == []
    desk.configure(market(AT_ONCE, gates=GateTerms(jump_pct=10.0)), at_ms=20)
    assert phases(desk) == ["open"]


def test_what_ends_by_a_new_configuration_ends_as_it_was_before() -> None:
    """At the prices and fees it ran with, not at those of the configuration that ended it."""
    desk = started(AT_ONCE)
    quote(desk, 0, 6.0)
    after = market(
        structs.replace(AT_ONCE, close_edge_bps=1.0),
        fee_bps=4.0,
        listings=(listing(SELL, BTC), listing(BUY, BTC, multiplier=10.0)),
    )
    desk.configure(after, at_ms=10)
    _, closed, *_ = desk.scanner.lifecycle.take()
    assert closed.reason == "filter changed"
    assert closed.closed is not None
    assert closed.closed.edge_bps == pytest.approx(6.0, abs=1e-6)
    check_figures(closed)


def test_a_candidate_that_held_before_the_change_opened_before_it() -> None:
    desk = started()
    quote(desk, 0, 6.0)
    desk.configure(market(fee_bps=10.0), at_ms=80)
    opened, closed = desk.scanner.lifecycle.take()
    assert opened.opened.ts_us == NOON_US + 50_000
    assert closed.closed_us == NOON_US + 80_000


def test_a_rate_that_changes_is_judged_without_a_quote() -> None:
    usdc = listing(SELL, "BTC/USDC", counts_as=BTC)
    desk = Desk(market(AT_ONCE, listings=(usdc, listing(BUY, BTC))))
    desk.scanner.rates.receive({"USDC/USDT": (1.0, NOON_US)})
    desk.tick(0)
    desk.quote(BUY, BTC, 80.0, 100.0, sizes=(1.0, 1.0))
    desk.quote(SELL, "BTC/USDC", 100.06, 130.0)
    assert phases(desk) == ["open"]
    desk.scanner.rates.receive({"USDC/USDT": (0.998, NOON_US + 1_000_000)})
    desk.tick(1000)
    (closed,) = desk.scanner.lifecycle.take()
    assert closed.closed is not None
    assert closed.closed.edge_bps == pytest.approx(-14.0, abs=0.1)
    check_figures(closed)


def test_the_lakes_events_carry_the_direction_and_the_fees_of_then() -> None:
    desk = started(AT_ONCE, fee_bps=1.0)
    quote(desk, 0, 8.0)
    desk.configure(market(AT_ONCE, fee_bps=20.0), at_ms=10)
    opened, closed = opportunity_events(desk.scanner.lifecycle.take(), dict.fromkeys((BUY, SELL), 0.5))
    assert [(each.buy_on, each.sell_on) for each in (opened, closed)] == [(BUY, SELL)] * 2
    assert (opened.edge12, closed.edge12) == pytest.approx((6.0, -32.0), abs=0.1)
    assert not isnan(opened.edge21)
