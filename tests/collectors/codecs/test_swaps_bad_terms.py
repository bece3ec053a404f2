"""Rates, times, intervals and prices that cannot be: the swap codecs make them unknown, and count them."""

import json
from typing import Any

import pytest

from collectors.exchanges import CODECS
from markets.events import Funding, MarkPrice
from tests.collectors.codecs.test_swaps import SPELLED_OUT, connected
from tests.support.exchanges.broken_books import ABSENT, put
from tests.support.exchanges.codec_frames import SWAPS, gzipped
from tests.support.exchanges.swap_frames import (
    NEXT_US,
    RATE,
    SAID,
    made,
)

T_US = 1_700_000_000_123_000


# What cannot be.

PLACES: dict[str, dict[str, tuple[Any, ...]]] = {
    "binance:swap": {"mark": ("data", "p"), "rate": ("data", "r"), "next": ("data", "T")},
    "bybit:swap": {"mark": ("data", "markPrice"), "rate": ("data", "fundingRate"),
                   "next": ("data", "nextFundingTime"), "interval": ("data", "fundingIntervalHour")},
    "gate:swap": {"mark": ("result", 0, "mark_price"), "rate": ("result", 0, "funding_rate"),
                  "next": ("result", 0, "funding_next_apply"), "interval": ("result", 0, "funding_interval")},
    "bitget:swap": {"mark": ("data", 0, "markPrice"), "rate": ("data", 0, "fundingRate"),
                    "next": ("data", 0, "nextFundingTime")},
}  # fmt: skip
CASES = [(market, name) for market, places in PLACES.items() for name in places]


def with_(market: str, name: str, value: Any) -> tuple[list[Any], dict[str, int]]:
    """Mark price and funding of the frame that has both, with another value in a place; what was counted."""
    codec = connected(market)
    frame = put(json.loads(SAID[market][0]), PLACES[market][name], value)
    return list(codec.decode(json.dumps(frame))), dict(codec.counts)


@pytest.mark.parametrize("market", PLACES)
@pytest.mark.parametrize("rate", ["0.5", "-0.5", "1", 50, "NaN", "Infinity", "-Infinity", "abc", True, [1]])
def test_a_rate_of_half_the_notional_or_none_at_all_is_refused(market: str, rate: Any) -> None:
    (mark,), counts = with_(market, "rate", rate)
    assert mark == SPELLED_OUT[market][0]
    assert counts == {"bad_funding": 1}


@pytest.mark.parametrize("market", PLACES)
@pytest.mark.parametrize("rate", ["0", "-0.0001", "0.4999", 0.0001, "1e-4"])
def test_any_other_rate_is_one_whatever_its_sign(market: str, rate: Any) -> None:
    (_, funding), counts = with_(market, "rate", rate)
    assert funding.rate == float(rate)
    assert not counts


@pytest.mark.parametrize("market", PLACES)
@pytest.mark.parametrize("rate", [None, "", ABSENT])
def test_a_rate_that_is_not_said_is_unknown_and_the_next_time_stays(market: str, rate: Any) -> None:
    (_, funding), counts = with_(market, "rate", rate)
    assert (funding.rate, funding.next_ts_us) == (None, NEXT_US)
    assert not counts


@pytest.mark.parametrize("market", PLACES)
@pytest.mark.parametrize(
    "passed", [1_700_000_000_123, 1_699_999_000_000, 1_600_000_000, "abc", -1, 1_800_000_000_000, True]
)
def test_a_next_settlement_that_has_passed_or_cannot_be_is_unknown(market: str, passed: Any) -> None:
    """At the very moment it has passed; in 2027 it is not the next one either."""
    (_, funding), counts = with_(market, "next", passed)
    assert (funding.rate, funding.next_ts_us) == (RATE, None)
    assert counts == {"bad_next": 1}


@pytest.mark.parametrize("market", PLACES)
@pytest.mark.parametrize("unsaid", [None, "", 0, "0", ABSENT])
def test_a_next_settlement_that_is_not_said_is_unknown(market: str, unsaid: Any) -> None:
    (_, funding), counts = with_(market, "next", unsaid)
    assert (funding.rate, funding.next_ts_us) == (RATE, None)
    assert not counts


@pytest.mark.parametrize("market", [market for market in PLACES if "interval" in PLACES[market]])
@pytest.mark.parametrize(
    ("interval", "counted"),
    [(None, 0), ("", 0), (0, 0), (ABSENT, 0), (-8, 1), ("abc", 1), (10**9, 1), ("NaN", 1), (False, 0)],
)
def test_an_interval_that_is_missing_or_cannot_be_is_unknown_and_never_8_h(
    market: str, interval: Any, counted: int
) -> None:
    (_, funding), counts = with_(market, "interval", interval)
    assert (funding.rate, funding.next_ts_us, funding.interval_s) == (RATE, NEXT_US, None)
    assert counts == ({"bad_interval": 1} if counted else {})


@pytest.mark.parametrize(
    ("hours", "seconds"), [("1", 3600), ("2", 7200), (4, 14_400), ("8", 28_800), ("24", 86_400)]
)
def test_the_interval_is_the_exchanges_own(hours: Any, seconds: int) -> None:
    (_, bybit), _ = with_("bybit:swap", "interval", hours)
    (_, gate), _ = with_("gate:swap", "interval", seconds)
    assert bybit.interval_s == gate.interval_s == seconds


@pytest.mark.parametrize("market", PLACES)
@pytest.mark.parametrize("mark", ["0", "-100.5", "NaN", "Infinity", "abc", True])
def test_a_mark_price_that_cannot_be_is_unknown_and_the_index_stays(market: str, mark: Any) -> None:
    (price, _), counts = with_(market, "mark", mark)
    assert price == MarkPrice(market, "BTC/USDT", None, 100.49, T_US)
    assert counts == {"bad_mark": 1}


def test_where_neither_price_can_be_there_is_no_mark_price() -> None:
    codec = made("bingx:swap")
    frame = '{"code":0,"dataType":"BTC-USDT@markPrice","data":{"E":1700000000123,"s":"BTC-USDT","p":"0"}}'
    assert not codec.decode(gzipped(frame))
    assert codec.counts == {"bad_mark": 1}
    assert codec.rejects == {("BTC/USDT", "bad_mark"): 1}


def test_a_cap_below_the_floor_bounds_nothing() -> None:
    codec = made("okx:swap")
    frame = SAID["okx:swap"][2]
    assert isinstance(frame, str)
    (funding,) = codec.decode(frame.replace('"0.00375"', '"-0.5"').replace('"-0.00375"', '"0.1"'))
    assert isinstance(funding, Funding)
    assert (funding.rate, funding.cap, funding.floor) == (RATE, None, 0.1)
    (funding,) = codec.decode(frame.replace('"0.00375"', '"-0.01"').replace('"-0.00375"', '"0.1"'))
    assert isinstance(funding, Funding)
    assert (funding.rate, funding.cap, funding.floor) == (RATE, None, None)
    assert codec.counts == {"bad_funding": 2}


@pytest.mark.parametrize("market", [market for market in SWAPS if CODECS[market].sheet.polled])
@pytest.mark.parametrize("symbol", [[1], {}, None, 7, True])
def test_a_polled_row_of_no_symbol_costs_itself_only(market: str, symbol: Any) -> None:
    codec = made(market)
    assert not codec.polled(json.dumps({"data": [{"symbol": symbol}]}).encode())


def test_an_interval_that_binance_names_no_hours_for_is_unknown_and_only_an_absent_symbol_has_8_h() -> None:
    codec = made("binance:swap", {"BTCUSDT": "BTC/USDT:USDT"})
    assert not codec.polled(b'[{"symbol": "BTCUSDT"}]')
    (event,) = codec.polled(b'[{"symbol": "OTHERUSDT", "fundingIntervalHours": 4}]')
    assert isinstance(event, Funding)
    assert event.interval_s == 28_800
