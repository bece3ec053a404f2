"""Open opportunities while a swap settles: held while funding is unknown for that alone, and not for long."""

from typing import Any

import pytest
from msgspec import structs

from markets.config import FilterConfig, GateTerms, MarketConfig
from markets.events import Episode
from tests.engine.test_swap_gates import HOUR, NOON, PLAIN, SWAP, US, Desk, market, phases


def steady(follows: FilterConfig) -> MarketConfig:
    """A market where no mark price is too old."""
    terms = GateTerms(min_size=0.0, jump_pct=1000.0, max_unproven_edge_bps=1e6, mark_max_age_s=1e6)
    return market(follows, terms=terms)


def quoted(desk: Desk, until_s: float) -> list[Episode]:
    """Let both legs quote the same edge every second, until something happens or the time has come."""
    found: list[Episode] = []
    while not found and desk.now < until_s:
        found = desk.edge() + desk.tick(1.0)
    return found


def settled(desk: Desk) -> None:
    """Let Gate's settlement pass with what is open, and its exchange say the old rate under the new time."""
    desk.funding(SWAP, next_ts_us=NOON + 10 * US, interval_s=HOUR)
    assert phases(desk.edge()) == ["open"]
    assert quoted(desk, 12.0) == []
    assert desk.blocked().endswith("the next settlement is in the past"), "nothing new opens"
    assert desk.judged()["funding"].verdict == "unknown", "and unknown is shown as unknown"
    assert quoted(desk, 60.0) == [], "neither a quote nor the time closes it"
    desk.funding(SWAP, next_ts_us=NOON + (10 + HOUR) * US, interval_s=HOUR)
    assert desk.blocked().startswith("funding: gate:swap! funding is unknown: just settled")


@pytest.mark.parametrize("least_net_bps", [None, 20.0])
def test_what_is_open_is_held_while_a_settlement_makes_funding_unknown(least_net_bps: float | None) -> None:
    desk = Desk(steady(structs.replace(PLAIN, min_net_edge_bps=least_net_bps)))
    settled(desk)
    assert quoted(desk, 131.0) == []
    for key in desk.legs:
        desk.funding(key, next_ts_us=NOON + (10 + HOUR) * US, interval_s=HOUR)
    assert quoted(desk, 400.0) == []
    assert desk.blocked() == "", "known again, before it would have closed"


@pytest.mark.parametrize("says_more", [False, True])
def test_a_settlement_holds_nothing_for_longer_than_four_minutes(says_more: bool) -> None:
    desk = Desk(steady(PLAIN))
    settled(desk)
    found: list[Episode] = []
    while not found and desk.now < 300.0:
        if says_more:
            desk.funding(SWAP, next_ts_us=NOON + 10 * US, interval_s=HOUR, rate=0.0002)
        found = quoted(desk, desk.now + 5.0)
    (closed,) = found
    assert closed.reason.startswith("funding: gate:swap! funding is unknown: ")
    assert 250.0 <= desk.now <= 260.0


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"rate": 0.7}, "a rate of 50 % or more"),
        ({"cap": -0.01, "floor": 0.01}, "the cap is below the floor"),
    ],
)
def test_funding_that_is_unknown_for_another_reason_closes_what_is_held(
    said: dict[str, Any], why: str
) -> None:
    desk = Desk(steady(PLAIN))
    settled(desk)
    desk.funding(SWAP, next_ts_us=NOON + (10 + HOUR) * US, interval_s=HOUR, **said)
    (closed,) = desk.tick(0.3)
    assert closed.reason == f"funding: gate:swap! funding is unknown: {why}"
