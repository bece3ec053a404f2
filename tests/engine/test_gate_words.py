"""One direction judged: whose limit counts, and what each verdict says."""

from typing import Any

import pytest
from msgspec import structs

from engine.gates import checks as gates
from engine.gates import freshness
from engine.gates.checks import Evidence, Facts, Gate, LegSeen, Seen
from engine.scan.identity import FAIL, PASS, UNKNOWN
from engine.scan.legs import Leg
from markets.config import FilterConfig, MarketConfig, PairConfig
from markets.selection import scan_pairs
from tests.support.gate_market import FOLLOWS, NOTHING, config, listing

UNDECIDED = Evidence(UNKNOWN, NOTHING, NOTHING)
SAME = Evidence(PASS, 1.0, NOTHING)


def seen(market: MarketConfig, **more: Any) -> Seen:
    """Buying on binance and selling on okx, both quoted just now."""
    pair = next(each for each in scan_pairs(market) if each.pair.exchange2 == "okx")
    sides: list[LegSeen] = []
    for row in (pair.listing1, pair.listing2):
        leg = Leg(row)
        leg.up, leg.quotes, leg.bid, leg.ask, leg.scale, leg.worth = True, 2, 100.0, 100.1, 1.0, 1.0
        sides.append(LegSeen(leg, freshness.LIVE, 10.0))
    values: dict[str, Any] = {"size": 1000.0, "identity": SAME} | more
    buy, sell = sides
    return Seen(pair, buy, sell, **values)


def judged(
    now: Seen, market: MarketConfig | None = None, follows: FilterConfig | None = None
) -> dict[str, Gate]:
    return {gate.name: gate for gate in gates.judge(Facts(market or config()), now, follows)}


def aged(now: Seen, age_ms: float) -> Seen:
    return structs.replace(now, sell=structs.replace(now.sell, age_ms=age_ms))


def paired(max_age_ms: int | None) -> MarketConfig:
    return config(pairs=(PairConfig("binance", "okx", None, max_age_ms=max_age_ms),))


@pytest.mark.parametrize(
    ("of_filter", "of_pair", "limit_ms"),
    [(500, 2000, 500), (None, 2000, 2000), (0, 2000, 0), (None, 0, 0), (None, None, 60_000.0)],
)
def test_the_filters_age_limit_goes_before_the_pairs_and_zero_is_a_limit(
    of_filter: float | None, of_pair: int | None, limit_ms: float
) -> None:
    market = paired(of_pair)
    follows = structs.replace(FOLLOWS, max_age_ms=of_filter)
    terms = market.gates
    limit_ms = terms.max_age_ms if of_filter is None and of_pair is None else limit_ms
    now = aged(seen(market), limit_ms)
    now = structs.replace(now, buy=structs.replace(now.buy, age_ms=0.0))
    assert judged(now, market, follows)["freshness"].verdict == "pass"
    assert judged(aged(now, limit_ms + 1), market, follows)["freshness"].verdict == "fail"


def test_words_say_which_of_the_two_makes_a_leg_doubtful() -> None:
    market = paired(60_000)
    old = aged(seen(market), 61_000.0)
    assert "61 s is over the limit of 60 s" in judged(old, market)["freshness"].words
    left = aged(seen(market, edge_bps=10.0), 5_000.0)
    left = structs.replace(left, sell=structs.replace(left.sell, moved_bps=12.0))
    gate = judged(left, market)["freshness"]
    assert gate.verdict == "fail"
    assert "moved 12.0 bps since its last quote, more than the edge of 10.0 bps" in gate.words


@pytest.mark.parametrize(
    ("up", "age_ms", "words"),
    [
        (False, NOTHING, "no stream"),
        (True, NOTHING, "no quote has arrived yet"),
        (True, 10.0, "no quote since its stream broke"),
    ],
)
def test_a_leg_that_is_down_without_a_reason_says_what_is_missing(
    up: bool, age_ms: float, words: str
) -> None:
    now = seen(config())
    now.sell.leg.up = up
    now = structs.replace(now, sell=structs.replace(now.sell, state=freshness.DOWN, age_ms=age_ms))
    assert words in judged(now)["freshness"].words


def test_a_rhythm_that_is_not_known_is_no_gap() -> None:
    now = seen(config())
    now.buy.leg.gap_ms, now.sell.leg.gap_ms = NOTHING, 0.0
    words = judged(now)["freshness"].words
    assert "binance is live: last quote 10 ms ago, usual gap not known yet" in words
    assert "okx is live: last quote 10 ms ago, usual gap 0 ms" in words


def test_a_filters_own_limit_of_an_unproven_edge_counts_and_zero_is_one() -> None:
    now = seen(config(), edge_bps=50.0)
    assert judged(now)["identity"].verdict == "pass"
    for most_bps, verdict in ((40.0, "unknown"), (0.0, "unknown"), (50.0, "pass")):
        follows = structs.replace(FOLLOWS, max_unproven_edge_bps=most_bps)
        assert judged(now, follows=follows)["identity"].verdict == verdict
    words = judged(now, follows=structs.replace(FOLLOWS, max_unproven_edge_bps=40.0))["identity"].words
    assert "the edge is 50.0 bps, over the limit of 40 bps" in words


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (Evidence(PASS, 1.0, 0.0, proven=True), "proven by moves that agree; price ratio 1.0000"),
        (SAME, "nothing speaks against the same coin"),
        (UNDECIDED, "not compared yet"),
        (Evidence(UNKNOWN, 0.98, NOTHING), "are 2.0 % apart"),
        (Evidence(UNKNOWN, 1.005, NOTHING), "0.5 % apart and were further apart before;"),
        (Evidence(UNKNOWN, 1.2, NOTHING), "20.0 % apart; they must meet again"),
        (Evidence(UNKNOWN, 1.2, NOTHING, decided="quarantined"), "in quarantine"),
        (Evidence(FAIL, 1.2, NOTHING), "in quarantine"),
        (Evidence(FAIL, 1.2, NOTHING, decided="different"), "an operator decided"),
        (Evidence(PASS, 1.2, NOTHING, decided="confirmed", fund="BTC"), "confirmed by an operator"),
        (Evidence(FAIL, 1.2, NOTHING, fund="BTC"), "a fund token that follows BTC"),
        (Evidence(FAIL, 1.2, NOTHING, decided="quarantined", fund="BTC"), "in quarantine"),
    ],
)
def test_what_is_known_of_the_coins_is_said(evidence: Evidence, words: str) -> None:
    assert words in judged(seen(config(), identity=evidence))["identity"].words


def test_a_correlation_of_nothing_is_a_correlation() -> None:
    gate = judged(seen(config(), identity=Evidence(PASS, 1.0, 0.0)))["identity"]
    assert gate.value.endswith("correlation 0.00")
    assert "correlation" not in judged(seen(config()))["identity"].value


@pytest.mark.parametrize(("ratio", "says"), [(1.001, False), (1.5, True)])
def test_coins_far_apart_must_meet_before_moves_count(ratio: float, says: bool) -> None:
    words = judged(seen(config(), identity=Evidence(UNKNOWN, ratio, NOTHING)))["identity"].words
    assert ("meet again" in words) is says


def test_a_size_is_measured_by_what_the_bought_legs_currency_is_worth() -> None:
    market = config(gates=structs.replace(config().gates, min_size=1000.0))
    now = seen(market, size=1500.0)
    now.buy.leg.worth, now.sell.leg.worth = 0.5, 1.0
    assert judged(now, market)["size"].verdict == "fail"
    now.buy.leg.worth, now.sell.leg.worth = 1.0, 0.5
    assert judged(now, market)["size"].verdict == "pass"


def test_without_a_minimum_a_size_needs_no_worth_and_nothing_is_a_size() -> None:
    market = config(gates=structs.replace(config().gates, min_size=0.0))
    now = seen(market, size=0.0)
    now.buy.leg.worth = NOTHING
    gate = judged(now, market)["size"]
    assert (gate.verdict, gate.value) == ("pass", "0.00 USDT")
    assert judged(seen(market, size=NOTHING), market)["size"].value == "unknown"


def test_facts_say_what_the_exchange_calls_it_where_fees_come_from_and_a_volume_of_nothing() -> None:
    rows = (listing("binance", status="TRADING", volume=0.0), listing("okx", volume=None))
    market = config(*rows)
    found = judged(seen(market), market)
    assert found["status"].words == "both exchanges trade it: binance says “TRADING”"
    assert "binance 0.00 USDT" in found["volume"].value
    assert "okx unknown" in found["volume"].value
    assert found["volume"].threshold == "any volume"


def test_two_markets_of_one_coin_on_one_exchange_keep_facts_of_their_own() -> None:
    one, other = listing("binance"), listing("binance", "BTC/USDC", counts_as="BTC/USDT", active=False)
    market = config(one, other, listing("okx"))
    facts, pair = Facts(market), next(each for each in scan_pairs(market) if each.pair.exchange2 == "okx")
    found = [facts.beforehand(pair, row, listing("okx")) for row in (one, other)]
    assert [gates.verdict_of(bits, "status") for bits in found] == ["pass", "fail"]


def test_sanity_takes_a_book_without_a_spread_and_refuses_a_price_of_nothing() -> None:
    now = seen(config())
    now.sell.leg.bid = now.sell.leg.ask = 100.0
    assert judged(now)["sanity"].words == "both quotes are in order"
    now.sell.leg.bid = 0.0
    assert "okx quotes bid 0 and ask 100 USDT: crossed or zero" in judged(now)["sanity"].words
