"""No opportunity between coins that are not known to be the same, however good their edge seems to be."""

from collections.abc import Callable, Iterable

import pytest
from msgspec import structs
from numpy.random import default_rng

from engine.gates import checks as gates
from engine.gates.checks import Evidence, Facts, LegSeen, Seen
from engine.scan.identity import FAIL, PASS, UNKNOWN
from markets.config import FilterConfig, GateTerms, IdentityConfig, IdentityVerdict, MarketConfig
from markets.events import Episode
from tests.support.scan.market import Desk, config, everywhere

X = "X/USDT"
OTHERS = tuple(f"C{n}/USDT" for n in range(12))
ONE, TWO = "binance", "bybit"
FOLLOWS = FilterConfig(1, "all", min_edge_bps=5.0, close_edge_bps=2.0)
STEP_S = 2
CONFIRMED = IdentityConfig(X, ONE, TWO, "confirmed")


def configured(symbol: str = X, *, terms: GateTerms | None = None, **more: object) -> MarketConfig:
    """One symbol in question on two exchanges, and a dozen coins around it."""
    follows = structs.replace(FOLLOWS, **more)
    listings = everywhere(symbol, *OTHERS)
    return config(listings, follows, pairs=[(ONE, TWO)], gates=terms or GateTerms(min_size=0.0))


class Tape(Desk):
    """Twelve coins that walk with the market, and one in question; `minutes` of it, every `STEP_S`."""

    def __init__(self, market: MarketConfig, symbol: str = X, *, factor: float = 1e-3) -> None:
        super().__init__(market)
        self.symbol = symbol
        self.factor = factor
        self.rng = default_rng(11)
        self.prices = [100.0] * len(OTHERS)
        self.second = 0
        self.published: list[Episode] = []

    def run(self, minutes: float, price: Callable[[float, float], tuple[float, float]]) -> list[Episode]:
        """`price` says what both sides cost, from what the market did and from a move of the coin's own."""
        for _ in range(round(minutes * 60 / STEP_S)):
            self.second += STEP_S
            common, own = self.rng.normal(0, self.factor), self.rng.normal(0, 3e-4)
            for n, symbol in enumerate(OTHERS):
                self.prices[n] *= 1 + common + self.rng.normal(0, 3e-4)
                self._quote(symbol, self.prices[n], self.prices[n])
            self._quote(self.symbol, *price(common, own))
            self.tick(self.second * 1000)
        found = self.scanner.lifecycle.take()
        self.published += found
        return [each for each in found if each.phase == "open" and each.symbol == self.symbol]

    def _quote(self, symbol: str, one: float, two: float) -> None:
        for exchange, mid in ((ONE, one), (TWO, two)):
            self.quote(exchange, symbol, mid * 0.9999, mid * 1.0001, at_ms=self.second * 1000)

    def code(self) -> tuple[int, bool]:
        """The verdict on the symbol, and whether it is proven."""
        identity = self.scanner.gatekeeper.identity
        place = next(pair for pair, each in enumerate(self.scanner.pairs) if each.symbol == self.symbol)
        return identity.verdict(place), identity.is_proven(place)


class Walk:
    """Two sides of a symbol: `share` of what is the coin's own is common to both."""

    def __init__(
        self, ratio: float, share: float, beta: float = 1.0, own: float = 3e-4, seed: int = 5
    ) -> None:
        self.one, self.two, self.share, self.beta, self.own = 100.0 * ratio, 100.0, share, beta, own
        self.rng = default_rng(seed)

    def __call__(self, common: float, own: float) -> tuple[float, float]:
        own, other = own * self.own / 3e-4, self.rng.normal(0, self.own)
        self.one *= 1 + self.beta * common + own
        self.two *= 1 + self.beta * common + self.share * own + (1 - self.share) * other
        return self.one, self.two


# --- another coin under the same ticker ----------------------------------------------------------


@pytest.mark.parametrize("ratio", [1.3, 1 / 1.3, 1.49, 1.1, 1.03, 1.015, 0.97])
@pytest.mark.parametrize("factor", [0.0, 1e-3, 5e-3])
def test_another_coin_never_opens_whether_it_follows_the_market_or_not(ratio: float, factor: float) -> None:
    tape = Tape(configured(), factor=factor)
    assert tape.run(30, Walk(ratio, share=0.0)) == []


@pytest.mark.parametrize("beta", [2.0, 0.5, -1.0])
def test_nor_does_one_that_follows_the_market_more_or_less_than_others_do(beta: float) -> None:
    tape = Tape(configured())
    assert tape.run(30, Walk(1.2, share=0.0, beta=beta)) == []
    assert tape.code()[1] is False


@pytest.mark.parametrize("ratio", [1.25, 1.12, 0.8])
def test_a_wide_gap_that_stays_while_prices_move_is_evidence_even_where_all_moves_agree(ratio: float) -> None:
    """So it is between a coin and its wrapped, staked or leveraged token."""
    tape = Tape(configured())
    assert tape.run(40, Walk(ratio, share=1.0)) == []
    assert tape.code() == (UNKNOWN, False)


@pytest.mark.parametrize("ratio", [1.011, 1.02, 1.05, 1.09, 0.95])
@pytest.mark.parametrize(("factor", "beta"), [(0.0, 1.0), (1e-3, 0.5), (1e-3, 1.0), (1e-3, 2.0)])
def test_one_coin_at_a_premium_that_stays_is_proven_in_the_end(
    ratio: float, factor: float, beta: float
) -> None:
    tape = Tape(configured(), factor=factor)
    walk = Walk(ratio, share=1.0, beta=beta)
    assert tape.run(4, walk) == [], "not before enough moves agree"
    assert tape.code() == (UNKNOWN, False)
    opened = tape.run(20, walk)
    assert tape.code() == (PASS, True)
    assert len(opened) == 1, "and stays proven when less moves"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("beta", "own"), [(2.0, 3e-4), (2.0, 1e-4), (-1.0, 1e-4), (1.0, 3e-5), (2.0, 3e-5)])
def test_coins_with_few_moves_of_their_own_are_not_proven_by_what_is_uncertain_about_the_market(
    beta: float, own: float, seed: int
) -> None:
    """Both follow the market, which twelve coins do not show exactly: that error is no move of their own."""
    tape = Tape(configured())
    walk = Walk(1.0, share=0.0, beta=beta, own=own, seed=seed)
    for _ in range(40):
        tape.run(1, walk)
        assert tape.code()[1] is False


def test_a_new_coin_whose_prices_are_near_opens_as_ever() -> None:
    tape = Tape(configured())
    (opened,) = tape.run(0.1, lambda common, own: (100.6, 100.0))
    assert opened.opened.edge_bps == pytest.approx(37.8, abs=0.1)


def test_prices_apart_at_first_pass_once_they_met_for_five_minutes() -> None:
    tape = Tape(configured())
    assert tape.run(1, lambda common, own: (102.0, 100.0)) == []
    assert tape.code() == (UNKNOWN, False)
    tape.run(4, lambda common, own: (100.0, 100.0))
    assert tape.code() == (UNKNOWN, False), "not before the whole window was near"
    tape.run(2, lambda common, own: (100.0, 100.0))
    assert tape.code() == (PASS, False)
    assert len(tape.run(0.1, lambda common, own: (101.0, 100.0))) == 1


def test_prices_apart_at_first_pass_as_soon_as_they_meet_and_enough_moves_agree() -> None:
    tape = Tape(configured())
    walk = Walk(1.0, share=1.0)
    assert tape.run(1, lambda common, own: (walk(common, own)[0] * 1.02, walk.two)) == []
    assert tape.run(6, walk) == []
    tape.run(4, walk)
    assert tape.code() == (PASS, True)


def test_a_person_may_confirm_what_prices_leave_open() -> None:
    market = structs.replace(configured(), identities=(CONFIRMED,))
    assert len(Tape(market).run(0.1, Walk(1.3, share=0.0))) == 1


# --- a large edge is evidence against itself -----------------------------------------------------


def leap(tape: Tape, share: float, gap: float = 1.05) -> list[Episode]:
    """Half an hour near each other, then the first price leaps away."""
    walk = Walk(1.0, share)
    tape.run(30, walk)
    return tape.run(0.5, lambda common, own: (walk.one * gap, walk.two))


def test_a_large_edge_between_coins_proven_the_same_by_their_moves_is_an_opportunity() -> None:
    tape = Tape(configured())
    assert len(leap(tape, share=1.0)) == 1
    assert tape.code() == (PASS, True)


def test_a_large_edge_between_new_coins_is_none_though_their_prices_were_near() -> None:
    tape = Tape(configured())
    tape.run(1, Walk(1.0, share=1.0))
    assert tape.run(0.2, lambda common, own: (105.0, 100.0)) == []
    assert tape.code() == (PASS, False)


def test_few_coins_make_no_market_and_prove_nothing() -> None:
    only = configured()
    only = structs.replace(only, listings=tuple(each for each in only.listings if each.base in ("X", "C1")))
    tape = Tape(only)
    leap(tape, share=1.0)
    assert tape.code()[1] is False


@pytest.mark.parametrize(("most", "opens"), [(None, False), (600.0, True), (250.0, False), (1e4, True)])
def test_the_ceiling_is_the_gates_unless_a_filter_has_its_own(most: float | None, opens: bool) -> None:
    tape = Tape(configured(max_unproven_edge_bps=most))
    tape.run(0.2, lambda common, own: (100.0, 100.0))
    assert bool(tape.run(0.1, lambda common, own: (104.0, 100.0))) is opens


def test_the_gates_ceiling_can_be_set() -> None:
    tape = Tape(configured(terms=GateTerms(min_size=0.0, max_unproven_edge_bps=500.0)))
    tape.run(0.2, lambda common, own: (100.0, 100.0))
    assert len(tape.run(0.1, lambda common, own: (104.0, 100.0))) == 1


def test_what_is_open_closes_at_the_quote_that_makes_it_too_good_to_be_true_and_that_is_no_peak() -> None:
    tape = Tape(configured())
    tape.run(0.2, lambda common, own: (100.0, 100.0))
    tape.run(0.2, lambda common, own: (101.0, 100.0))
    tape.run(0.1, lambda common, own: (109.0, 100.0))
    closed = [each for each in tape.published if each.phase == "close" and each.symbol == X]
    assert [each.reason.partition(" edge")[0] for each in closed] == ["identity: an"]
    assert closed[0].peak.edge_bps < 100


# --- fund tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["BTC3L/USDT", "ETH5S/USDT", "BTCUP/USDT", "ETHBULL/USDT"])
@pytest.mark.parametrize("ratio", [1.25, 1.0, 1.005])
def test_fund_tokens_of_two_exchanges_are_different_unless_a_person_confirms(
    symbol: str, ratio: float
) -> None:
    tape = Tape(configured(symbol), symbol)
    assert tape.run(20, Walk(ratio, share=1.0)) == []
    assert tape.code() == (FAIL, False)
    assert tape.scanner.gatekeeper.identity.take_findings() == [], "nobody need be asked of every fund"


@pytest.mark.parametrize(("word", "opens"), [("confirmed", True), ("quarantined", False)])
def test_a_persons_word_on_a_fund_counts(word: IdentityVerdict, opens: bool) -> None:
    case = IdentityConfig("BTC3L/USDT", TWO, ONE, word)
    market = structs.replace(configured("BTC3L/USDT"), identities=(case,))
    tape = Tape(market, "BTC3L/USDT")
    assert bool(tape.run(0.1, lambda common, own: (100.8, 100.0))) is opens


def test_jup_is_a_coin() -> None:
    tape = Tape(configured("JUP/USDT"), "JUP/USDT")
    assert len(tape.run(0.1, lambda common, own: (100.8, 100.0))) == 1


# --- in words ------------------------------------------------------------------------------------


def said(evidence: Evidence, edge_bps: float = 50.0) -> gates.Gate:
    desk = Desk(configured())
    desk.quote(ONE, X, 100.0, 100.1)
    desk.quote(TWO, X, 100.0, 100.1)
    way = next(each for each in desk.scanner.directions if each.pair.symbol == X)
    seen = Seen(way.pair, LegSeen(way.buy, 0, 0), LegSeen(way.sell, 0, 0), 100.0, evidence, edge_bps)
    judged: Iterable[gates.Gate] = gates.judge(Facts(configured()), seen)
    return next(gate for gate in judged if gate.name == "identity")


def test_what_is_not_known_of_a_coin_is_said_with_what_would_prove_it() -> None:
    apart = said(Evidence(UNKNOWN, 1.3, 0.8))
    assert apart.verdict == "unknown"
    assert apart.words == (
        "not proven: the prices of X on bybit and on binance are 30.0 % apart; they must meet again, and "
        "enough moves must agree, or an operator must confirm it in the admin under coin identities; "
        "price ratio 1.3000, correlation 0.80"
    )
    large = said(Evidence(PASS, 1.0, 0.8), 812.0)
    assert large.verdict == "unknown"
    assert "the edge is 812.0 bps, over the limit of 300 bps for coins not proven the same" in large.words
    assert said(Evidence(PASS, 1.0, 0.8, proven=True), 812.0).verdict == "pass"
    assert said(Evidence(FAIL, 1.25, 0.9, fund="BTC")).words.startswith("a fund token that follows BTC")
