"""The lifecycle at its limits: thresholds met exactly, checks just due, sizes just enough."""

from math import inf, nan

import pytest
from msgspec import structs

from markets.config import GateTerms
from tests.engine.scan.test_lifecycle import HELD, WIDE, Market, _stamps, ms_of


def test_one_that_is_held_for_longer_than_between_two_checks_opens_when_it_was_held() -> None:
    market = Market(structs.replace(HELD, min_duration_ms=1_100))
    market.edge(0, 6.0)
    market.tick(1_099)
    assert market.episodes() == []
    market.tick(1_100)
    assert ms_of(market.episodes("open")[0].opened.ts_us) == 1_100


def test_it_is_due_at_the_next_check_of_whatever_runs_and_else_never() -> None:
    market = Market(WIDE, HELD)
    market.edge(0, 6.0)
    found = [market.lifecycle.due_ns]
    for ms in (200, 250, 300, 449, 470, 520):
        market.tick(ms)
        found.append(market.lifecycle.due_ns)
    assert found == [_stamps(ms)[1] for ms in (200, 250, 450, 450, 450, 500, 700)]
    market.edge(530, 0.0)
    market.tick(1000)
    assert market.lifecycle.due_ns > _stamps(10**9)[1]


def test_it_closes_when_the_second_is_over_and_not_at_the_check_after() -> None:
    market = Market(WIDE)
    market.edge(0, 6.0)
    market.edge(250, 6.0, size=1.0)
    market.tick(3000)
    assert ms_of(market.episodes("close")[0].closed_us) == 1250


def test_the_mean_leaves_out_when_too_little_was_executable() -> None:
    market = Market(WIDE)
    market.edge(0, 6.0)
    market.edge(100, 3.0, size=1.0)
    market.edge(500, 9.0)
    market.edge(700, 4.0, size=1.0)
    market.tick(3000)
    (closed,) = market.episodes("close")
    assert ms_of(closed.closed_us) == 1750
    assert closed.mean_edge_bps == pytest.approx((6 * 100 + 9 * 200) / 300)


def test_a_late_tick_moves_the_next_check_only_after_a_minute_in_which_nothing_was_judged() -> None:
    market = Market(WIDE)
    market.edge(0, 6.0)
    market.edge(100_000, 6.0)
    assert market.lifecycle.due_ns == _stamps(100_250)[1]
    market.tick(100_300)
    assert market.lifecycle.due_ns == _stamps(100_500)[1]


@pytest.mark.parametrize(
    ("least", "worth", "size", "enough"),
    [
        (10.0, 1.0, 10.0, True),
        (10.0, 1.0, 9.99, False),
        (10.0, 0.5, 20.0, True),
        (10.0, 0.5, 19.9, False),
        (10.0, nan, 50.0, False),
        (0.5, 1.0, 0.4, False),
        (0.0, 1.0, 0.0, True),
        (0.0, nan, 5.0, True),
        (0.0, 1.0, nan, False),
    ],
)
def test_a_size_opens_and_makes_a_peak_when_it_is_worth_the_least(
    least: float, worth: float, size: float, enough: bool
) -> None:
    follows = structs.replace(WIDE, min_size=least)
    fresh, running = Market(follows), Market(follows)
    running.edge(0, 6.0)
    for market in (fresh, running):
        market.legs[1].worth = worth
        market.edge(2000, 7.0, size)
    assert fresh.phases() == ["open"] * enough
    assert running.phases() == ["open", "peak"][: 1 + enough]


def test_an_edge_just_at_the_thresholds_opens_and_stays_open() -> None:
    market = Market(WIDE, HELD)
    for ms, edge in ((0, 5.0), (100, 5.0), (300, 2.0), (400, 1.9)):
        market.edge(ms, edge)
    assert [(each.phase, each.filter_name) for each in market.episodes()] == [
        ("open", "wide"), ("open", "held"), ("close", "wide"), ("close", "held"),
    ]  # fmt: skip
    assert {ms_of(each.closed_us) for each in market.episodes("close")} == {400}


def test_a_candidate_already_has_its_peak_and_its_mean() -> None:
    market = Market(HELD)
    for ms, edge in ((0, 6.0), (100, 9.0), (150, 9.0), (160, 7.0), (260, 0.0)):
        market.edge(ms, edge)
    (opened,) = market.episodes("open")
    (closed,) = market.episodes("close")
    assert (opened.peak.edge_bps, ms_of(opened.peak.ts_us)) == (9.0, 100)
    assert closed.mean_edge_bps == pytest.approx((6 * 100 + 9 * 60 + 7 * 100) / 260)


def test_an_edge_as_high_as_the_peak_is_no_new_one() -> None:
    market = Market(WIDE)
    market.edge(0, 6.0)
    market.edge(1500, 6.0)
    market.edge(3000, 1.0)
    assert market.phases() == ["open", "close"]
    assert ms_of(market.episodes("close")[0].peak.ts_us) == 0


def test_above_what_must_be_proven_the_gates_are_asked_at_every_quote() -> None:
    market = Market(WIDE)
    market.edge(0, 6.0)
    market.gates.closed = "identity"
    market.edge(1, GateTerms().max_unproven_edge_bps)
    assert market.phases() == ["open"], "just that much is not doubted"
    market.tick(240)
    market.gates.closed = ""
    market.tick(2000)
    market.gates.closed = "identity"
    market.edge(2001, GateTerms().max_unproven_edge_bps + 0.1)
    (closed,) = market.episodes("close")
    assert (ms_of(closed.closed_us), closed.reason) == (2001, "identity")
    assert closed.closed is None, "what is above the peak was never executable"
    assert market.phases()[-1] == "close"


def test_a_doubted_candidate_is_forgotten_at_once() -> None:
    market = Market(HELD)
    market.edge(0, 6.0)
    market.gates.closed = "identity"
    market.edge(1, 600.0)
    market.gates.closed = ""
    market.edge(199, 6.0)
    market.tick(398)
    assert market.episodes() == []
    market.tick(399)
    assert market.phases() == ["open"]


def test_every_change_is_judged_exactly_while_something_runs() -> None:
    market = Market(WIDE)
    found = [market.there.reach]
    for ms, edge in ((0, 6.0), (1, 1.0)):
        market.edge(ms, edge)
        found.append(market.there.reach)
    assert found == [found[0], inf, found[0]]
    assert found[0] < inf
