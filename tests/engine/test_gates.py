"""The gates: what each says, what blocks, and that a table of all pairs and one pair alone agree."""

import re
from collections.abc import Iterator
from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from engine.gates import checks as gates
from engine.gates import freshness
from engine.gates.checks import GATES, Evidence, Facts, Gate, LegSeen, Seen
from engine.gates.gatekeeper import Gatekeeper
from engine.scan.directions import Direction
from engine.scan.identity import FAIL, PASS
from markets.config import ExchangeConfig, FilterConfig, IdentityConfig, MarketConfig, NetworkConfig
from tests.support.gate_market import EXCHANGES, FOLLOWS, NOTHING, Floor, config, listing, with_terms

OPEN = NetworkConfig("ERC20", deposit=True, withdraw=True)
NO_WITHDRAWAL = NetworkConfig("ERC20", deposit=True, withdraw=False)
NO_DEPOSIT = NetworkConfig("ERC20", deposit=False, withdraw=True)
UNSAID = NetworkConfig("ERC20", deposit=None, withdraw=None)
ONLY_OPEN = structs.replace(FOLLOWS, wallets_open=True)


class Desk(Floor):
    """A quoted floor with its gatekeeper; asks about buying on binance and selling on okx."""

    def __init__(self, configured: MarketConfig) -> None:
        super().__init__(configured)
        self.quote_all()
        self.gatekeeper = Gatekeeper()
        self.gatekeeper.configure(configured, self.directions, self.legs.values())

    def blocked(self, follows: FilterConfig = FOLLOWS, way: Direction | None = None) -> str:
        return self.gatekeeper.blocked(way or self.way("binance", "okx"), follows, self.now_ns)

    def judged(self, way: Direction | None = None, size: float | None = None) -> dict[str, Gate]:
        """The gates in words, by name."""
        facts = Facts(self.config)
        return {gate.name: gate for gate in gates.judge(facts, self.seen(way, size))}

    def seen(self, way: Direction | None = None, size: float | None = None) -> Seen:
        way = way or self.way("binance", "okx")
        code = self.gatekeeper.identity.verdict(way.index)
        evidence = Evidence(code, float(self.gatekeeper.identity.ratio[way.index]), NOTHING)
        buy, sell = self._leg_seen(way.buy), self._leg_seen(way.sell)
        return Seen(way.pair, buy, sell, way.size() if size is None else size, evidence)

    def _leg_seen(self, leg: Any) -> LegSeen:
        terms = self.config.gates
        talkers = freshness.talkers(leg.siblings, leg, self.now_ns, terms)
        state = self.gatekeeper.state(leg, self.now_ns)
        return LegSeen(leg, state, freshness.age_ms(leg, self.now_ns), talkers)


def changed(exchange: str, **fields: Any) -> MarketConfig:
    """The market with BTC/USDT listed otherwise on one exchange."""
    return config(*(listing(key, **(fields if key == exchange else {})) for key in EXCHANGES))


def wallets(buy: tuple[NetworkConfig, ...], sell: tuple[NetworkConfig, ...]) -> MarketConfig:
    return config(wallets={("binance", "BTC"): buy, ("okx", "BTC"): sell})


def test_every_gate_is_listed_in_their_order_and_all_pass_but_unknown_wallets() -> None:
    desk = Desk(config())
    judged = desk.judged()
    assert tuple(judged) == GATES
    assert [name for name, gate in judged.items() if gate.verdict != "pass"] == ["wallets"]
    assert judged["wallets"].verdict == "unknown"
    assert desk.blocked() == ""


UNITS = {"ms", "s", "min", "h", "%", "bps", "times", "usual gaps", "other quotes", "others quote"}
BARE = re.compile(r"price ratio [\d.]+|correlation (?:at least )?-?[\d.]+|0 < bid|bid [\d.]+ and|VIP 1|ERC20")
"""Figures that need no unit of their own, and names that hold digits."""


def without_unit(text: str) -> list[str]:
    units = "|".join(sorted(UNITS, key=len, reverse=True))
    return re.findall(rf"\d[\d.,]*(?![\d.,]| (?:{units}|[A-Z]{{3,}})(?:\W|$))", BARE.sub("", text))


def every_gate_of(desk: Desk) -> list[Gate]:
    found = [gate for way in (None, desk.way("okx", "binance")) for gate in desk.judged(way).values()]
    return found + list(desk.judged(size=NOTHING).values())


def troubled() -> Iterator[Desk]:
    """Desks on which every gate fails or is unknown once, in each of its ways."""
    yield Desk(config())
    yield Desk(changed("okx", active=False, status="suspend", volume=None))
    yield Desk(with_terms(changed("okx", volume=999.0), min_volume=1_000.0))
    for buy, sell in (
        ((OPEN,), (OPEN,)),
        ((NO_WITHDRAWAL,), ()),
        ((UNSAID,), (OPEN,)),
        ((OPEN,), (NO_DEPOSIT,)),
    ):
        yield Desk(wallets(buy, sell))
    for bid, up, jumped, age_ms in (
        (101.0, True, False, 50), (0.0, True, False, 50), (NOTHING, False, False, 50),
        (100.0, True, True, 50), (100.0, True, False, 9_400), (100.0, True, False, 75_000),
    ):  # fmt: skip
        desk = Desk(config())
        leg = desk.leg("okx")
        desk.quote(leg, age_ms=age_ms, gap_ms=150)
        leg.bid, leg.up, leg.jumped = bid, up, jumped
        yield desk


@pytest.mark.parametrize("desk", list(troubled()))
def test_every_sentence_says_what_was_measured_then_what_is_wanted_and_each_figure_has_its_unit(
    desk: Desk,
) -> None:
    for gate in every_gate_of(desk):
        assert gate.sentence == f"{gate.words} (wanted: {gate.threshold})"
        for text in (gate.words, gate.threshold):
            assert text == text.strip(" .:;,") != "", gate
            assert not re.search(r"[:;,] ?[:;,]|\bnan\b|\binf\b|  ", text), gate
            assert without_unit(text) == [], gate
        assert gate.threshold not in gate.words


# --- freshness -----------------------------------------------------------------------------------


def test_freshness_names_each_leg_with_its_rhythm_and_its_neighbours() -> None:
    desk = Desk(config())
    desk.quote(desk.leg("binance"), age_ms=87, gap_ms=120)
    desk.quote(desk.leg("okx"), age_ms=9_400, gap_ms=150)
    gate = desk.judged()["freshness"]
    assert gate.words == (
        "binance is live: last quote 87 ms ago, usual gap 120 ms; "
        "okx is silent: last quote 9.4 s ago, usual gap 150 ms, while 2 others quote"
    )
    assert gate.verdict == "fail"
    assert desk.blocked() == "freshness: Okx is silent"


def test_quiet_legs_pass() -> None:
    desk = Desk(config())
    for leg in desk.legs.values():
        desk.quote(leg, age_ms=9_400, gap_ms=150)
    assert desk.judged()["freshness"].verdict == "pass"
    assert "others are as quiet" in desk.judged()["freshness"].words


def test_a_leg_that_is_down_says_why_and_leaves_its_sanity_unknown() -> None:
    desk = Desk(config())
    leg = desk.leg("okx")
    leg.up, leg.reason, leg.bid = False, "no frame for 20 s", NOTHING
    judged = desk.judged()
    assert "okx is down: no frame for 20 s" in judged["freshness"].words
    assert judged["sanity"].verdict == "unknown"
    assert desk.blocked() == "freshness: Okx is down"


# --- what the configuration knows ----------------------------------------------------------------


def test_an_instrument_that_one_exchange_does_not_trade_fails_with_its_own_word() -> None:
    desk = Desk(changed("okx", active=False, status="suspend"))
    gate = desk.judged()["status"]
    assert (gate.verdict, gate.words) == ("fail", "okx does not trade it now: okx says “suspend”")
    assert desk.blocked().startswith("status: ")


def test_a_tier_without_a_schedule_for_today_leaves_fees_unknown_and_that_fails() -> None:
    exchanges = tuple(
        ExchangeConfig(
            key, key, True, 10, 10, "", "", key != "okx", "no schedule of tier VIP 1 is valid today"
        )
        for key in EXCHANGES
    )
    desk = Desk(config(exchanges=exchanges))
    gate = desk.judged()["fees"]
    assert gate.verdict == "fail"
    assert gate.words == "okx 10 bps is a guess: no schedule of tier VIP 1 is valid today"
    assert desk.blocked().startswith("fees: ")
    assert desk.blocked(way=desk.way("binance", "bybit")) == ""


@pytest.mark.parametrize(
    ("volume", "least", "verdict"),
    [
        (1_000.0, 0.0, "pass"),
        (None, 0.0, "pass"),
        (1_000.0, 1_000.0, "pass"),
        (999.0, 1_000.0, "fail"),
        (None, 1_000.0, "unknown"),
    ],
)
def test_volume_is_asked_of_both_and_an_unknown_one_does_not_pass(
    volume: float | None, least: float, verdict: str
) -> None:
    desk = Desk(with_terms(changed("okx", volume=volume), min_volume=least))
    assert desk.judged()["volume"].verdict == verdict
    assert desk.blocked() == ("" if verdict == "pass" else "volume: the 24 h volume is too low or unknown")


# --- wallets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("buy", "sell", "verdict", "words"),
    [
        ((OPEN,), (OPEN,), "pass", "ERC20 is open from binance to okx"),
        ((NO_DEPOSIT,), (NO_WITHDRAWAL,), "pass", "ERC20 is open from binance to okx"),
        ((NO_WITHDRAWAL,), (OPEN,), "fail", "binance pays out no BTC"),
        ((OPEN,), (NO_DEPOSIT,), "fail", "okx accepts no BTC"),
        ((OPEN,), (), "unknown", "okx does not report whether BTC can be moved"),
        ((UNSAID,), (OPEN,), "unknown", "binance withdrawals not reported"),
        ((NO_WITHDRAWAL,), (), "fail", "binance pays out no BTC"),
        ((NetworkConfig("TRC20", True, True),), (OPEN,), "unknown", "no network has the same name on both"),
        ((NO_WITHDRAWAL, NetworkConfig("TRC20", True, True)), (OPEN,), "fail", "withdrawals closed"),
    ],
)
def test_wallets_want_withdrawals_where_it_is_bought_and_deposits_where_it_is_sold(
    buy: tuple[NetworkConfig, ...], sell: tuple[NetworkConfig, ...], verdict: str, words: str
) -> None:
    desk = Desk(wallets(buy, sell))
    gate = desk.judged()["wallets"]
    assert gate.verdict == verdict
    assert words in gate.words
    assert bool(desk.blocked()) == (verdict == "fail")


def test_unknown_wallets_are_tolerated_unless_a_filter_wants_open_ones() -> None:
    desk = Desk(config())
    assert desk.blocked() == ""
    assert desk.blocked(ONLY_OPEN) == "wallets: no common network is known to be open"
    assert desk.gatekeeper.doubts(desk.way("binance", "okx"), desk.now_ns) == ("wallets: unknown",)


def test_wallets_have_a_direction() -> None:
    desk = Desk(wallets((NO_WITHDRAWAL,), (OPEN,)))
    assert desk.blocked().startswith("wallets: ")
    assert desk.blocked(ONLY_OPEN, desk.way("okx", "binance")) == ""


# --- quotes --------------------------------------------------------------------------------------


def test_a_jump_is_not_believed_until_it_is_confirmed() -> None:
    desk = Desk(config())
    desk.leg("okx").jumped = True
    gate = desk.judged()["sanity"]
    assert (gate.verdict, "okx jumped by more than 10 % in price" in gate.words) == ("fail", True)
    assert desk.blocked().startswith("sanity: ")


def test_crossed_and_zero_quotes_are_not_believed() -> None:
    desk = Desk(config())
    desk.leg("okx").bid = 101.0
    assert desk.judged()["sanity"].verdict == "fail"
    desk.leg("okx").bid = 0.0
    assert desk.judged()["sanity"].verdict == "fail"


@pytest.mark.parametrize(("bid", "ask"), [(101.0, 101.0), (0.0001, 0.0002)])
def test_a_book_without_a_spread_and_one_of_a_cheap_coin_are_believed(bid: float, ask: float) -> None:
    desk = Desk(config())
    desk.leg("okx").bid, desk.leg("okx").ask = bid, ask
    assert desk.judged()["sanity"].verdict == "pass"


def test_the_executable_size_has_a_minimum() -> None:
    desk = Desk(config())
    assert desk.judged(size=10.0)["size"].verdict == "pass"
    gate = desk.judged(size=9.99)["size"]
    assert (gate.verdict, gate.value, gate.threshold) == ("fail", "9.99 USDT", "at least 10.00 USDT")
    assert desk.judged(size=NOTHING)["size"].verdict == "unknown"


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        (1.0, "pass"),
        (1.0199, "pass"),
        (0.9801, "pass"),
        (0.9799, "fail"),
        (1.0201, "fail"),
        (NOTHING, "unknown"),
    ],
)
def test_another_stablecoin_must_be_on_its_peg(rate: float, verdict: str) -> None:
    fields = {"counts_as": "BTC/USDT"}
    desk = Desk(config(listing("binance"), listing("bybit"), listing("okx", "BTC/USDC", **fields)))
    leg = desk.leg("okx", "BTC/USDC")
    leg.scale = rate
    gate = desk.judged()["rate"]
    assert gate.verdict == verdict
    assert ("1 USDC in USDT is unknown" if isnan(rate) else f"1 USDC = {rate:.4f} USDT") in gate.words
    assert bool(desk.blocked()) == (verdict != "pass")
    assert desk.judged(desk.way("binance", "bybit"))["rate"].words == "both are priced in USDT"


@pytest.mark.parametrize(
    ("volume", "worth", "least", "verdict"),
    [
        (10.0, 0.5, 5.0, "pass"),
        (10.0, 0.5, 5.1, "fail"),
        (None, 1.0, 5.0, "unknown"),
        (10.0, NOTHING, 5.0, "unknown"),
        (None, NOTHING, 0.0, "pass"),
    ],
)
def test_a_volume_is_compared_by_what_it_is_worth(
    volume: float | None, worth: float, least: float, verdict: str
) -> None:
    assert gates.verdict_of(gates.volume_bits(volume, worth, least), "volume") == verdict


@pytest.mark.parametrize(
    ("code", "is_proven", "edge_bps", "verdict"),
    [
        (PASS, False, 300.0, "pass"),
        (PASS, False, 300.1, "unknown"),
        (PASS, True, 300.1, "pass"),
        (PASS, False, NOTHING, "pass"),
        (FAIL, False, 300.1, "fail"),
        (FAIL, True, 1.0, "fail"),
    ],
)
def test_a_large_edge_speaks_against_coins_that_only_seem_the_same(
    code: int, is_proven: bool, edge_bps: float, verdict: str
) -> None:
    bits = gates.identity_bits(code, is_proven, edge_bps, 300.0)
    assert gates.verdict_of(bits, "identity") == verdict


def test_a_rate_just_at_the_edge_of_the_band_is_on_its_peg() -> None:
    legs = listing("binance"), listing("okx", "BTC/USDC", counts_as="BTC/USDT")
    desk = Desk(with_terms(config(*legs), peg_band_pct=25.0))
    found = []
    for rate in (1.25, 0.75, 1.251):
        desk.leg("okx", "BTC/USDC").scale = rate
        found.append(desk.judged()["rate"].verdict)
    assert found == ["pass", "pass", "fail"]


# --- the whole -----------------------------------------------------------------------------------


def test_the_first_closed_gate_in_their_order_is_the_one_that_is_named() -> None:
    cases = (IdentityConfig("BTC/USDT", "binance", "okx", "different"),)
    desk = Desk(structs.replace(changed("okx", active=False), identities=cases))
    assert desk.blocked().startswith("status: ")
    desk.leg("okx").up = False
    assert desk.blocked().startswith("freshness: ")


pairs_as_they_may_be = st.fixed_dictionaries(
    {
        "active": st.booleans(),
        "volume": st.sampled_from([None, 10.0, 1e6]),
        "least": st.sampled_from([0.0, 1_000.0]),
        "fees_known": st.booleans(),
        "network": st.sampled_from([None, OPEN, NO_DEPOSIT, NO_WITHDRAWAL, UNSAID]),
        "age_ms": st.sampled_from([0.0, 5_000.0]),
        "up": st.booleans(),
        "jumped": st.booleans(),
        "rate": st.sampled_from([NOTHING, 1.0, 1.5]),
        "mid": st.sampled_from([NOTHING, 100.0, 300.0]),
        "size": st.sampled_from([NOTHING, 5.0, 500.0]),
    }
)


@settings(max_examples=50)
@given(pairs_as_they_may_be)
def test_words_bits_and_the_table_of_all_pairs_agree(drawn: dict[str, Any]) -> None:
    network = (drawn["network"],) if drawn["network"] else ()
    exchanges = tuple(
        ExchangeConfig(key, key, True, 10, 10, fees_known=drawn["fees_known"] or key != "okx")
        for key in EXCHANGES
    )
    okx = listing("okx", "BTC/USDC", counts_as="BTC/USDT", active=drawn["active"], volume=drawn["volume"])
    configured = config(
        listing("binance"),
        listing("bybit"),
        okx,
        exchanges=exchanges,
        wallets={("okx", "BTC"): network, ("binance", "BTC"): (OPEN,)},
    )
    desk = Desk(with_terms(configured, min_volume=drawn["least"]))
    leg = desk.leg("okx", "BTC/USDC")
    desk.quote(leg, drawn["mid"], drawn["age_ms"])
    leg.up, leg.jumped, leg.scale = drawn["up"], drawn["jumped"], drawn["rate"]

    facts, legs = Facts(desk.config), list(desk.legs.values())
    seen = [desk.seen(way, drawn["size"]) for way in desk.directions]
    bits = [gates.bits_of(facts, each) for each in seen]
    for each, found in zip(seen, bits, strict=True):
        assert [gate.verdict for gate in gates.judge(facts, each)] == [
            gates.verdict_of(found, name) for name in GATES
        ]
    for way, found in zip(desk.directions, bits, strict=True):
        assert desk.gatekeeper.bits(way, desk.now_ns) == gates.without_size(found)

    columns = gates.LegColumns(
        state=np.array([desk.gatekeeper.state(each, desk.now_ns) for each in legs], np.int8),
        bid=np.array([each.bid for each in legs]),
        ask=np.array([each.ask for each in legs]),
        jumped=np.array([each.jumped for each in legs]),
        rate=np.array([each.scale for each in legs]),
        converted=np.array([each.listing.quote != "USDT" for each in legs]),
    )
    table = gates.table_bits(
        np.array([way.context for way in desk.directions], np.uint32),
        columns.bits(desk.config.gates),
        buy=np.array([legs.index(way.buy) for way in desk.directions]),
        sell=np.array([legs.index(way.sell) for way in desk.directions]),
        identity=np.array([each.identity.code for each in seen]),
        size=np.full(len(seen), drawn["size"]),
        minimum=desk.config.gates.min_size,
    )
    passed, failed, unknown = gates.counts(table)
    for row, each in enumerate(seen):
        verdicts = [gate.verdict for gate in gates.judge(facts, each)]
        assert (passed[row], failed[row], unknown[row]) == tuple(
            verdicts.count(word) for word in ("pass", "fail", "unknown")
        )
