"""One exchange that moves is one move, however many pairs and filters see it."""

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from engine.scan.moves import JOIN_NS, Move, Moves, Opening
from markets.config import FilterConfig, IdentityConfig
from markets.events import Episode
from opportunities.models import OpportunityEpisode
from opportunities.services import save_episodes
from tests.opportunities.test_episodes import closed, episode
from tests.support.scan.market import EXCHANGES, Desk, config, everywhere

BTC, ETH = "BTC/USDT", "ETH/USDT"
WIDE = FilterConfig(1, "wide", min_edge_bps=5.0, close_edge_bps=2.0)
ALSO = FilterConfig(2, "also", min_edge_bps=7.0, close_edge_bps=2.0)
EIGHT = ("binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx")
S = 1_000_000_000


def opening(buy_on: str, sell_on: str, trigger: Any = None, coin: str = "BTC") -> Opening:
    return Opening(f"{coin} {buy_on} {sell_on}", coin, buy_on, sell_on, trigger)


def joined(*openings: Opening, apart_ns: int = 0) -> list[Move]:
    """The move of each opening; all of them stay open."""
    moves, found = Moves(), []
    for number, each in enumerate(openings):
        found.append(moves.join(each, number * apart_ns))
        found[-1].runs.append(each)
    return found


@given(mover=st.sampled_from(EIGHT), side=st.sampled_from(["buy", "sell"]), order=st.randoms())
def test_seven_routes_of_one_exchange_are_one_move_in_any_order(mover: str, side: str, order: Any) -> None:
    others = [key for key in EIGHT if key != mover]
    order.shuffle(others)
    routes = [opening(mover, other) if side == "buy" else opening(other, mover) for other in others]
    moves = joined(*routes, apart_ns=S)
    assert len({id(move) for move in moves}) == 1
    assert moves[0].mover == (mover, side)
    assert moves[0].id == routes[0].id


def test_one_route_alone_is_decided_by_the_quote_that_came_last() -> None:
    assert joined(opening("okx", "gate", "buy"))[0].mover == ("okx", "buy")
    assert joined(opening("okx", "gate", "sell"))[0].mover == ("gate", "sell")
    assert joined(opening("okx", "gate"))[0].mover is None, "both at once: not known"


def test_what_a_first_guess_took_for_moving_is_put_right_by_the_second_route() -> None:
    first, _ = joined(opening("okx", "gate", "buy"), opening("bybit", "gate", "sell"))
    assert first.mover == ("gate", "sell")


def test_routes_that_share_no_side_that_moved_are_different_moves() -> None:
    moves = joined(opening("okx", "gate"), opening("bybit", "gate"), opening("okx", "mexc"))
    assert moves[0] is moves[1]
    assert moves[2] is not moves[0], "that OKX is cheap does not explain why Gate is dear"


def test_another_coin_is_another_move() -> None:
    one, other = joined(opening("okx", "gate"), opening("okx", "mexc", coin="ETH"))
    assert one is not other


def test_what_opens_long_after_is_another_move_although_the_first_goes_on() -> None:
    soon = joined(opening("okx", "gate"), opening("okx", "mexc"), apart_ns=JOIN_NS)
    late = joined(opening("okx", "gate"), opening("okx", "mexc"), apart_ns=JOIN_NS + 1)
    assert soon[0] is soon[1]
    assert late[0] is not late[1]


def test_every_route_that_joins_keeps_a_move_young() -> None:
    routes = [opening("okx", sell_on) for sell_on in ("gate", "mexc", "bybit")]
    assert len({id(move) for move in joined(*routes, apart_ns=JOIN_NS)}) == 1


@pytest.mark.parametrize("apart_ns", [0, 1, JOIN_NS])
def test_a_move_whose_routes_are_all_closed_is_still_joined_while_it_is_young(apart_ns: int) -> None:
    moves, began_ns = Moves(), 60 * S
    closed = moves.join(opening("okx", "gate"), began_ns)
    assert not closed.runs
    assert moves.join(opening("okx", "mexc"), began_ns + apart_ns) is closed


@pytest.mark.parametrize(("trigger", "joins"), [("buy", "cheap"), ("sell", "dear"), (None, "dear")])
def test_a_route_of_two_moves_joins_the_one_its_quote_moved_in_and_else_the_newest(
    trigger: Any, joins: str
) -> None:
    moves = Moves()
    for number, sell_on in enumerate(("gate", "mexc")):
        cheap = moves.join(opening("okx", sell_on), number)
    for number, buy_on in enumerate(("bybit", "bitget")):
        dear = moves.join(opening(buy_on, "kucoin"), 2 + number)
    assert (cheap.mover, dear.mover) == (("okx", "buy"), ("kucoin", "sell"))
    assert moves.join(opening("okx", "kucoin", trigger), 4) is {"cheap": cheap, "dear": dear}[joins]


def test_what_is_over_is_forgotten() -> None:
    moves = Moves()
    for number in range(1000):
        moves.join(opening("okx", "gate"), number * 60 * S)
    assert len(moves._of_coin["BTC"]) == 1


# --- the scanner ---------------------------------------------------------------------------------


def desk(*filters: FilterConfig) -> Desk:
    market = config(
        everywhere(BTC, ETH),
        *filters,
        fees_bps=(0.0,) * len(EXCHANGES),
        identities=[
            IdentityConfig(symbol, one, two, "confirmed")
            for symbol in (BTC, ETH)
            for one, two in permutations(EXCHANGES, 2)
        ],
    )
    made = Desk(market)
    for symbol in (BTC, ETH):
        for exchange in EXCHANGES:
            made.quote(exchange, symbol, 100.0, 100.0, sizes=(9.0, 9.0))
    return made


def opened(at: Desk) -> list[Episode]:
    return [each for each in at.scanner.lifecycle.take() if each.phase == "open"]


@pytest.mark.parametrize("mover", EXCHANGES)
@pytest.mark.parametrize(("price", "side"), [(100.2, "sell"), (99.8, "buy")])
def test_a_jump_of_one_exchange_opens_one_move(mover: str, price: float, side: str) -> None:
    at = desk(WIDE, ALSO)
    at.quote(mover, BTC, price, price, at_ms=100, sizes=(9.0, 9.0))
    found = opened(at)
    assert len(found) == 2 * (len(EXCHANGES) - 1), "every pair of it, for both filters"
    assert len({each.move for each in found}) == 1
    assert {(each.moved_on, each.moved_side) for each in found} == {(mover, side)}
    assert found[0].move == found[0].id


def test_two_coins_that_jump_are_two_moves() -> None:
    at = desk(WIDE)
    for symbol in (BTC, ETH):
        at.quote("okx", symbol, 100.2, 100.2, at_ms=100, sizes=(9.0, 9.0))
    assert len({each.move for each in opened(at)}) == 2


def test_a_route_that_opened_before_learns_who_moved() -> None:
    at = desk(WIDE)
    at.quote("gate", BTC, 100.04, 100.04, at_ms=1, sizes=(9.0, 9.0))
    at.quote("okx", BTC, 99.98, 99.98, at_ms=2, sizes=(9.0, 9.0))
    (first,) = opened(at)
    assert (first.moved_on, first.moved_side) == ("okx", "buy"), "its quote came last"
    at.quote("gate", BTC, 100.2, 100.2, at_ms=3, sizes=(9.0, 9.0))
    at.tick(1500)
    episodes = at.scanner.lifecycle.take()
    assert {each.move for each in episodes} == {first.move}
    again = [each for each in episodes if each.id == first.id][-1]
    assert (again.moved_on, again.moved_side) == ("gate", "sell"), "what all of them share"


def test_a_move_is_kept_with_its_rows(db: None) -> None:
    other = closed(structs.replace(episode(1), move=episode(1).id, moved_on="kucoin", moved_side="sell"))
    save_episodes([other, closed(episode(2))])
    with_move, without = OpportunityEpisode.objects.order_by("pk")
    assert (with_move.move, with_move.moved_on, with_move.moved_side) == (with_move.pk, "kucoin", "sell")
    assert (without.move, without.moved_on, without.moved_side) == (None, "", "")


HELD = FilterConfig(3, "held", min_edge_bps=5.0, close_edge_bps=2.0, min_duration_ms=500)


@pytest.mark.parametrize("filter", [WIDE, HELD], ids=["at once", "held for 500 ms"])
@pytest.mark.parametrize("apart_ms", [0, 1, 400])
@pytest.mark.parametrize(("price", "side"), [(100.2, "sell"), (99.8, "buy")])
def test_two_exchanges_that_move_at_once_are_two_moves(
    filter: FilterConfig, apart_ms: int, price: float, side: str
) -> None:
    at = desk(filter)
    at.quote("gate", BTC, price, price, at_ms=100, sizes=(9.0, 9.0))
    at.quote("okx", BTC, price, price, at_ms=100 + apart_ms, sizes=(9.0, 9.0))
    at.tick(1200)
    found = opened(at)
    assert len(found) == 2 * (len(EXCHANGES) - 2) + (1 if filter is WIDE else 0)
    of_both = [each for each in found if {each.buy_on, each.sell_on} != {"gate", "okx"}]
    movers: dict[str, set[str]] = {each.move: set() for each in of_both}
    for each in of_both:
        movers[each.move].add(each.sell_on if side == "sell" else each.buy_on)
    assert sorted(movers.values(), key=sorted) == [{"gate"}, {"okx"}]


def test_a_move_that_reverses_is_another_move() -> None:
    at = desk(WIDE)
    at.quote("okx", BTC, 100.2, 100.2, at_ms=100, sizes=(9.0, 9.0))
    there = opened(at)
    at.quote("okx", BTC, 99.8, 99.8, at_ms=200, sizes=(9.0, 9.0))
    at.tick(300)
    back = opened(at)
    assert len(there) == len(back) == len(EXCHANGES) - 1
    assert {each.moved_side for each in there} == {"sell"}
    assert {each.moved_side for each in back} == {"buy"}
    assert {each.move for each in there}.isdisjoint(each.move for each in back)
