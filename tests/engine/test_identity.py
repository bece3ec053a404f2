"""Whether two exchanges mean the same coin by a symbol: what prices say, and what people decide."""

from math import isnan

import numpy as np
import pytest
from msgspec import structs
from numpy.random import Generator, default_rng

from engine.scan.identity import (
    FAIL,
    MIN_MOVES,
    PASS,
    RETURN_OVER,
    SAMPLE_NS,
    UNKNOWN,
    Compared,
    Identity,
    correlations,
    medians,
)
from engine.scan.legs import Leg
from markets.config import IdentityConfig, IdentityVerdict, MarketConfig
from markets.events import IdentityFinding
from tests.support.gate_market import NOON_US, NOTHING, Floor, config

PAIR = "BTC/USDT|binance|okx"


class Market:
    """Three exchanges' BTC/USDT and the evidence about them."""

    def __init__(self, configured: MarketConfig | None = None) -> None:
        self.floor = Floor(configured or config())
        self.rng: Generator = default_rng(7)
        self.identity = Identity()
        self.take_over(self.floor.config)

    def take_over(self, configured: MarketConfig) -> None:
        pairs = [way for way in self.floor.directions if way.sell.exchange == way.pair.pair.exchange1]
        self.places = {way.pair.id: way.index for way in pairs}
        self.identity.configure([Compared(way.pair, way.sell, way.buy) for way in pairs], configured)

    def verdict(self, pair: str = PAIR) -> int:
        return self.identity.verdict(self.places[pair])

    def sample(self, **mids: float) -> list[IdentityFinding]:
        """Ten more seconds with these prices; what was found."""
        for exchange, mid in mids.items():
            self.floor.quote(self.leg(exchange), mid)
        self.floor.now_ns += SAMPLE_NS
        self.identity.tick(self.floor.now_ns, NOON_US)
        return self.identity.take_findings()

    def leg(self, exchange: str) -> Leg:
        return self.floor.leg(exchange)

    def wander(self, samples: int, share: float) -> list[IdentityFinding]:
        """Both prices walk; this share of the second's steps are the first's."""
        found, one, two = [], 100.0, 100.0
        for _ in range(samples):
            step, other = self.rng.normal(0, 0.001, 2)
            one *= 1 + step
            two *= 1 + share * step + (1 - abs(share)) * other
            found += self.sample(binance=one, okx=two, bybit=one)
        return found


def decided(verdict: IdentityVerdict, one: str = "binance", two: str = "okx") -> MarketConfig:
    return config(identities=(IdentityConfig("BTC/USDT", one, two, verdict),))


def test_a_pair_is_unknown_until_both_were_quoted_and_then_decided_at_once() -> None:
    market = Market()
    market.floor.quote(market.leg("binance"), 100.0)
    assert market.verdict() == UNKNOWN
    market.floor.quote(market.leg("okx"), 101.0)
    assert market.verdict() == PASS


@pytest.mark.parametrize(
    ("price", "verdict"),
    [
        (100.9, PASS), (99.1, PASS), (101.1, UNKNOWN), (98.9, UNKNOWN), (149.9, UNKNOWN), (66.8, UNKNOWN),
        (150.1, FAIL), (66.5, FAIL),
    ],
)  # fmt: skip
def test_only_near_prices_pass_and_those_far_apart_are_not_of_one_coin(price: float, verdict: int) -> None:
    market = Market()
    market.floor.quote_all(100.0)
    market.floor.quote(market.leg("okx"), price)
    assert market.verdict() == verdict
    market.sample()
    assert market.verdict() == verdict


def test_one_odd_first_look_is_forgiven_by_the_samples_and_never_reported() -> None:
    market = Market()
    market.floor.quote_all(100.0)
    market.floor.quote(market.leg("okx"), 900.0)
    assert market.verdict() == FAIL
    assert market.sample(okx=100.0) == []
    assert market.verdict() == PASS


def test_a_single_tick_among_samples_decides_nothing() -> None:
    market = Market()
    for _ in range(5):
        market.sample(binance=100.0, bybit=100.0, okx=100.0)
    assert market.sample(okx=5_000.0) == []
    assert market.verdict() == PASS


def test_another_coin_is_found_after_three_samples_reported_once_and_again_after_ten_minutes() -> None:
    market = Market()
    counts = [len(market.sample(binance=100.0, bybit=100.0, okx=7.0)) for _ in range(70)]
    assert [place for place, count in enumerate(counts) if count] == [2, 62]
    assert (counts[2], market.verdict()) == (2, FAIL)


def test_a_finding_says_the_ratio_in_the_order_of_the_pair() -> None:
    market = Market()
    for _ in range(2):
        market.sample(binance=100.0, bybit=100.0, okx=7.0)
    found = market.sample()
    finding = next(each for each in found if each.exchange1 == "binance")
    assert (finding.symbol, finding.exchange2, finding.ts_us) == ("BTC/USDT", "okx", NOON_US)
    assert finding.price_ratio == pytest.approx(100 / 7, rel=1e-5)
    assert finding.correlation is None


def test_prices_that_do_not_move_together_are_found_though_they_are_close() -> None:
    market = Market()
    found = market.wander(240, share=0)
    assert {(each.exchange1, each.exchange2) for each in found} == {("binance", "okx"), ("bybit", "okx")}
    assert found[0].correlation is not None


def test_prices_that_move_together_pass_and_too_few_moves_say_nothing() -> None:
    market = Market()
    assert market.wander(MIN_MOVES, share=1) == []
    assert isnan(market.identity.correlation[market.places[PAIR]])
    market.wander(RETURN_OVER, share=1)
    assert market.identity.correlation[market.places[PAIR]] == pytest.approx(1, abs=1e-3)
    assert market.verdict() == PASS


@pytest.mark.parametrize(
    ("word", "price", "verdict"),
    [
        ("confirmed", 900.0, PASS),
        ("different", 100.0, FAIL),
        ("quarantined", 100.0, FAIL),
    ],
)
def test_a_persons_word_and_an_open_case_outweigh_all_prices(
    word: IdentityVerdict, price: float, verdict: int
) -> None:
    for configured in (decided(word), decided(word, "okx", "binance")):
        market = Market(configured)
        market.floor.quote_all(100.0)
        market.floor.quote(market.leg("okx"), price)
        assert market.verdict() == verdict
        market.sample()
        assert market.verdict() == verdict


def test_what_was_decided_is_not_reported_again() -> None:
    market = Market(decided("confirmed"))
    found = [each for _ in range(5) for each in market.sample(binance=100.0, bybit=100.0, okx=7.0)]
    assert {each.exchange1 for each in found} == {"bybit"}


def test_a_new_configuration_keeps_the_evidence_and_takes_over_decisions() -> None:
    market = Market()
    market.wander(61, share=-1)
    assert market.verdict() == FAIL
    market.take_over(structs.replace(market.floor.config, revision=2))
    assert market.verdict() == FAIL
    market.take_over(decided("confirmed"))
    assert market.verdict() == PASS


def test_a_new_multiplier_starts_again() -> None:
    market = Market()
    for _ in range(5):
        market.sample(binance=100.0, bybit=100.0, okx=100_000.0)
    assert market.verdict() == FAIL
    leg = market.leg("okx")
    leg.listing = structs.replace(leg.listing, multiplier=1000.0)
    market.floor.quote(leg, 100.0)
    market.take_over(market.floor.config)
    assert market.verdict() == PASS


def test_another_market_under_the_same_name_starts_again() -> None:
    market = Market()
    for _ in range(5):
        market.sample(binance=100.0, bybit=100.0, okx=100_000.0)
    leg = market.leg("okx")
    leg.listing = structs.replace(leg.listing, native_id="ANOTHER")
    market.floor.quote(leg, 100.0)
    market.take_over(market.floor.config)
    assert market.verdict() == PASS


def test_medians_leave_out_what_is_missing() -> None:
    samples = np.array([[1, NOTHING], [5, 2], [2, NOTHING], [NOTHING, NOTHING]], np.float32)
    found, count = medians(samples)
    assert (found.tolist(), count.tolist()) == ([2.0, 2.0], [3, 1])


def test_correlations_equal_numpys_over_the_samples_in_which_both_moved() -> None:
    rng = default_rng(3)
    one, two = rng.normal(0, 0.001, (2, 60, 4)).astype(np.float32)
    two = (two + one * np.array([0, 1, 5, -1])).astype(np.float32)
    one[rng.random(one.shape) < 0.1] = 0
    two[rng.random(two.shape) < 0.1] = NOTHING
    found, moves = correlations(one, two)
    for column in range(4):
        moved = (one[:, column] != 0) & ~np.isnan(two[:, column])
        assert moves[column] == moved.sum()
        expected = np.corrcoef(one[moved, column], two[moved, column])[0, 1]
        assert found[column] == pytest.approx(expected, abs=1e-4)
