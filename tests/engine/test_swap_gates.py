"""Gates of directions with a swap, and the net edge of a filter: what blocks, what opens, in which words."""

from collections.abc import Callable
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from engine.funding.net import net_edge
from engine.gates import checks as gates
from engine.gates import freshness, swaps
from engine.gates.checks import Evidence, Facts, Gate, LegSeen, Seen
from engine.scan.identity import PASS
from engine.scan.scanner import Scanner
from engine.scan.swaps import PROBLEMS
from markets.config import ExchangeConfig, FilterConfig, GateTerms, ListingConfig, MarketConfig, PairConfig
from markets.events import Episode, Funding, MarkPrice, Quote

US, NS = 1_000_000, 1_000_000_000
NOON = 1_760_000_000 * US
BOOT = 5 * NS
HOUR = 3_600
SWAP, OTHER, SPOT = "gate:swap", "bybit:swap", "okx"
PLAIN = FilterConfig(1, "any edge", min_edge_bps=5.0, min_size=0.0, pair_kinds=("swap-swap", "spot-swap"))


def listing(key: str, **values: Any) -> ListingConfig:
    symbol = "BTC/USDT:USDT" if key.endswith("swap") else "BTC/USDT"
    made = ListingConfig(key, symbol, f"{key} BTC", "BTC", "USDT", "BTC/USDT", 1.0, 1e6, True, "trading")
    return structs.replace(made, **values)


def market(
    follows: FilterConfig = PLAIN, one: str = SWAP, two: str = OTHER, terms: GateTerms | None = None,
    **of_one: Any,
) -> MarketConfig:  # fmt: skip
    keys = (one, two)
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, f"{key}!", True, 5.0, 5.0) for key in keys),
        instruments=frozenset(),
        opportunities=(),
        filters=(follows,),
        listings=(listing(one, **of_one), listing(two)),
        pairs=(PairConfig(one, two, None),),
        gates=terms or GateTerms(min_size=0.0, jump_pct=1000.0, max_unproven_edge_bps=1e6),
    )


class Desk:
    """A scanner with all that a swap's exchange says, at seconds since the start; it buys on `one`."""

    def __init__(self, config: MarketConfig, *, funded: bool = True) -> None:
        self.config, self.scanner, self.now = config, Scanner(), 0.0
        self.scanner.configure(config, lambda symbol: True, *self.clock)
        self.legs = [row.exchange for row in config.listings]
        if funded:
            for key in self.legs:
                self.funding(key)
                self.mark(key, 100.5)

    @property
    def clock(self) -> tuple[int, int]:
        return NOON + round(self.now * US), BOOT + round(self.now * NS)

    def funding(self, key: str, **values: Any) -> None:
        """Funding as an exchange publishes it; everything is healthy where nothing else is said."""
        said: dict[str, Any] = {"rate": 0.0001, "next_ts_us": NOON + 4 * HOUR * US, "interval_s": 8 * HOUR}
        us, ns = self.clock
        said |= values
        event = Funding(key, "BTC/USDT:USDT", **said, received_ts_us=us, received_mono_ns=ns)
        self.scanner.on_funding(event)

    def mark(self, key: str, price: float | None) -> None:
        us, ns = self.clock
        event = MarkPrice(key, "BTC/USDT:USDT", price, None, None, us, ns)
        self.scanner.on_mark(event)

    def quote(self, key: str, bid: float, ask: float) -> list[Episode]:
        (row,) = (each for each in self.config.listings if each.exchange == key)
        self.scanner.on_quote(Quote(key, row.symbol, bid, 1.0, ask, 1.0, None, *self.clock))
        return self.scanner.lifecycle.take()

    def edge(self, bps: float = 50.0) -> list[Episode]:
        """Quotes with about this edge after 10 bps of fees."""
        one, two = self.legs
        sold = 100.0 * (1 + (bps + 10) / 10_000)
        return self.quote(one, 99.9, 100.0) + self.quote(two, sold, sold + 0.1)

    def tick(self, seconds: float) -> list[Episode]:
        self.now += seconds
        self.scanner.tick(*self.clock)
        return self.scanner.lifecycle.take()

    def way(self) -> Any:
        (found,) = (each for each in self.scanner.directions if each.buy.exchange == self.legs[0])
        return found

    def blocked(self, follows: FilterConfig | None = None) -> str:
        keeper = self.scanner.gatekeeper
        return keeper.blocked(self.way(), follows or self.config.filters[0], self.clock[1])

    def judged(self, follows: FilterConfig | None = None) -> dict[str, Gate]:
        """All gates of the direction, in words."""
        way, sides = self.way(), list[LegSeen]()
        since = freshness.quoted_since(self.clock[1], self.config.gates)
        for leg in (way.buy, way.sell):
            moved = leg.moved_bps(since, leg.swap.marks) if leg.swap else nan
            sides.append(LegSeen(leg, freshness.LIVE, 10.0, mark_moved_bps=moved))
        buy, sell = sides
        seen = Seen(way.pair, buy, sell, 100.0, Evidence(PASS, 1.0, nan), way.edge_bps(), now=self.clock)
        return {gate.name: gate for gate in gates.judge(Facts(self.config), seen, follows)}


def phases(episodes: list[Episode]) -> list[str]:
    return [each.phase for each in episodes]


# --- what is shown --------------------------------------------------------------------------------


def test_a_direction_of_swaps_has_13_gates_and_passes_where_all_is_said() -> None:
    desk = Desk(market())
    assert phases(desk.edge()) == ["open"]
    judged = desk.judged()
    assert tuple(judged) == gates.GATES + gates.SWAP_GATES
    assert {judged[name].verdict for name in gates.SWAP_GATES} == {"pass"}
    assert judged["funding"].value == "gate:swap +0.0100 % per 8 h, bybit:swap +0.0100 % per 8 h"
    assert judged["settlement"].value == "gate:swap in 4 h 00 min, bybit:swap in 4 h 00 min"
    assert judged["mark"].threshold == (
        "a mark price said in the last 60 s, within 1 % of its quotes, that moves with the coin"
    )
    assert judged["expiry"].words == "gate:swap has no end announced; bybit:swap has no end announced"


def test_a_spot_leg_is_not_asked_and_two_spot_legs_have_the_nine_gates() -> None:
    mixed = Desk(market(one=SPOT, two=OTHER))
    assert phases(mixed.edge()) == ["open"]
    assert mixed.judged()["funding"].value == "bybit:swap +0.0100 % per 8 h"
    spot = Desk(market(structs.replace(PLAIN, pair_kinds=("spot-spot",)), SPOT, "gate"), funded=False)
    assert phases(spot.edge()) == ["open"]
    assert tuple(spot.judged()) == gates.GATES


# --- what is not known, or wrong ------------------------------------------------------------------

Fault = Callable[[Desk], None]
NO_FUNDING = "funding: gate:swap! funding is unknown: "
MARKS = "mark: gate:swap! marks"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (lambda desk: desk.funding(SWAP, rate=None), ""),  # what was said before holds
        (lambda desk: desk.funding(SWAP, rate=0.5), NO_FUNDING + "a rate of 50 % or more"),
        (lambda desk: desk.funding(SWAP, rate=-0.7), NO_FUNDING + "a rate of 50 % or more"),
        (
            lambda desk: desk.funding(SWAP, interval_s=0),
            NO_FUNDING + "an interval of nothing or of more than a week",
        ),
        (lambda desk: desk.funding(SWAP, cap=-0.01, floor=0.01), NO_FUNDING + "the cap is below the floor"),
        (lambda desk: desk.mark(SWAP, 98.0), MARKS + " 98, said 250 ms ago, -1.90 % from its quotes"),
        (lambda desk: desk.mark(SWAP, 102.0), MARKS + " 102, said 250 ms ago, +2.00 % from its quotes"),
        (lambda desk: desk.mark(SWAP, 0.0), "mark: gate:swap! has said no mark price"),
        (lambda desk: desk.mark(SWAP, 100.9), ""),
    ],
)  # fmt: skip
def test_what_is_wrong_closes_what_is_open_and_says_so(fault: Fault, words: str) -> None:
    desk = Desk(market())
    assert phases(desk.edge()) == ["open"]
    fault(desk)
    closed = desk.tick(0.3)
    assert [each.reason for each in closed] == ([words] if words else [])
    if words:
        assert desk.edge() == [], "and it does not open again"
        gate = desk.judged()[words.partition(":")[0]]
        assert gate.verdict != "pass"


def test_nothing_said_of_funding_or_mark_opens_nothing() -> None:
    desk = Desk(market(), funded=False)
    assert desk.edge() == []
    assert desk.blocked() == (
        "funding: gate:swap! funding is unknown: nothing was said of its funding yet, "
        "bybit:swap! funding is unknown: nothing was said of its funding yet"
    )
    for key in desk.legs:
        desk.funding(key)
    assert desk.edge() == []
    assert desk.blocked().startswith("mark: gate:swap! has said no mark price")
    for key in desk.legs:
        desk.mark(key, 100.3)
    assert phases(desk.edge()) == ["open"]


def test_a_missing_interval_is_not_8_hours() -> None:
    desk = Desk(market(), funded=False)
    for key in desk.legs:
        desk.mark(key, 100.3)
    desk.funding(OTHER)
    desk.funding(SWAP, interval_s=None)
    assert desk.edge() == []
    assert desk.blocked() == "funding: gate:swap! funding is unknown: the interval is unknown"


def test_a_next_time_in_the_past_is_refused_and_one_that_passes_blocks() -> None:
    desk = Desk(market(), funded=False)
    for key in desk.legs:
        desk.mark(key, 100.3)
    desk.funding(OTHER)
    desk.funding(SWAP, next_ts_us=NOON - US)
    assert desk.edge() == []
    assert desk.blocked() == "funding: gate:swap! funding is unknown: the next settlement is in the past"
    desk.funding(SWAP, next_ts_us=NOON + 30 * US, interval_s=60)
    desk.now = 29.0
    for key in desk.legs:
        desk.mark(key, 100.3)
    assert desk.blocked().startswith("funding: gate:swap! funding is unknown: just settled"), (
        "an interval of 60 s"
    )
    desk.funding(SWAP, next_ts_us=NOON + 30 * US, interval_s=HOUR)
    assert desk.blocked() == ""
    desk.now += 1.5
    assert desk.blocked() == "funding: gate:swap! funding is unknown: the next settlement is in the past"


def test_an_old_rate_and_an_old_mark_block() -> None:
    terms = GateTerms(
        min_size=0.0, jump_pct=1000.0, max_unproven_edge_bps=1e6, funding_max_age_s=120, mark_max_age_s=30
    )
    desk = Desk(market(terms=terms))
    desk.now = 29.0
    assert phases(desk.edge()) == ["open"]
    (closed,) = desk.tick(1.5)
    assert closed.reason.startswith("mark: gate:swap! marks 100.5, said 30.2 s ago: too old")
    desk.now = 121.0
    for key in desk.legs:
        desk.mark(key, 100.3)
    assert desk.edge() == []
    assert desk.judged()["funding"].words.startswith("gate:swap funding is unknown: the rate was said 2")


def test_a_contract_size_that_changes_while_running_forgets_the_quote() -> None:
    desk = Desk(market(contract_size=12.0))
    assert phases(desk.edge()) == ["open"]
    desk.scanner.configure(market(contract_size=120.0), lambda symbol: True, *desk.clock)
    (closed,) = desk.scanner.lifecycle.take()
    assert closed.reason == "gate:swap!: no usable quote: waiting for the next"
    assert desk.quote(OTHER, 100.6, 100.7) == []
    assert phases(desk.quote(SWAP, 99.9, 100.0)) == ["open"], "by the first quote after"


def test_a_delisted_swap_whose_quote_stands_still_while_its_mark_moves_is_off_its_mark() -> None:
    desk = Desk(market())
    assert phases(desk.edge()) == ["open"]
    for second in range(10):
        desk.now += 1
        desk.mark(SWAP, 100.5 + second * 0.2)
        desk.mark(OTHER, 100.5 + second * 0.2)
        desk.quote(OTHER, 100.5 + second * 0.2, 100.6 + second * 0.2)
        desk.quote(SWAP, 99.9, 100.0)  # repeated, though frozen
    gate = desk.judged()["mark"]
    assert gate.verdict == "fail"
    assert gate.words.startswith("gate:swap marks 102.3, said 0 ms ago, +2.30 % from its quotes; bybit:swap")


def test_a_delisted_swap_whose_mark_stands_still_too_blocks_when_the_others_moved() -> None:
    desk = Desk(market())
    desk.edge()
    for second in range(1, 11):
        desk.now += 1
        desk.quote(OTHER, 100.6 + second * 0.2, 100.7 + second * 0.2)
        desk.mark(OTHER, 100.6 + second * 0.2)
        desk.mark(SWAP, 100.5)
        desk.quote(SWAP, 99.9, 100.0)
    assert desk.blocked()
    gate = desk.judged()["mark"]
    assert gate.verdict == "fail"
    assert (
        "marks 100.5, said 0 ms ago, +0.50 % from its quotes, and stood still while the others" in gate.words
    )


# --- announced ends -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends_in_h", "hours", "held", "verdict"),
    [
        (25, 24, 8, "pass"), (23, 24, 8, "fail"), (25, 24, 26, "fail"), (-1, 24, 8, "fail"),
        (7, 0, 8, "fail"), (9, 0, 8, "pass"),
    ],
)  # fmt: skip
def test_a_swap_with_an_announced_end_is_not_traded_before_it(
    ends_in_h: int, hours: int, held: float, verdict: str
) -> None:
    follows = structs.replace(PLAIN, holding_hours=held)
    terms = GateTerms(min_size=0.0, jump_pct=1000.0, expiry_hours=hours)
    desk = Desk(market(follows, terms=terms, expires_us=NOON + ends_in_h * HOUR * US))
    assert phases(desk.edge()) == ([] if verdict == "fail" else ["open"])
    gate = desk.judged(follows)["expiry"]
    assert gate.verdict == verdict
    ended = "ended 1 h 00 min ago" if ends_in_h < 0 else f"ends in {ends_in_h} h 00 min"
    assert gate.value.startswith(f"gate:swap {ended}")


def test_what_is_open_closes_when_its_end_comes_near() -> None:
    desk = Desk(market(expires_us=NOON + 24 * HOUR * US + US // 2))
    assert phases(desk.edge()) == ["open"]
    (closed,) = desk.tick(1.5)
    assert closed.reason == "expiry: gate:swap! ends in 24 h 00 min"


# --- settlements within the holding time ----------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "wanted", "opens"),
    [(8.0, True, True), (8.0, False, False), (4.0, False, False), (3.99, False, True)],
)
def test_a_settlement_within_the_holding_time_blocks_unless_wanted(
    held: float, wanted: bool, opens: bool
) -> None:
    follows = structs.replace(PLAIN, holding_hours=held, settlement_wanted=wanted)
    desk = Desk(market(follows))
    assert phases(desk.edge()) == (["open"] if opens else [])
    if not opens:
        assert desk.blocked().startswith(
            "settlement: gate:swap! settles next: in 4 h 00 min, bybit:swap! settles"
        )
        assert desk.judged(follows)["settlement"].verdict == "fail"
        assert desk.judged()["settlement"].verdict == "pass", "the row is of no filter"


def test_spot_pairs_settle_nothing() -> None:
    follows = structs.replace(PLAIN, pair_kinds=("spot-spot",), settlement_wanted=False)
    assert phases(Desk(market(follows, SPOT, "gate"), funded=False).edge()) == ["open"]


# --- volume ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_all", "of_swaps", "volume", "verdict"),
    [
        (0, 0, None, "pass"), (0, 2e6, 1e6, "fail"), (0, 1e6, 1e6, "pass"), (2e6, 1e6, 1e6, "fail"),
        (0, 1e6, None, "unknown"),
    ],
)  # fmt: skip
def test_swaps_have_a_least_volume_of_their_own(
    of_all: float, of_swaps: float, volume: float | None, verdict: str
) -> None:
    terms = GateTerms(min_size=0.0, jump_pct=1000.0, min_volume=of_all, min_swap_volume=of_swaps)
    desk = Desk(market(one=SPOT, two=OTHER, terms=terms, volume=9e6))
    rows = tuple(
        structs.replace(row, volume=volume) if row.exchange == OTHER else row for row in desk.config.listings
    )
    desk = Desk(structs.replace(desk.config, listings=rows))
    assert phases(desk.edge()) == (["open"] if verdict == "pass" else [])
    gate = desk.judged()["volume"]
    assert gate.verdict == verdict
    if of_swaps and not of_all:
        assert gate.threshold == f"at least {of_swaps:,.0f} USDT of the swap"


# --- the net edge of a filter ---------------------------------------------------------------------


def test_the_net_edge_opens_and_closes_and_is_the_one_formula() -> None:
    follows = structs.replace(PLAIN, holding_hours=8.0, min_net_edge_bps=30.0)
    desk = Desk(market(follows))
    desk.funding(OTHER, rate=0.0003)  # short there: paid 3 bps, pays 1 where it is long
    assert desk.edge(35.0) == [], "35 + 2 - 10 of the exit's fees"
    assert desk.blocked().startswith("the net edge is +27.0 bps over 8 h, wanted: at least 30.0 bps")
    expected = net_edge((99.9, 100.0), (100.45, 100.55), 5e-4, 5e-4, 0.0001, 0.0003).net_zero
    assert f"{expected:+.1f}" == "+27.0"
    (opened,) = desk.edge(39.0)
    assert opened.phase == "open"
    (closed,) = desk.edge(37.0)
    assert closed.reason.startswith("the net edge is +29.0 bps")


def test_what_is_open_closes_at_once_when_funding_turns_and_none_opens_on_unknown_funding() -> None:
    follows = structs.replace(PLAIN, min_net_edge_bps=20.0)
    desk = Desk(market(follows))
    assert phases(desk.edge(40.0)) == ["open"]
    desk.funding(OTHER, rate=-0.002)
    (closed,) = desk.tick(0.3)
    assert closed.reason == "the net edge is +9.0 bps over 8 h, wanted: at least 20.0 bps"
    desk.funding(OTHER, rate=0.9)
    assert desk.edge(400.0) == []


@pytest.mark.parametrize(("exit_assumption", "net"), [("zero", 30.0), ("now", -39.9), ("median", 40.0)])
def test_each_exit_is_taken_as_the_filter_says(exit_assumption: Any, net: float) -> None:
    """Buy at 99.9/100.0, sell at 100.5/100.6: back at 100.6 for 99.9 now, 70 bps."""
    follows = structs.replace(PLAIN, min_net_edge_bps=net - 0.3, exit_assumption=exit_assumption)
    desk = Desk(market(follows))
    desk.edge(40.0)
    desk.scanner.gatekeeper.identity.ratio[0] = 1.002  # gate over bybit, in the median
    lacks = desk.blocked(structs.replace(follows, min_net_edge_bps=1e5))
    found = float(lacks.removeprefix("the net edge is ").partition(" bps")[0].replace(",", ""))
    mids = (100.5 + 100.6) / (99.9 + 100.0)
    exit_ = {"zero": 0.0, "now": 100.6 / 99.9 - 1, "median": 100.6 / 99.9 / mids / 1.002 - 1}[exit_assumption]
    assert found == pytest.approx(40.0 - 10.0 - exit_ * 10_000, abs=0.2)


def test_an_unknown_median_never_opens() -> None:
    follows = structs.replace(PLAIN, min_net_edge_bps=-500.0, exit_assumption="median")
    desk = Desk(market(follows))
    assert phases(desk.edge()) == ["open"]
    desk.scanner.gatekeeper.identity.ratio[0] = nan
    (closed,) = desk.tick(0.3)
    assert closed.reason == "the net edge is unknown over 8 h, wanted: at least -500.0 bps"
    assert desk.edge() == []


# --- one direction, and a table of all --------------------------------------------------------------

LEG = np.dtype(
    [(name, "<f8") for name in (
        "bid", "ask", "scale", "age_ms", "mark", "mark_late_ms", "mark_moved_bps", "rate_late_ms",
    )] + [("next_ts_us", "<i8"), ("problem", "u1")]
)  # fmt: skip
NUMBERS = st.floats(1, 1000) | st.just(nan)


@given(
    bid=st.floats(99, 101) | st.just(nan), mark=st.floats(90, 110) | st.just(nan),
    scale=st.just(1.0) | st.just(nan),
    age_ms=st.floats(0, 90_000), mark_late_ms=st.floats(-60_000, 60_000), moved=NUMBERS,
    rate_late_ms=st.floats(-60_000, 700_000), next_s=st.integers(-5, 5),
    problem=st.sampled_from([0, 0, 2, 5]),
    ends_h=st.none() | st.integers(-30, 30),
)  # fmt: skip
def test_a_table_judges_swaps_as_the_collector_does(
    bid: float, mark: float, scale: float, age_ms: float, mark_late_ms: float, moved: float,
    rate_late_ms: float, next_s: int, problem: int, ends_h: int | None,
) -> None:  # fmt: skip
    terms = GateTerms()
    bid = bid * scale
    expires = None if ends_h is None else NOON + ends_h * HOUR * US
    row = np.zeros(1, LEG)
    for name, value in (
        ("bid", bid), ("ask", bid * 1.001), ("scale", scale), ("age_ms", age_ms), ("mark", mark),
        ("mark_late_ms", mark_late_ms), ("mark_moved_bps", moved), ("rate_late_ms", rate_late_ms),
        ("next_ts_us", NOON + next_s * US), ("problem", problem),
    ):  # fmt: skip
        row[name] = value
    ends = np.array([inf if expires is None else expires], float)
    (found,) = swaps.table_bits(row, ends, NOON, terms)
    desk = Desk(market(expires_us=expires), funded=False)
    leg = desk.way().buy
    leg.bid, leg.ask, leg.scale = bid, bid * 1.001, scale
    now_ns = 10**15
    leg.swap.problem, leg.swap.next_us, leg.swap.interval_s = PROBLEMS[problem], NOON + next_s * US, 3600
    leg.swap.said_ns = now_ns - int((age_ms + rate_late_ms) * 1e6)
    leg.swap.mark, leg.swap.mark_ns = mark, now_ns - int((age_ms + mark_late_ms) * 1e6)
    assert swaps.leg_bits(leg, moved, (NOON, now_ns), terms, None) == int(found)
