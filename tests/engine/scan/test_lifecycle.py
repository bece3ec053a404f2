"""The lifecycle of opportunities: one episode per excursion, with hysteresis, however noisy the edge."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, structs

from engine.scan.directions import Direction
from engine.scan.legs import Leg
from engine.scan.lifecycle import Lifecycle, opportunity_events
from markets.config import ExchangeConfig, FilterConfig, GateTerms, ListingConfig, MarketConfig, PairConfig
from markets.events import Episode, StreamState
from markets.selection import ScanPair

BORN_US = 1_760_000_400_000_000
BOOT_NS = 5_000_000_000
WIDE = FilterConfig(1, "wide", min_edge_bps=5.0, close_edge_bps=2.0)
HELD = FilterConfig(2, "held", min_edge_bps=5.0, close_edge_bps=2.0, min_duration_ms=200)
LEVEL = FilterConfig(3, "level", min_edge_bps=8.0)


@dataclass
class Gates:
    """Gatekeeper that answers as the test sets it."""

    closed: str = ""
    unproven: tuple[str, ...] = ()
    asked: list[int] = field(default_factory=list)

    def blocked(
        self, direction: Direction, follows: FilterConfig, now_mono_ns: int, *, is_open: bool = False
    ) -> str:
        self.asked.append(follows.id)
        return self.closed

    def doubts(self, direction: Direction, now_mono_ns: int) -> tuple[str, ...]:
        return self.unproven


def config(*filters: FilterConfig) -> MarketConfig:
    keys = "binance", "bybit"
    return MarketConfig(
        revision=1,
        exchanges=tuple(ExchangeConfig(key, key, True, 10.0, 10.0) for key in keys),
        instruments=frozenset(),
        opportunities=(),
        filters=filters,
        gates=GateTerms(min_size=10.0),
    )


def listing(exchange: str) -> ListingConfig:
    return ListingConfig(exchange, "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC/USDT")


class Market:
    """One pair, and its lifecycle fed as the scanner does; times are ms since the start."""

    def __init__(self, *filters: FilterConfig) -> None:
        self.gates = Gates()
        self.lifecycle = Lifecycle(self.gates)
        self.published: list[Episode] = []
        self.legs = Leg(listing("binance")), Leg(listing("bybit"))
        for leg in self.legs:
            leg.bid, leg.bid_size, leg.ask, leg.ask_size = 100.0, 1.0, 100.1, 2.0
            leg.received_mono_ns = BOOT_NS
        self.configure(0, *filters)

    def configure(self, ms: float, *filters: FilterConfig) -> None:
        """Make the directions again, as a scanner does."""
        binance, bybit = self.legs
        pair = ScanPair(
            "BTC/USDT", PairConfig("binance", "bybit", None), binance.listing, bybit.listing, filters
        )
        self.there = Direction(0, pair, buy=bybit, sell=binance, factor=9980.0)
        self.back = Direction(0, pair, buy=binance, sell=bybit, factor=9980.0)
        self.lifecycle.configure([self.there, self.back], config(*filters), *_stamps(ms))

    def edge(self, ms: float, bps: float, size: float = 100.0, direction: Direction | None = None) -> None:
        """The edge is this from now on."""
        direction = direction or self.there
        us, ns = _stamps(ms)
        if ns >= self.lifecycle.due_ns:
            self.lifecycle.tick(ns)
        if direction.running or bps >= direction.trigger:
            self.lifecycle.judge(direction, bps, size, us, ns)

    def tick(self, ms: float) -> None:
        self.lifecycle.tick(_stamps(ms)[1])

    def stop(self, ms: float) -> None:
        self.tick(ms)
        self.lifecycle.stop("collector stopped", *_stamps(ms))

    def episodes(self, phase: str = "") -> list[Episode]:
        """Episodes published so far."""
        self.published += self.lifecycle.take()
        return [each for each in self.published if phase in ("", each.phase)]

    def phases(self) -> list[str]:
        return [each.phase for each in self.episodes()]


def _stamps(ms: float) -> tuple[int, int]:
    return BORN_US + round(ms * 1000), BOOT_NS + round(ms * 1_000_000)


def ms_of(ts_us: int | None) -> float:
    return nan if ts_us is None else (ts_us - BORN_US) / 1000


class Story(Struct, frozen=True):
    """An episode as somebody with paper and pencil would write it down."""

    started: float
    opened: float
    closed: float
    peak: float
    mean: float


def story(episode: Episode) -> Story:
    return Story(
        ms_of(episode.started_us), ms_of(episode.opened.ts_us), ms_of(episode.closed_us),
        episode.peak.edge_bps, round(episode.mean_edge_bps, 6),
    )  # fmt: skip


Steps = list[tuple[int, float]]  # from this ms on, the edge is


def stories(steps: Steps, end: int, terms: FilterConfig) -> list[Story]:
    """All excursions of an edge that is known from the beginning to the end."""
    opens, closes, hold = _bps(terms.min_edge_bps), _bps(terms.close_edge_bps), terms.min_duration_ms
    stays = [(since, until, edge) for (since, edge), (until, _) in pairwise([*steps, (end, nan)])]
    found, place = [], 0
    while place < len(stays):
        held = _until_below(opens, stays, place)
        start = stays[place][0]
        if held == place or stays[held - 1][1] - start < hold:
            place = max(held, place + 1)
            continue
        over = _until_below(closes, stays, place)
        inside = stays[place:over]
        closed = inside[-1][1]
        mean = sum(edge * (until - since) for since, until, edge in inside) / (closed - start)
        peak = max(edge for _, _, edge in inside)
        found.append(Story(start, start + hold, closed, peak, round(mean, 6)))
        place = over
    return found


def _bps(value: float | None) -> float:
    assert value is not None
    return value


def _until_below(level: float, stays: Sequence[tuple[int, int, float]], place: int) -> int:
    return next((n for n in range(place, len(stays)) if stays[n][2] < level), len(stays))


EDGES = (-3.0, 1.9, 2.0, 3.5, 4.9, 5.0, 6.0, 9.0)


@st.composite
def noise(draw: st.DrawFn) -> tuple[Steps, int]:
    """An edge that trembles about both thresholds, at moments from nearly at once to seconds apart."""
    gaps = draw(st.lists(st.sampled_from((1, 7, 50, 100, 200, 250, 900)), min_size=2, max_size=40))
    edges = draw(st.lists(st.sampled_from(EDGES), min_size=40, max_size=40))
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    return list(zip(times[:-1], edges, strict=False)), times[-1]


class TestOneEpisodePerExcursion:
    @given(noise(), st.sampled_from((0, 100, 200, 1000)))
    def test_episodes_are_the_excursions_that_somebody_with_a_pencil_finds(
        self, walk: tuple[Steps, int], hold_ms: int
    ) -> None:
        steps, end = walk
        terms = structs.replace(HELD, min_duration_ms=hold_ms)
        market = Market(terms)
        for ms, edge in steps:
            market.edge(ms, edge)
        market.stop(end)
        closed = market.episodes("close")
        assert [story(each) for each in closed] == stories(steps, end, terms)
        assert [each.id for each in market.episodes("open")] == [each.id for each in closed]
        for one, following in pairwise(closed):
            assert one.closed_us is not None
            assert one.closed_us <= following.started_us

    @given(noise(), st.lists(st.integers(0, 10_000), max_size=60))
    def test_when_time_is_made_to_pass_changes_nothing(
        self, walk: tuple[Steps, int], ticks: list[int]
    ) -> None:
        steps, end = walk
        found = []
        for moments in ([], sorted(ticks)):
            market = Market(HELD, LEVEL)
            for (ms, edge), (until, _) in pairwise([*steps, (end, 0.0)]):
                market.edge(ms, edge)
                for tick in moments:
                    if ms < tick < until:
                        market.tick(tick)
            market.stop(end)
            found.append(sorted(map(str, market.episodes())))
        assert found[0] == found[1]

    def test_a_trembling_edge_is_one_episode(self) -> None:
        market = Market(WIDE)
        for number in range(1000):
            market.edge(number, 5.5 if number % 2 else 2.5)
        market.edge(1000, 1.0)
        assert market.phases() == ["open", "close"]
        assert market.episodes("close")[0].reason == "edge fell below 2.0 bps"

    def test_without_a_closing_threshold_the_opening_one_closes(self) -> None:
        market = Market(LEVEL)
        market.edge(0, 8.0)
        market.edge(5, 7.9)
        (closed,) = market.episodes("close")
        assert closed.reason == "edge fell below 8.0 bps"
        assert closed.closed is not None
        assert closed.closed.edge_bps == 7.9

    def test_an_edge_that_does_not_hold_opens_nothing(self) -> None:
        market = Market(HELD)
        market.edge(0, 6.0)
        market.edge(199, 4.0)  # still above the closing threshold, but nothing was open
        market.tick(1000)
        assert market.episodes() == []

    def test_one_that_holds_opens_without_another_quote_and_counts_from_its_beginning(self) -> None:
        market = Market(HELD)
        market.edge(0, 6.0)
        market.tick(3000)
        (opened,) = market.episodes()
        assert (ms_of(opened.started_us), ms_of(opened.opened.ts_us)) == (0, 200)
        assert opened.opened.buy.age_ms == pytest.approx(200)

    def test_filters_and_directions_have_episodes_of_their_own(self) -> None:
        market = Market(WIDE, LEVEL)
        market.edge(0, 6.0)
        market.edge(1, 9.0)
        market.edge(2, 9.0, direction=market.back)
        market.edge(3, 7.0)
        opened = [(each.filter_name, each.buy_on, each.sell_on) for each in market.episodes("open")]
        assert opened == [
            ("wide", "bybit", "binance"), ("level", "bybit", "binance"),
            ("wide", "binance", "bybit"), ("level", "binance", "bybit"),
        ]  # fmt: skip
        assert [each.filter_name for each in market.episodes("close")] == ["level"]
        assert len({each.id for each in market.episodes("open")}) == 4

    def test_the_same_episode_has_the_same_id_again(self) -> None:
        ids = set()
        for _ in range(2):
            market = Market(WIDE)
            market.edge(7, 6.0)
            ids.add(market.episodes()[0].id)
        (id,) = ids
        assert len(bytes.fromhex(id)) == 16


class TestWhatItTells:
    def test_a_new_peak_is_published_once_a_second_at_most_and_only_when_higher(self) -> None:
        market = Market(WIDE)
        for ms in range(0, 3000, 10):
            market.edge(ms, 5.0 + ms / 1000)
        market.edge(3000, 4.0)
        market.tick(9000)
        peaks = [each.peak for each in market.episodes("peak")]
        assert [ms_of(peak.ts_us) for peak in peaks] == [990, 1990, 2990]
        assert [peak.edge_bps for peak in peaks] == [5.99, 6.99, 7.99]

    def test_every_event_has_both_sides_as_they_were(self) -> None:
        market = Market(WIDE)
        market.gates.unproven = ("wallets: unknown",)
        binance, bybit = market.legs
        market.edge(40, 6.0)
        binance.bid, bybit.ask = 101.0, 100.2
        market.edge(50, 9.0)
        binance.bid = 99.0
        market.edge(70, -5.0, size=3.0)
        (closed,) = market.episodes("close")
        assert closed.closed is not None
        moments = closed.opened, closed.peak, closed.closed
        assert [(each.sell.bid, each.buy.ask) for each in moments] == [
            (100.0, 100.1), (101.0, 100.2), (99.0, 100.2),
        ]  # fmt: skip
        assert [(each.edge_bps, each.size) for each in moments] == [(6.0, 100.0), (9.0, 100.0), (-5.0, 3.0)]
        assert closed.opened.buy.age_ms == 40
        assert closed.gates == ("wallets: unknown",)

    def test_the_lake_gets_the_opening_and_the_close_with_both_directions(self) -> None:
        market = Market(WIDE)
        market.edge(0, 6.0)
        market.edge(2000, 7.0)  # a peak, which the lake does not keep
        market.legs[0].bid = nan
        market.edge(2500, nan)
        fees = {"binance": 0.001, "bybit": 0.002}
        opened, closed = opportunity_events(market.episodes(), fees)
        assert (opened.event, ms_of(opened.ts_us), opened.filter_id) == ("open", 0, 1)
        assert opened.spread == 0.0
        assert opened.edge12 == pytest.approx((100.0 * 0.999 / (100.1 * 1.002) - 1) * 10_000)
        assert opened.edge21 == pytest.approx((100.0 * 0.998 / (100.1 * 1.001) - 1) * 10_000)
        assert opened.size12 == opened.size21 == pytest.approx(100.1)
        assert (closed.event, ms_of(closed.ts_us)) == ("close", 2500)
        assert isnan(closed.spread)
        assert isnan(closed.size21)


class TestGates:
    def test_behind_a_closed_gate_nothing_opens(self) -> None:
        market = Market(WIDE)
        market.gates.closed = "identity"
        market.edge(0, 600.0)
        market.gates.closed = ""
        assert market.episodes() == []
        market.edge(1, 600.0)
        assert market.phases() == ["open"]

    def test_a_gate_that_closes_is_noticed_within_a_quarter_of_a_second_without_any_quote(self) -> None:
        market = Market(WIDE)
        market.edge(0, 6.0)
        market.gates.closed = "mexc 9.4 s, while 5 others talk: silent"
        market.tick(900)
        (closed,) = market.episodes("close")
        assert (ms_of(closed.closed_us), closed.reason) == (250, market.gates.closed)

    def test_it_forgets_a_candidate(self) -> None:
        market = Market(HELD)
        market.edge(0, 6.0)
        market.gates.closed = "bybit is halted"
        market.tick(200)
        market.gates.closed = ""
        market.tick(1000)
        assert market.episodes() == []

    def test_gates_are_not_asked_at_every_quote_of_what_is_open(self) -> None:
        market = Market(WIDE)
        for ms in range(1000):
            market.edge(ms, 6.0 + ms % 3)
        assert len(market.gates.asked) == 1 + 3

    def test_a_collector_that_stood_still_for_an_hour_does_not_make_up_for_its_checks(self) -> None:
        market = Market(WIDE)
        market.edge(0, 600.0)
        market.tick(3_600_000)
        assert len(market.gates.asked) < 300  # a minute's, not an hour's 14,400
        market.gates.closed = "identity"
        market.tick(3_600_250)
        assert market.phases() == ["open", "close"]

    def test_a_price_that_jumped_is_not_believed_until_it_is_confirmed(self) -> None:
        market = Market(WIDE)
        market.legs[0].jumped = True
        market.edge(0, 900.0)
        market.legs[0].jumped = False
        market.edge(1, 6.0)
        market.legs[0].jumped = True
        market.edge(2, -900.0)
        market.legs[0].jumped = False
        market.edge(3, 7.0)
        assert market.phases() == ["open"]
        market.edge(4, 1.0)
        assert market.episodes("close")[0].peak.edge_bps == 7.0


class TestSize:
    def test_too_little_executable_opens_nothing_and_the_filter_outranks_the_gate(self) -> None:
        market = Market(WIDE, structs.replace(WIDE, id=9, name="large", min_size=1000.0))
        market.edge(0, 6.0, size=9.9)
        market.edge(1, 6.0, size=999.0)
        assert [each.filter_name for each in market.episodes()] == ["wide"]

    def test_a_short_dip_of_the_size_closes_nothing_and_makes_no_peak(self) -> None:
        market = Market(WIDE)
        market.edge(0, 6.0)
        for ms in range(100, 5000, 600):
            market.edge(ms, 50.0, size=1.0)
            market.edge(ms + 300, 5.5)
        assert market.phases() == ["open"]
        market.stop(5000)
        assert market.episodes("close")[0].peak.edge_bps == 6.0

    def test_a_second_without_anything_to_execute_closes(self) -> None:
        market = Market(WIDE)
        market.edge(0, 6.0)
        market.edge(100, 6.0, size=1.0)
        market.tick(3000)
        (closed,) = market.episodes("close")
        assert (ms_of(closed.closed_us), closed.reason) == (1250, "executable size below 10.00 USDT")


class TestEndings:
    def test_a_stream_that_goes_down_closes_at_once_and_says_so(self) -> None:
        market = Market(WIDE)
        market.edge(0, 6.0)
        leg = market.legs[1]
        leg.turn(StreamState("bybit", ("BTC/USDT",), "down", "no frame for 20 s"))
        market.edge(300, nan, nan)
        (closed,) = market.episodes("close")
        assert closed.reason == "bybit: stream down: no frame for 20 s"
        assert closed.closed is None
        assert (ms_of(closed.closed_us), closed.mean_edge_bps) == (300, 6.0)

    def test_a_collector_that_stops_closes_what_is_open_and_forgets_candidates(self) -> None:
        market = Market(WIDE, HELD)
        market.edge(0, 6.0)
        market.stop(150)
        (closed,) = market.episodes("close")
        assert (closed.filter_name, closed.reason) == ("wide", "collector stopped")

    def test_what_stays_as_it_is_goes_on_under_a_new_configuration(self) -> None:
        market = Market(WIDE, HELD)
        market.edge(0, 6.0)
        market.configure(100, structs.replace(WIDE, name="wider", min_spread_pct=1.0), HELD)
        market.edge(5000, 3.0)
        market.edge(6000, 1.0)
        assert [(each.phase, each.filter_name) for each in market.episodes()] == [
            ("open", "wide"), ("open", "held"), ("close", "wider"), ("close", "held"),
        ]  # fmt: skip
        assert market.there.running == ()

    @pytest.mark.parametrize(
        ("filters", "reason"),
        [
            ((structs.replace(WIDE, close_edge_bps=1.0),), "filter changed"),
            ((structs.replace(WIDE, min_size=11.0),), "filter changed"),
            ((LEVEL,), "filter disabled"),
        ],
    )
    def test_what_a_new_configuration_does_not_follow_alike_closes(
        self, filters: tuple[FilterConfig, ...], reason: str
    ) -> None:
        market = Market(WIDE)
        market.edge(0, 6.0)
        market.configure(100, *filters)
        (closed,) = market.episodes("close")
        assert (ms_of(closed.closed_us), closed.reason) == (100, reason)
        market.edge(200, 9.0)
        assert market.phases()[-1] == "open"

    def test_a_pair_that_is_not_compared_any_more_closes(self) -> None:
        market = Market(WIDE)
        market.edge(0, 6.0)
        market.lifecycle.configure([market.back], config(WIDE), *_stamps(100))
        (closed,) = market.episodes("close")
        assert closed.reason == "the filter no longer follows this pair"
