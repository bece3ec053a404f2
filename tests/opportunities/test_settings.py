"""Whatever happens to an episode, its figures agree: quotes, rates, interruptions, settings, restarts."""

from math import isnan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from engine.scan.lifecycle import opportunity_events
from markets.config import FilterConfig, GateTerms, IdentityConfig, MarketConfig
from markets.events import Episode
from markets.fees.book import Fees
from tests.opportunities.test_figures import BTC, BUY, SELL, edge_of
from tests.support.scan.market import NOON_US, Desk, config, listing

USDC = "BTC/USDC"
LEAST = 50.0


class Terms(Struct, frozen=True):
    """Settings of a person."""

    fee_bps: float = 0.0
    multiplier: float = 1.0
    opens_bps: float = 5.0
    closes_bps: float | None = 2.0
    hold_ms: int = 0
    least: float = LEAST
    ceiling_bps: float = 300.0
    max_age_ms: float = 60_000.0
    jump_pct: float = 20.0
    peg_pct: float = 2.0
    word: str = "confirmed"

    def market(self) -> MarketConfig:
        follows = FilterConfig(
            1, "any", min_edge_bps=self.opens_bps, close_edge_bps=self.closes_bps,
            min_duration_ms=self.hold_ms, min_size=self.least,
        )  # fmt: skip
        words: Any = [] if not self.word else [IdentityConfig(BTC, SELL, BUY, self.word)]  # type: ignore[arg-type]
        return config(
            [
                listing(SELL, USDC, counts_as=BTC, multiplier=self.multiplier), listing(BUY, BTC),
                listing("gate", "USDC/USDT"),
            ],
            follows, fees_bps=(self.fee_bps,) * 4, pairs=[(SELL, BUY)], identities=words,
            gates=GateTerms(
                min_size=0.0, jump_pct=self.jump_pct, max_unproven_edge_bps=self.ceiling_bps,
                max_age_ms=self.max_age_ms, peg_band_pct=self.peg_pct,
            ),
        )  # fmt: skip


CHANGES: tuple[dict[str, Any], ...] = (
    {"fee_bps": 1.0}, {"fee_bps": 10.0}, {"fee_bps": 0.0},
    {"fee_bps": -5.0}, {"fee_bps": -50.0}, {"multiplier": 1.001}, {"multiplier": 1.0},
    {"opens_bps": 3.0}, {"opens_bps": 9.0}, {"closes_bps": None}, {"closes_bps": -5.0}, {"hold_ms": 40},
    {"hold_ms": 0}, {"least": 150.0}, {"least": 0.0}, {"ceiling_bps": 12.0}, {"ceiling_bps": 300.0},
    {"max_age_ms": 100.0}, {"max_age_ms": 60_000.0}, {"jump_pct": 0.05}, {"jump_pct": 20.0},
    {"peg_pct": 0.01}, {"peg_pct": 2.0}, {"word": ""}, {"word": "different"}, {"word": "confirmed"},
    {"word": "quarantined"},
)  # fmt: skip

happenings = st.lists(
    st.tuples(
        st.sampled_from(
            ("sell", "sell", "sell", "buy", "buy", "rate", "set", "set", "down", "up", "gap", "wait", "stop")
        ),
        st.sampled_from((0, 1, 7, 30, 400, 1100)),
        st.integers(0, 1_000_000),
    ),
    min_size=5,
    max_size=40,
)
EDGES = (0.0, 2.6, 5.2, 6.1, 9.3, 14.4, 30.2, 120.0, 500.0)
SIZES = (1.0, 1.0, 2.0, 0.01)


class World:
    """A desk that everything happens to; `published` is all that the lifecycle published."""

    def __init__(self) -> None:
        self.terms = Terms()
        self.desk = Desk(self.terms.market())
        self.now_ms = 0.0
        self.published: list[Episode] = []
        self.desk.quote("gate", "USDC/USDT", 0.99995, 1.00005)
        self.desk.quote(BUY, BTC, 80.0, 100.0)

    def happen(self, what: str, after_ms: int, dice: int) -> None:
        self.now_ms += after_ms
        desk, now_ms, size = self.desk, self.now_ms, SIZES[dice % len(SIZES)]
        edge = EDGES[dice % len(EDGES)]
        if what == "sell":
            desk.quote(SELL, USDC, 100 + edge / 100, 130.0, at_ms=now_ms, sizes=(size, 1.0))
        elif what == "buy":
            desk.quote(BUY, BTC, 80.0, 100 - edge / 200, at_ms=now_ms, sizes=(1.0, size))
        elif what == "rate":
            rate = 1 + (edge - 6) / 1e4
            desk.quote("gate", "USDC/USDT", rate * 0.99999, rate * 1.00001, at_ms=now_ms)
        elif what == "set":
            self.terms = structs.replace(self.terms, **CHANGES[dice % len(CHANGES)])
            desk.configure(self.terms.market(), at_ms=now_ms)  # type: ignore[arg-type]
        elif what in ("down", "up", "gap"):
            names = ((SELL, USDC), (BUY, BTC), ("gate", "USDC/USDT"))
            exchange, symbol = names[dice % len(names)]
            desk.state(exchange, what, symbol, at_ms=now_ms)
        elif what == "stop":
            desk.tick(now_ms)
            now = NOON_US + round(now_ms * 1000), 5_000_000_000 + round(now_ms * 1e6)
            desk.scanner.lifecycle.stop("over", *now)
        desk.tick(now_ms)
        self.published += desk.scanner.lifecycle.take()


def check(episode: Episode) -> None:
    """Check what holds for every row."""
    peak = episode.peak
    moments = [each for each in (episode.opened, peak, episode.closed) if each is not None]
    for moment in moments:
        assert moment.edge_bps == pytest.approx(edge_of(moment), abs=1e-6)
        assert moment.size == pytest.approx(min(moment.buy.ask_size, moment.sell.bid_size) * moment.buy.ask)
        assert moment.edge_bps <= peak.edge_bps
        assert moment.ts_us >= episode.started_us
        assert (moment.buy.exchange, moment.sell.exchange) == (episode.buy_on, episode.sell_on)
        assert moment.buy.age_ms >= 0
        assert moment.sell.age_ms >= 0
    assert episode.mean_edge_bps <= peak.edge_bps
    if episode.closed_us is not None:
        assert max(moment.ts_us for moment in moments) <= episode.closed_us


@given(happenings)
@settings(max_examples=400, deadline=None)
def test_figures_agree_whatever_happens(walk: list[tuple[str, int, int]]) -> None:
    world = World()
    for what, after_ms, dice in walk:
        world.happen(what, after_ms, dice)
    world.happen("stop", 100, 0)
    for each in world.published:
        check(each)
    stories: dict[str, list[Episode]] = {}
    for each in world.published:
        stories.setdefault(each.id, []).append(each)
    for story in stories.values():
        phases = [each.phase for each in story]
        assert (phases[0], phases[-1]) == ("open", "close"), "published once, to its end"
        assert set(phases[1:-1]) <= {"peak"}
        assert {each.started_us for each in story} == {story[0].started_us}
        assert [each.peak.edge_bps for each in story] == sorted(each.peak.edge_bps for each in story)
    check_lake(world.published)


def check_lake(published: list[Episode]) -> None:
    """The lake's rows say what the database's say, in either order of the exchanges."""
    events = opportunity_events(published, Fees(Terms().market()))
    wanted = [each for each in published if each.phase != "peak"]
    assert [event.event for event in events] == [each.phase for each in wanted]
    for event, each in zip(events, wanted, strict=True):
        moment = each.opened if each.phase == "open" else each.closed
        assert (event.buy_on, event.sell_on) == (each.buy_on, each.sell_on)
        assert event.ts_us == (each.opened.ts_us if each.phase == "open" else each.closed_us)
        is_first = event.sell_on == event.exchange1
        edge, size = (event.edge12, event.size12) if is_first else (event.edge21, event.size21)
        if moment is None:
            assert isnan(edge), "nobody knows"
        else:
            assert (edge, size) == pytest.approx((moment.edge_bps, moment.size), abs=1e-6)


@given(happenings)
@settings(max_examples=150, deadline=None)
def test_what_is_open_is_worth_it_by_the_settings_of_now(walk: list[tuple[str, int, int]]) -> None:
    """After every change, without a quote: nothing runs below its threshold or above a ceiling."""
    world = World()
    for what, after_ms, dice in walk:
        world.happen(what, after_ms, dice)
        if what != "set":
            continue
        for direction in world.desk.scanner.directions:
            for run in direction.running:
                assert run.terms.open_bps == world.terms.opens_bps
                assert world.terms.word in ("", "confirmed")
                jumped = direction.buy.jumped or direction.sell.jumped
                if not jumped:
                    edge = direction.edge_bps()
                    assert run.edge == pytest.approx(edge)
                    closes = (
                        world.terms.opens_bps if world.terms.closes_bps is None else world.terms.closes_bps
                    )
                    assert edge >= closes
                    assert world.terms.word == "confirmed" or edge <= world.terms.ceiling_bps
