"""Moves: the routes that open because one exchange moved are read as one opportunity."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from msgspec import structs

from markets.events import Moment
from opportunities.episodes import Asked, counts_per_pair, distributions
from opportunities.services import save_episodes
from tests.opportunities.test_episodes import BUY, SELL, START, START_US, closed, episode

pytestmark = pytest.mark.django_db

EXCHANGES = ("bingx", "bitget", "bybit", "gate", "kucoin", "mexc", "okx")


def route(number: int, move: int, sell_on: str, peak: float, **changes: Any) -> Any:
    """One of a move's, bought on binance, which moved; closed after 3.4 s."""
    peaked = Moment(START_US + 900_000, peak, 1000.0, BUY, SELL)
    routes = episode(
        number, exchange1="binance", exchange2=sell_on, buy_on="binance", sell_on=sell_on, peak=peaked,
        move=f"{move:032x}" if move else "", moved_on="binance" if move else "",
        moved_side="buy" if move else "", started_us=START_US + move * 1_000_000,
    )  # fmt: skip
    return closed(structs.replace(routes, **changes))


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(User.objects.create_user("reader"))
    return client


def asked(reader: Client, **parts: Any) -> Any:
    answer = reader.get("/api/opportunities", parts)
    assert answer.status_code == 200, answer.content
    return answer.json()


def two_hundred_moves() -> None:
    """1,402 episodes: seven routes each, and the first one under a second filter twice."""
    routes = [
        route(move * 10 + place, move, key, 5.0 + place)
        for move in range(1, 201)
        for place, key in enumerate(EXCHANGES)
    ]
    routes += [
        route(9_001, 1, "okx", 11.0, filter_name="two"),
        route(9_002, 2, "okx", 11.0, filter_name="two"),
    ]
    assert save_episodes(routes) == 0  # refused


def test_1402_episodes_of_200_moves_are_200(reader: Client) -> None:
    two_hundred_moves()
    found = distributions(Asked())
    assert (found.considered, found.routes) == (200, 1400)
    assert sum(found.durations_ms.counts) == sum(found.peaks_bps.counts) == sum(found.hours) == 200
    answer = asked(reader, group="move", limit=200)
    assert (answer["matches"], answer["routes"], len(answer["moves"])) == (200, 1400, 200)
    assert sum(move["profit"] for move in answer["moves"]) == pytest.approx(200 * 11.0 / 1e4 * 1000)
    assert {move["route_count"] for move in answer["moves"]} == {7}
    assert counts_per_pair(START)["BTC/USDT|binance|okx"] == 200
    assert asked(reader)["matches"] == 1402


def test_a_move_goes_from_its_earliest_start_to_its_latest_close_best_route_first(reader: Client) -> None:
    save_episodes([
        route(1, 1, "okx", 7.0), route(2, 1, "gate", 9.0, started_us=START_US + 3_000_000),
    ])  # fmt: skip
    (move,) = asked(reader, group="move")["moves"]
    assert (move["moved_on"], move["moved_side"], move["peak_edge_bps"]) == ("binance", "buy", 9.0)
    assert [row["sell_on"] for row in move["routes"]] == ["gate", "okx"]
    assert move["best"]["id"] == move["routes"][0]["id"]
    assert move["duration_ms"] == 5400
    assert move["closed"] - move["started"] == pytest.approx(5.4)


def test_a_move_is_open_while_any_of_its_routes_is(reader: Client) -> None:
    still = structs.replace(route(2, 1, "gate", 9.0), phase="open", closed_us=None, closed=None, reason="")
    save_episodes([route(1, 1, "okx", 7.0), still])
    (move,) = asked(reader, group="move")["moves"]
    assert (move["open"], move["closed"]) == (True, None)
    assert sum(distributions(Asked()).durations_ms.counts) == 0


def test_rows_without_a_move_are_moves_of_their_own(reader: Client) -> None:
    save_episodes([route(1, 0, "okx", 7.0), route(2, 0, "gate", 9.0)])
    answer = asked(reader, group="move")
    assert (answer["matches"], answer["routes"]) == (2, 2)
    assert {move["moved_on"] for move in answer["moves"]} == {""}
    assert {row["move"] for row in asked(reader)["episodes"]} == {None}


@pytest.mark.parametrize("sort", ["started", "duration", "symbol", "peak", "mean", "size"])
def test_moves_are_sorted_and_paged_as_moves(reader: Client, sort: str) -> None:
    save_episodes([
        route(move * 10 + place, move, key, float(move + place), mean_edge_bps=float(move))
        for move in range(1, 6) for place, key in enumerate(EXCHANGES)
    ])  # fmt: skip
    pages = [asked(reader, group="move", sort=sort, limit=2, offset=offset)["moves"] for offset in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [int(move["id"].replace("-", ""), 16) for page in pages for move in page] == [5, 4, 3, 2, 1]


def test_another_grouping_is_refused_by_name(reader: Client) -> None:
    answer = reader.get("/api/opportunities", {"group": "coin"})
    assert answer.status_code == 400
    assert "group" in answer.json()["error"]


def test_a_route_that_opens_again_and_again_in_a_move_is_one_at_its_best(reader: Client) -> None:
    """And is read as one: a move that trembles for an hour has thousands of rows."""
    routes = [route(number, 1, key, 5.0 + number / 100) for number, key in enumerate(EXCHANGES * 100, 1)]
    save_episodes(routes)
    with CaptureQueriesContext(connection) as asked_of:
        (move,) = asked(reader, group="move")["moves"]
    assert [each["peak_edge_bps"] for each in move["routes"]] == pytest.approx(
        [12.0 - place / 100 for place in range(7)]
    )
    assert move["best"]["peak_edge_bps"] == move["peak_edge_bps"] == 12.0
    assert not any("at_peak" in query["sql"] for query in asked_of.captured_queries)
