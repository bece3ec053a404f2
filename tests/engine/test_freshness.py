"""When a leg's last quote still speaks for its book: by its own rhythm, and by what its neighbours do."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gates import freshness
from engine.gates.freshness import DOWN, LIVE, QUIET, SILENT
from engine.gates.gatekeeper import Gatekeeper
from engine.scan.legs import Leg
from tests.support.gate_market import EXCHANGES, NOTHING, TERMS, Floor, config, listing

SYMBOLS = ("BTC/USDT", "ETH/USDT")


@pytest.fixture
def floor() -> Floor:
    """Two symbols on three exchanges, all quoted now, usually every 100 ms."""
    floor = Floor(config(*(listing(exchange, symbol) for exchange in EXCHANGES for symbol in SYMBOLS)))
    floor.quote_all()
    return floor


def state(floor: Floor, exchange: str, symbol: str = "BTC/USDT") -> int:
    """The leg's state as both ways of asking have it."""
    leg = floor.leg(exchange, symbol)
    one_by_one = alone(floor, leg)
    assert states(floor)[list(floor.legs.values()).index(leg)] == one_by_one
    return one_by_one


def alone(floor: Floor, leg: Leg) -> int:
    gatekeeper = Gatekeeper()
    gatekeeper.configure(floor.config, floor.directions, floor.legs.values())
    return gatekeeper.state(leg, floor.now_ns)


def states(floor: Floor) -> list[int]:
    legs = list(floor.legs.values())
    found = freshness.states(
        _column(freshness.is_usable(leg) for leg in legs),
        _column(freshness.age_ms(leg, floor.now_ns) for leg in legs),
        _column(leg.gap_ms for leg in legs),
        symbol=_column(SYMBOLS.index(leg.listing.counts_as) for leg in legs),
        exchange=_column(EXCHANGES.index(leg.exchange) for leg in legs),
        terms=TERMS,
    )
    return [int(each) for each in found]


def _column(values: Iterable[Any]) -> Any:
    return np.array(list(values))


def test_a_leg_within_its_own_rhythm_is_live_however_slow_that_is(floor: Floor) -> None:
    floor.quote(floor.leg("okx"), age_ms=50_000, gap_ms=3_000)
    assert state(floor, "okx") == LIVE


def test_a_fast_leg_may_pause_for_the_floor_of_3_s(floor: Floor) -> None:
    floor.quote(floor.leg("okx"), age_ms=3_000, gap_ms=10)
    assert state(floor, "okx") == LIVE


def test_a_leg_that_is_late_while_others_talk_is_silent(floor: Floor) -> None:
    floor.quote(floor.leg("okx"), age_ms=9_400, gap_ms=150)
    assert state(floor, "okx") == SILENT


def test_a_quiet_book_among_quiet_ones_is_not_stale(floor: Floor) -> None:
    for exchange in EXCHANGES:
        floor.quote(floor.leg(exchange), age_ms=9_400, gap_ms=150)
    assert state(floor, "okx") == QUIET


def test_a_whole_exchange_that_says_nothing_while_others_do_is_silent(floor: Floor) -> None:
    for symbol in SYMBOLS:
        floor.quote(floor.leg("okx", symbol), age_ms=9_400, gap_ms=150)
    for exchange in ("binance", "bybit"):
        floor.quote(floor.leg(exchange), age_ms=9_400, gap_ms=150)
    assert state(floor, "binance") == QUIET
    assert state(floor, "okx") == SILENT


def test_when_nobody_talks_nobody_is_suspected(floor: Floor) -> None:
    for leg in floor.legs.values():
        floor.quote(leg, age_ms=60_000, gap_ms=100)
    assert set(states(floor)) == {QUIET}


def test_a_leg_whose_rhythm_is_not_known_is_judged_by_the_floor(floor: Floor) -> None:
    floor.quote(floor.leg("okx"), age_ms=2_900, gap_ms=NOTHING)
    assert state(floor, "okx") == LIVE
    floor.quote(floor.leg("okx"), age_ms=3_100, gap_ms=NOTHING)
    assert state(floor, "okx") == SILENT


def test_without_a_quote_since_its_stream_broke_a_leg_is_down(floor: Floor) -> None:
    floor.leg("okx").bid = NOTHING
    floor.leg("bybit").up = False
    assert (state(floor, "okx"), state(floor, "bybit")) == (DOWN, DOWN)


def test_a_leg_that_only_waits_for_a_rate_is_as_fresh_as_its_quote(floor: Floor) -> None:
    leg = floor.leg("okx")
    leg.bid = leg.scale = NOTHING
    assert state(floor, "okx") == LIVE


legs_as_they_may_be = st.tuples(
    st.sampled_from([0.0, 100.0, 2_999.0, 3_000.0, 3_001.0, 5_000.0, 60_000.0]),
    st.sampled_from([NOTHING, 10.0, 150.0, 249.0, 251.0, 5_000.0]),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(legs_as_they_may_be, min_size=6, max_size=6))
def test_a_table_of_legs_and_a_leg_alone_are_judged_alike(
    rows: list[tuple[float, float, bool, bool]],
) -> None:
    floor = Floor(config(*(listing(exchange, symbol) for exchange in EXCHANGES for symbol in SYMBOLS)))
    for leg, (age_ms, gap_ms, up, quoted) in zip(floor.legs.values(), rows, strict=True):
        floor.quote(leg, age_ms=age_ms, gap_ms=gap_ms)
        leg.up = up
        leg.bid = leg.bid if quoted else NOTHING
    assert states(floor) == [alone(floor, leg) for leg in floor.legs.values()]
