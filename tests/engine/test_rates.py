"""Worth of a stablecoin: it ages like a leg, and an old rate, or one of a broken line, is none."""

from math import isnan

import pytest
from msgspec import structs

from engine.charts.spread import SpreadEngine
from engine.gates import checks as gates
from engine.gates.checks import Evidence, Facts, LegSeen, Seen
from engine.scan.identity import PASS
from history.replay.engine import Replay
from markets.config import FeeRule, FilterConfig, GateTerms, MarketConfig, Opportunity
from markets.events import Quote, StreamState
from tests.support.scan.market import BOOT_NS, MS, NOON_US, Desk, config, listing

BTC, USDC = "BTC/USDT", "USDC/USDT"
FOLLOWS = FilterConfig(1, "all", min_edge_bps=5.0, close_edge_bps=2.0)
HOUR_S = 3_600


def configured(**terms: float) -> MarketConfig:
    """BTC in USDC on one exchange, in USDT on another; two more say what a USDC is worth."""
    return config(
        [
            listing("binance", "BTC/USDC", counts_as=BTC), listing("okx", BTC),
            listing("gate", USDC), listing("bybit", USDC),
        ],
        FOLLOWS,
        gates=GateTerms(min_size=0.0, **terms),
    )  # fmt: skip


class Market(Desk):
    """Times are seconds since the start."""

    def btc(self, at_s: float, usdc: float = 100.0, usdt: float = 100.0) -> None:
        for exchange, symbol, mid in (("binance", "BTC/USDC", usdc), ("okx", BTC, usdt)):
            self.quote(exchange, symbol, mid * 0.9999, mid * 1.0001, at_ms=at_s * 1000)

    def rate(self, at_s: float, mid: float, exchange: str = "gate") -> None:
        self.quote(exchange, USDC, mid * 0.9999, mid * 1.0001, at_ms=at_s * 1000)

    def worth(self, at_s: float) -> float:
        self.tick(at_s * 1000)
        return self.scanner.rates.current["USDC", "USDT"]

    def opened(self) -> list[float]:
        return [each.opened.edge_bps for each in self.scanner.lifecycle.take() if each.phase == "open"]


def test_a_rate_quoted_once_is_none_six_hours_later_and_makes_no_edge() -> None:
    market = Market(configured())
    market.rate(0, 0.985)  # and then it is worth a dollar again, and nobody says so
    market.btc(0, 100.0, 98.5)
    assert market.worth(1) == pytest.approx(0.985)
    for second in range(0, 6 * HOUR_S, 30):
        market.btc(second + 1, 100.0, 98.5)
        market.tick((second + 1) * 1000)
    market.btc(6 * HOUR_S, 100.0, 100.0)
    assert isnan(market.worth(6 * HOUR_S + 1))
    assert market.opened() == []


@pytest.mark.parametrize(("age_s", "known"), [(1, True), (60, True), (61, False), (900, False)])
def test_a_rate_is_known_for_as_long_as_a_leg_may_be_old(age_s: int, known: bool) -> None:
    market = Market(configured())
    market.rate(0, 0.999)
    assert isnan(market.worth(age_s)) is not known


def test_the_limit_is_the_gates() -> None:
    market = Market(configured(max_age_ms=5_000.0))
    market.rate(0, 0.999)
    assert market.worth(4) == pytest.approx(0.999)
    assert isnan(market.worth(6))


def test_of_several_exchanges_only_those_that_still_quote_count() -> None:
    market = Market(configured())
    market.rate(0, 0.95, "bybit")
    market.rate(0, 1.0, "gate")
    assert market.worth(1) == pytest.approx(0.975), "the middle of both"
    market.rate(50, 1.0, "gate")
    assert market.worth(62) == pytest.approx(1.0), "one is silent for a minute"
    assert market.scanner.rates.quoted()[USDC][1] == 12_000


@pytest.mark.parametrize("state", ["down", "gap"])
def test_an_interrupted_line_says_no_rate_at_once(state: str) -> None:
    market = Market(configured())
    market.rate(0, 0.999)
    market.btc(0)
    market.worth(1)
    market.state("gate", state, USDC, at_ms=1_200)
    assert isnan(market.scanner.rates.current["USDC", "USDT"])
    assert isnan(market.edge(BTC, "okx", "binance"))


def test_an_opportunity_ends_when_its_rate_gets_old() -> None:
    market = Market(configured())
    market.rate(0, 1.0)
    for second in range(90):
        market.btc(second, 100.6, 100.0)
        market.tick(second * 1000 + 500)
    (closed,) = [each for each in market.scanner.lifecycle.take() if each.phase == "close"]
    assert closed.closed_us is not None
    assert 60 <= (closed.closed_us - NOON_US) / 1e6 <= 62


def test_what_another_shard_says_from_the_future_is_not_believed_for_ever() -> None:
    market = Market(configured())
    market.scanner.rates.receive({USDC: (0.99, NOON_US + HOUR_S * 1_000_000)})
    assert isnan(market.worth(1))


@pytest.mark.parametrize(("later_s", "known"), [(1, True), (10, True), (11.1, False), (3600, False)])
def test_what_another_shard_said_ages_from_when_it_was_first_seen(later_s: float, known: bool) -> None:
    market = Market(configured())
    market.scanner.rates.receive({USDC: (0.99, NOON_US)})
    assert market.worth(0) == pytest.approx(0.99)
    assert isnan(market.worth(later_s)) is not known


def test_a_chart_names_the_rate_it_waits_for() -> None:
    charted = structs.replace(configured(), opportunities=(Opportunity(BTC, "binance", "okx", None, (1,)),))
    market, engine = Market(charted), SpreadEngine()
    engine.configure(charted)
    market.rate(0, 1.0)
    for at_s in (2, 70):
        market.tick(at_s * 1000)
        engine.set_rates(market.scanner.rates.current)
        now = NOON_US + at_s * 1_000_000, BOOT_NS + at_s * 1_000 * MS
        for exchange, symbol in (("binance", "BTC/USDC"), ("okx", BTC)):
            engine.on_quote(Quote(exchange, symbol, 100.0, 1.0, 100.1, 1.0, None, *now))
        engine.expire(now[1], now[0])
        (delta,) = engine.collect()
        waits = at_s > 60
        assert (delta.state, "waiting for the rate of USDC in USDT" in delta.reason) == (
            ("stale", True) if waits else ("live", False)
        )


def test_a_replay_forgets_a_rate_as_live_does() -> None:
    events: list[Quote | StreamState] = [_at("gate", USDC, 1.0, 0)]
    for second in range(1, 120):
        events += [_at("binance", "BTC/USDC", 100.0, second), _at("okx", BTC, 100.6, second)]
    market = configured()
    cases = tuple(market.identities)
    replay = Replay(structs.replace(market, identities=cases), [BTC])
    found = [event for each in replay.run(events, NOON_US + 120_000_000) for event in each.events]
    assert [event.event for event in found] == ["open", "close"]
    assert 60 <= (found[1].ts_us - NOON_US) / 1e6 <= 73, "what was said holds for ten seconds at most"


def _at(exchange: str, symbol: str, mid: float, second: int) -> Quote:
    now = NOON_US + second * 1_000_000, BOOT_NS + second * 1_000 * MS
    return Quote(exchange, symbol, mid * 0.9999, 1.0, mid * 1.0001, 1.0, None, *now)


@pytest.mark.parametrize(
    ("rate", "ages", "verdict", "words"),
    [
        (0.9991, {USDC: 1_200.0}, "pass", "1 USDC = 0.9991 USDT, quoted 1.2 s ago"),
        (float("nan"), {USDC: 6.0 * HOUR_S * 1e3}, "unknown", "1 USDC in USDT is unknown, quoted 6 h ago"),
        (float("nan"), {}, "unknown", "1 USDC in USDT is unknown, never quoted"),
    ],
)
def test_the_gate_says_value_age_limit_and_what_converting_costs(
    rate: float, ages: dict[str, float], verdict: str, words: str
) -> None:
    market = Market(configured())
    market.btc(0)
    way = market.scanner.directions[0]
    for leg in (way.buy, way.sell):
        leg.scale = rate if leg.exchange == "binance" else 1.0
    legs = LegSeen(way.buy, 0, 0.0), LegSeen(way.sell, 0, 0.0)
    seen = Seen(way.pair, *legs, 100.0, Evidence(PASS, 1.0, 1.0), 10.0, ages)
    gate = next(each for each in gates.judge(Facts(configured()), seen) if each.name == "rate")
    assert gate.verdict == verdict
    assert words in gate.words
    assert "leaves out what converting costs: 10 bps of taker fee on binance and half a spread" in gate.words
    assert "no older than 60 s" in gate.threshold


def test_what_converting_costs_is_the_fee_of_the_market_that_converts() -> None:
    """Binance takes nothing for USDC/USDT, and 10 bps for everything else."""
    market = structs.replace(configured(), fee_rules=(FeeRule("binance", USDC, 0.0, 0.0, "a promotion"),))
    desk = Market(market)
    desk.rate(0, 1.0)
    desk.btc(0)
    way = next(each for each in desk.scanner.directions if each.buy.exchange == "binance")
    sides = LegSeen(way.buy, 0, 0), LegSeen(way.sell, 0, 0)
    seen = Seen(way.pair, *sides, 100.0, Evidence(PASS, 1.0, 0.9), 50.0, {USDC: 100.0})
    (gate,) = [each for each in gates.judge(Facts(market), seen) if each.name == "rate"]
    assert "leaves out what converting costs: 0 bps of taker fee on binance and half a spread" in gate.words


# --- a chain of two -------------------------------------------------------------------------------

TUSD = ("TUSD", "USDT")


def chained(*more: str, gates: GateTerms | None = None) -> MarketConfig:
    """BTC in TUSD on one exchange, in USDT on another; TUSD is quoted in USDC, or in what is `more`."""
    return config(
        [
            listing("binance", "BTC/TUSD", counts_as=BTC), listing("okx", BTC),
            listing("gate", "TUSD/USDC"), listing("bybit", USDC), *(listing("gate", name) for name in more),
        ],
        FOLLOWS,
        gates=gates or GateTerms(min_size=0.0),
    )  # fmt: skip


class TestChain:
    def worth(self, market: Market, at_s: float) -> float:
        market.tick(at_s * 1000)
        return market.scanner.rates.current[TUSD]

    def say(self, market: Market, symbol: str, mid: float, at_s: float, exchange: str = "gate") -> None:
        market.quote(exchange, symbol, mid * 0.9999, mid * 1.0001, at_ms=at_s * 1000)

    def test_two_rates_make_one_either_way_round(self) -> None:
        market = Market(chained())
        self.say(market, "TUSD/USDC", 0.98, 0)
        assert isnan(self.worth(market, 1)), "half a chain is none"
        self.say(market, USDC, 1.01, 2, "bybit")
        assert self.worth(market, 3) == pytest.approx(0.98 * 1.01)
        other = Market(chained("FDUSD/TUSD", "FDUSD/USDT"))
        self.say(other, "FDUSD/TUSD", 1.25, 0)
        self.say(other, "FDUSD/USDT", 1.2, 0)
        assert self.worth(other, 1) == pytest.approx(1.2 / 1.25)

    @pytest.mark.parametrize(("older_s", "newer_s", "known"), [(0, 50, True), (0, 62, False), (40, 62, True)])
    def test_it_is_as_old_as_the_older(self, older_s: int, newer_s: int, known: bool) -> None:
        for first, second in (("TUSD/USDC", USDC), (USDC, "TUSD/USDC")):
            market = Market(chained())
            for symbol, at_s in ((first, older_s), (second, newer_s)):
                self.say(market, symbol, 1.0, at_s, "bybit" if symbol == USDC else "gate")
            assert isnan(self.worth(market, newer_s + 1)) is not known

    def test_its_own_rate_goes_first_and_the_chain_helps_out(self) -> None:
        market = Market(chained("TUSD/USDT"))
        self.say(market, "TUSD/USDT", 0.9, 0)
        self.say(market, "TUSD/USDC", 0.98, 0)
        self.say(market, USDC, 1.0, 0, "bybit")
        assert self.worth(market, 1) == pytest.approx(0.9)
        self.say(market, "TUSD/USDC", 0.98, 50)
        self.say(market, USDC, 1.0, 50, "bybit")
        assert self.worth(market, 70) == pytest.approx(0.98)

    def test_a_chain_of_three_is_none_nor_one_over_a_coin_that_is_compared(self) -> None:
        market = Market(chained("TUSD/DAI", "DAI/USD", "USD/USDT", "BTC/TUSD2"))
        for symbol in ("TUSD/DAI", "DAI/USD", "USD/USDT"):
            self.say(market, symbol, 1.0, 0)
        assert isnan(self.worth(market, 1))

    def test_what_another_shard_says_is_half_of_it(self) -> None:
        market = Market(chained())
        self.say(market, "TUSD/USDC", 0.98, 0)
        market.scanner.rates.receive({USDC: (1.02, NOON_US + 500_000)})
        assert self.worth(market, 1) == pytest.approx(0.98 * 1.02)

    def test_an_interrupted_half_ends_it_at_once(self) -> None:
        market = Market(chained())
        self.say(market, "TUSD/USDC", 1.0, 0)
        self.say(market, USDC, 1.0, 0, "bybit")
        assert self.worth(market, 1) == 1.0
        market.state("bybit", "down", USDC, at_ms=1_500)
        assert isnan(market.scanner.rates.current[TUSD])

    def test_sizes_are_worth_what_a_chain_says(self) -> None:
        market = Market(config(
            [listing("okx", "ABC/BRL"), listing("gate", "ABC/BRL"), listing("gate", "USDC/BRL"),
             listing("bybit", USDC)],
            FOLLOWS, gates=GateTerms(min_size=0.0),
        ))  # fmt: skip
        self.say(market, "USDC/BRL", 5.0, 0)
        self.say(market, USDC, 1.0, 0, "bybit")
        market.tick(1_000)
        assert market.scanner.rates.worths["BRL"] == pytest.approx(0.2)

    def test_the_words_name_the_way_the_older_age_and_both_costs(self) -> None:
        market = Market(chained())
        self.say(market, "TUSD/USDC", 1.0, 0)
        self.say(market, USDC, 1.0, 0, "bybit")
        market.btc(0)
        market.quote("binance", "BTC/TUSD", 99.9, 100.1, at_ms=500)
        market.tick(1_000)
        words = rate_words(market, {"TUSD/USDC": 21_000.0, USDC: 900.0})
        assert "1 TUSD = 1.0000 USDT, quoted by way of USDC 21.0 s ago" in words
        assert "costs: 10 bps for TUSD/USDC and 10 bps for USDC/USDT of taker fees on binance and" in words
        assert "half a spread of each" in words
        assert "never quoted" in rate_words(market, {"TUSD/USDC": 21_000.0})

    def test_a_replay_takes_it_as_live_does(self) -> None:
        events: list[Quote | StreamState] = []
        for second in range(40):
            events += [_at("gate", "TUSD/USDC", 1.0, second), _at("bybit", USDC, 1.0, second)]
            events += [_at("binance", "BTC/TUSD", 100.0, second), _at("okx", BTC, 100.6, second)]
        replay = Replay(chained(), [BTC])
        assert {"TUSD/USDC", USDC} <= replay.reads
        found = [event for each in replay.run(events, NOON_US + 40_000_000) for event in each.events]
        assert [event.event for event in found] == ["open"]


def rate_words(market: Market, ages: dict[str, float]) -> str:
    """Answer of the gate for BTC bought for TUSD."""
    way = next(each for each in market.scanner.directions if each.buy.exchange == "binance")
    sides = LegSeen(way.buy, 0, 0.0), LegSeen(way.sell, 0, 0.0)
    seen = Seen(way.pair, *sides, 100.0, Evidence(PASS, 1.0, 1.0), 10.0, ages)
    return next(each for each in gates.judge(Facts(chained()), seen) if each.name == "rate").words
