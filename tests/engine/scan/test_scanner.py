"""The scanner: every pair a quote touches is judged both ways, and nothing else is."""

from itertools import combinations
from math import inf, isnan, nan

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.names.chart_ids import chart_id_of, parts_of
from markets.config import FilterConfig, GateTerms, MarketConfig, Opportunity
from tests.support.scan.market import ANY_EDGE, EXCHANGES, Desk, config, everywhere, listing

BTC, ETH, PEPE = "BTC/USDT", "ETH/USDT", "PEPE/USDT"
FIVE_BPS = FilterConfig(1, "five", min_edge_bps=5.0)


def test_the_quote_of_another_market_under_the_same_name_is_not_believed() -> None:
    desk = Desk(config(everywhere(BTC)))
    desk.quote("binance", BTC, 100.0, 101.0)
    desk.quote("okx", BTC, 110.0, 111.0)
    listed = [
        msgspec.structs.replace(each, native_id="BTC2") if each.exchange == "okx" else each
        for each in everywhere(BTC)
    ]

    desk.configure(config(listed))
    assert isnan(desk.edge(BTC, "binance", "okx"))
    desk.quote("okx", BTC, 100.0, 101.0)
    assert desk.edge(BTC, "binance", "okx") < 0


# --- against all pairs computed again after every quote -------------------------------------------

Steps = list[tuple[int, float, float, float, float]]
listings = st.sampled_from(
    [listing(e, s) for e in EXCHANGES for s in (BTC, PEPE)]
    + [listing(e, "1000PEPE/USDT", counts_as=PEPE, multiplier=1000.0) for e in EXCHANGES]
)
prices = st.floats(99.0, 101.0)
sizes = st.floats(0.5, 5.0)
steps = st.lists(st.tuples(st.integers(0, 50), prices, prices, sizes, sizes), min_size=1, max_size=40)
markets = st.builds(
    lambda chosen, fees, pairs, trigger: config(
        chosen, FilterConfig(1, "edge", min_edge_bps=trigger), fees_bps=fees, pairs=pairs
    ),
    st.lists(listings, min_size=2, unique_by=lambda each: (each.exchange, each.symbol)),
    st.tuples(*[st.floats(0.0, 20.0)] * 4),
    st.lists(st.sampled_from(list(combinations(EXCHANGES, 2))), min_size=1, unique=True),
    st.floats(-50.0, 150.0),
)


class BruteForce:
    """All directions of a configuration as arrays, recomputed whole after every quote."""

    def __init__(self, market: MarketConfig, desk: Desk) -> None:
        fees = {each.key: each.taker_fee_bps / 1e4 for each in market.exchanges}
        self.legs = [(leg.exchange, leg.listing) for leg in desk.scanner.legs]
        self.columns = np.full((4, len(self.legs)), nan)  # bid, ask, bid size, ask size
        numbers = {(exchange, each.counts_as): n for n, (exchange, each) in enumerate(self.legs)}
        self.ways = [
            (pair.id, buy, numbers[buy, pair.symbol], numbers[sell, pair.symbol],
             (1 - fees[sell]) / (1 + fees[buy]))
            for pair in desk.scanner.pairs
            for one, two in [(pair.pair.exchange1, pair.pair.exchange2)]
            for buy, sell in ((two, one), (one, two))
        ]  # fmt: skip

    def see(self, leg: int, bid: float, ask: float, bid_size: float, ask_size: float) -> None:
        multiplier = self.legs[leg][1].multiplier
        self.columns[:, leg] = (
            bid / multiplier,
            ask / multiplier,
            bid_size * multiplier,
            ask_size * multiplier,
        )

    def edges_and_sizes(self) -> "tuple[np.ndarray, np.ndarray]":
        _, _, buy, sell, factor = zip(*self.ways, strict=True)
        bid, ask, bid_size, ask_size = self.columns
        buys, sells = list(buy), list(sell)
        edges = bid[sells] * np.array(factor) / ask[buys] * 1e4 - 1e4
        return edges, np.minimum(bid_size[sells], ask_size[buys]) * ask[buys]

    def reached(self, leg: int, trigger: float) -> set[tuple[str, str]]:
        """Directions through this leg whose edge is at the trigger; NaN is at none."""
        edges, _ = self.edges_and_sizes()
        return {
            (id, buy)
            for (id, buy, *ends, _), edge in zip(self.ways, edges, strict=True)
            if leg in ends and edge >= trigger + 1e-6
        }


@given(markets, steps)
@settings(max_examples=60, deadline=None)
def test_after_every_quote_all_pairs_are_as_if_computed_again(market: MarketConfig, quotes: Steps) -> None:
    desk = Desk(market)
    oracle = BruteForce(market, desk)
    trigger = market.filters[0].min_edge_bps or 0.0
    for n, (chosen, one, two, bid_size, ask_size) in enumerate(quotes if oracle.ways else ()):
        leg = chosen % len(oracle.legs)
        exchange, listed = oracle.legs[leg]
        # A thousand coins cost a thousand times as much.
        bid, ask = min(one, two) * listed.multiplier, max(one, two) * listed.multiplier
        oracle.see(leg, bid, ask, bid_size, ask_size)
        seen = desk.quote(exchange, listed.symbol, bid, ask, at_ms=n, sizes=(bid_size, ask_size))

        edges, executable = oracle.edges_and_sizes()
        held = [(each.edge_bps(), each.size()) for each in desk.scanner.directions]
        np.testing.assert_allclose([edge for edge, _ in held], edges, atol=1e-6)
        known = ~np.isnan(edges)
        np.testing.assert_allclose(np.array([size for _, size in held])[known], executable[known], rtol=1e-9)
        # Whatever the best prices of the symbol spared it, nothing that reaches a trigger is missed.
        judged = {(id, buy) for id, buy, *_ in seen}
        assert oracle.reached(leg, trigger) <= judged
        assert judged <= oracle.reached(leg, -inf), "only pairs the quote touches"


# --- only what a quote touches -------------------------------------------------------------------


def quoted(*symbols: str) -> Desk:
    """All symbols quoted everywhere at 100.00 / 100.02."""
    desk = Desk(config(everywhere(*symbols), ANY_EDGE))
    for symbol in symbols:
        for exchange in EXCHANGES:
            desk.quote(exchange, symbol, 100.0, 100.02)
    return desk


def test_a_quote_is_judged_on_the_pairs_of_its_instrument_both_ways_and_nowhere_else() -> None:
    desk = quoted(BTC, ETH)

    seen = desk.quote("okx", BTC, 100.0, 100.01, at_ms=1)

    pairs = [chart_id_of(BTC, one, two) for one, two in combinations(EXCHANGES, 2) if "okx" in (one, two)]
    ways = [(id, buy) for id in pairs for buy in parts_of(id)[1:]]
    assert sorted((id, buy) for id, buy, *_ in seen) == sorted(ways), "six of the market's 24 directions"


def test_a_market_without_an_edge_disturbs_nobody() -> None:
    desk = Desk(config(everywhere(BTC), FIVE_BPS))
    seen = [desk.quote(exchange, BTC, 100.0, 100.02) for exchange in EXCHANGES]
    assert seen == [[], [], [], []]

    (reached,) = desk.quote("okx", BTC, 100.4, 100.42, at_ms=1)[:1]

    assert reached[0] == f"{BTC}|binance|okx", "its bid is 18 bps above the others' asks, after both fees"
    assert reached[2] == pytest.approx((100.4 * 0.999) / (100.02 * 1.001) * 1e4 - 1e4)
    assert reached[3] == pytest.approx(100.02)


def test_what_runs_is_judged_at_every_quote_until_it_ended() -> None:
    desk = Desk(config(everywhere(BTC), FIVE_BPS, pairs=[("binance", "okx")]))
    desk.quote("binance", BTC, 100.0, 100.02)
    desk.quote("okx", BTC, 100.4, 100.42)

    closing = desk.quote("okx", BTC, 100.0, 100.02, at_ms=1)
    after = desk.quote("okx", BTC, 100.0, 100.02, at_ms=2)

    assert [buy for _, buy, *_ in closing] == ["binance"]
    assert after == []
    assert [each.phase for each in desk.scanner.lifecycle.take()] == ["open", "close"]


def test_a_shard_scans_the_symbols_it_owns_an_alias_by_what_it_counts_as() -> None:
    desk = Desk(config([]))
    market = config(
        [*everywhere(BTC), listing("okx", PEPE), listing("gate", "1000PEPE/USDT", counts_as=PEPE)]
    )

    desk.scanner.configure(market, lambda symbol: symbol == PEPE, 0, 0)

    assert [pair.id for pair in desk.scanner.pairs] == [f"{PEPE}|okx|gate"]
    assert {leg.listing.symbol for leg in desk.scanner.legs} == {PEPE, "1000PEPE/USDT"}


# --- quotes that are not taken as they are -------------------------------------------------------


def test_crossed_empty_and_late_quotes_change_nothing() -> None:
    desk = quoted(BTC)
    before = desk.edge(BTC, "okx", "gate")

    for bid, ask in ((101.0, 100.0), (0.0, 100.0), (nan, 100.0), (100.0, inf)):
        assert desk.quote("okx", BTC, bid, ask, at_ms=1) == []
    assert desk.quote("okx", BTC, 50.0, 50.1, at_ms=-1) == []

    assert desk.edge(BTC, "okx", "gate") == before
    assert desk.scanner.counters.scan_malformed == 4
    assert desk.scanner.counters.scan_ignored_old == 1


def test_a_jump_is_believed_when_the_next_quote_confirms_it() -> None:
    desk = Desk(config(everywhere(BTC), ANY_EDGE, gates=GateTerms(jump_pct=10.0)))
    (leg,) = [leg for leg in desk.scanner.legs if leg.exchange == "okx"]

    jumped = []
    for n, bid in enumerate((100.0, 109.0, 125.0, 124.0, 100.0, 125.0)):
        desk.quote("okx", BTC, bid, bid + 0.02, at_ms=n)
        jumped.append(leg.jumped)

    assert jumped == [False, False, True, False, True, True]
    assert desk.scanner.counters.jumps == 3


def test_a_leg_knows_its_usual_gap_whatever_interrupts_it() -> None:
    desk = Desk(config(everywhere(BTC)))
    (leg,) = [leg for leg in desk.scanner.legs if leg.exchange == "okx"]
    for at_ms in range(0, 20_000, 100):
        desk.quote("okx", BTC, 100.0, 100.02, at_ms=at_ms)

    desk.state("okx", "down", BTC, at_ms=20_000)
    desk.state("okx", "up", BTC, at_ms=80_000)
    desk.quote("okx", BTC, 100.0, 100.02, at_ms=80_000)

    assert leg.gap_ms == pytest.approx(100.0)


# --- connections ---------------------------------------------------------------------------------


def test_after_an_interruption_only_a_new_quote_counts() -> None:
    desk = quoted(BTC)

    desk.state("okx", "gap", BTC, "SOL/USDT", at_ms=1)
    assert isnan(desk.edge(BTC, "okx", "gate"))
    desk.quote("okx", BTC, 100.0, 100.02, at_ms=2)
    assert not isnan(desk.edge(BTC, "okx", "gate"))


def test_what_comes_while_a_stream_is_down_counts_once_it_is_up() -> None:
    desk = quoted(BTC)

    desk.state("okx", "down", BTC, at_ms=1)
    assert desk.quote("okx", BTC, 100.0, 100.02, at_ms=2) == []
    assert isnan(desk.edge(BTC, "okx", "gate"))
    desk.state("okx", "up", BTC, at_ms=3)
    assert not isnan(desk.edge(BTC, "okx", "gate"))


def test_an_episode_ends_when_its_connection_does() -> None:
    desk = Desk(config(everywhere(BTC), FIVE_BPS, pairs=[("binance", "okx")]))
    desk.quote("binance", BTC, 100.0, 100.02)
    desk.quote("okx", BTC, 100.4, 100.42)

    desk.state("okx", "down", BTC, at_ms=5)

    opened, closed = desk.scanner.lifecycle.take()
    assert (opened.phase, closed.phase) == ("open", "close")
    assert closed.reason == "okx: stream down: no frame"


def test_the_reason_calls_a_market_by_its_name() -> None:
    terms = config(everywhere(BTC), FIVE_BPS, pairs=[("binance", "okx")])
    named = tuple(msgspec.structs.replace(row, name=f"{row.key.title()} swap") for row in terms.exchanges)
    desk = Desk(msgspec.structs.replace(terms, exchanges=named))
    desk.quote("binance", BTC, 100.0, 100.02)
    desk.quote("okx", BTC, 100.4, 100.42)
    desk.state("okx", "down", BTC, at_ms=5)
    assert desk.scanner.lifecycle.take()[1].reason == "Okx swap: stream down: no frame"


def test_best_prices_of_a_leg_that_is_gone_hold_nothing_back() -> None:
    desk = Desk(config(everywhere(BTC), FIVE_BPS))
    for exchange, bid in zip(EXCHANGES, (100.0, 100.0, 90.0, 100.0), strict=True):
        desk.quote(exchange, BTC, bid, bid + 0.02)

    desk.state("okx", "down", BTC, at_ms=1)

    assert desk.quote("gate", BTC, 100.0, 100.02, at_ms=2) == [], "okx had the lowest ask"
    assert desk.quote("gate", BTC, 100.4, 100.42, at_ms=3) != []


# --- aliases and stablecoins ---------------------------------------------------------------------


def test_an_alias_is_compared_coin_by_coin() -> None:
    listed = [
        listing("binance", "1000PEPE/USDT", counts_as=PEPE, multiplier=1000.0),
        listing("okx", PEPE),
    ]
    desk = Desk(config(listed, FIVE_BPS))

    desk.quote("okx", PEPE, 0.00001, 0.0000101, sizes=(5e6, 7e6))
    (seen,) = desk.quote("binance", "1000PEPE/USDT", 0.0102, 0.0103, at_ms=1, sizes=(3e3, 2e3))

    assert seen[:2] == (f"{PEPE}|binance|okx", "okx")
    assert seen[2] == pytest.approx((0.0000102 * 0.999) / (0.0000101 * 1.001) * 1e4 - 1e4)
    assert seen[3] == pytest.approx(3e6 * 0.0000101), "three thousand times a thousand coins"


USDC_MARKET = [
    listing("binance", "BTC/USDC", counts_as=BTC),
    listing("okx", BTC),
    listing("gate", "USDC/USDT"),
]


def test_another_stablecoin_is_converted_by_what_it_costs_now() -> None:
    desk = Desk(config(USDC_MARKET, ANY_EDGE))
    desk.quote("okx", BTC, 100.0, 100.02)
    desk.quote("binance", "BTC/USDC", 100.0, 100.02)
    assert isnan(desk.edge(BTC, "okx", "binance")), "nobody said what a USDC is worth"

    desk.quote("gate", "USDC/USDT", 0.998, 1.0)
    desk.tick(at_ms=1_000)
    first = desk.edge(BTC, "okx", "binance")
    desk.quote("gate", "USDC/USDT", 1.008, 1.010, at_ms=1_500)
    desk.judged.clear()
    desk.tick(at_ms=2_000)

    assert first == pytest.approx((100.0 * 0.999 * 0.999) / (100.02 * 1.001) * 1e4 - 1e4)
    now = desk.edge(BTC, "okx", "binance")
    assert now == pytest.approx((100.0 * 1.009 * 0.999) / (100.02 * 1.001) * 1e4 - 1e4)
    assert now in [edge for _, _, edge, _ in desk.judged], "without a new quote"


def test_a_rate_that_another_shard_says_holds_for_ten_seconds() -> None:
    desk = Desk(config(USDC_MARKET[:2], ANY_EDGE))
    desk.quote("okx", BTC, 100.0, 100.02)
    desk.quote("binance", "BTC/USDC", 100.0, 100.02)
    noon_us = desk.scanner.legs[0].received_ts_us

    desk.scanner.rates.receive({"USDT/USDC": (1.25, noon_us)})
    desk.tick(at_ms=10_000)
    assert desk.edge(BTC, "okx", "binance") == pytest.approx((80.0 * 0.999) / (100.02 * 1.001) * 1e4 - 1e4)
    desk.tick(at_ms=11_001)
    assert isnan(desk.edge(BTC, "okx", "binance"))


# --- configuration -------------------------------------------------------------------------------


def test_legs_that_stay_keep_their_quotes() -> None:
    desk = quoted(BTC, ETH)
    edge = desk.edge(BTC, "okx", "gate")

    desk.configure(config(everywhere(BTC, "SOL/USDT"), ANY_EDGE), at_ms=1)

    assert desk.edge(BTC, "okx", "gate") == edge
    assert {pair.symbol for pair in desk.scanner.pairs} == {BTC, "SOL/USDT"}
    assert desk.quote("okx", ETH, 100.0, 100.02, at_ms=2) == []


def test_a_change_that_concerns_no_pair_touches_nothing() -> None:
    market = config(everywhere(BTC), FIVE_BPS)
    desk = Desk(market)
    directions = desk.scanner.directions

    charted = msgspec.structs.replace(
        market, revision=2, opportunities=(Opportunity(BTC, "okx", "gate", None),)
    )
    assert not desk.scanner.configure(charted, lambda symbol: True, 0, 0)
    assert desk.scanner.directions is directions
    fees = config(everywhere(BTC), FIVE_BPS, fees_bps=(0.0,) * 4)
    assert desk.scanner.configure(fees, lambda symbol: True, 0, 0)


def test_new_fees_count_at_once() -> None:
    desk = quoted(BTC)
    desk.configure(config(everywhere(BTC), ANY_EDGE, fees_bps=(0.0,) * 4), at_ms=1)
    assert desk.edge(BTC, "okx", "gate") == pytest.approx(100.0 / 100.02 * 1e4 - 1e4)


def test_an_episode_goes_on_through_a_change_that_does_not_concern_it() -> None:
    market = config(everywhere(BTC), FIVE_BPS, pairs=[("binance", "okx")])
    desk = Desk(market)
    desk.quote("binance", BTC, 100.0, 100.02)
    desk.quote("okx", BTC, 100.4, 100.42)

    desk.configure(config(everywhere(BTC, ETH), FIVE_BPS, pairs=[("binance", "okx")]), at_ms=5)
    desk.quote("okx", BTC, 100.0, 100.02, at_ms=9)

    opened, closed = desk.scanner.lifecycle.take()
    assert (opened.id, closed.reason) == (closed.id, "edge fell below 5.0 bps")
