"""Money on the table of an opportunity: what is kept of both order books, listed, sorted and shown."""

from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from msgspec import structs

from markets.events import AtDepth, Moment
from opportunities.models import OpportunityEpisode
from opportunities.services import save_episodes
from tests.opportunities.test_episodes import START_US, closed, episode

pytestmark = pytest.mark.django_db

DEEP = AtDepth((3.0, 23.88, None), 2420.0, 52.0, 238.8, 23.88)
SHALLOW = AtDepth((0.5, None, None), 150.0, 0.6)


def peak_at(depth: AtDepth | None, number: int = 1, edge_bps: float = 31.5) -> Any:
    """An episode with these books at its peak, and none at its opening."""
    story = episode(number, started_us=START_US + number * 1_000_000)
    peak = structs.replace(story.peak, edge_bps=edge_bps, depth=depth)
    return structs.replace(story, phase="peak", peak=peak)


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(User.objects.create_user("reader"))
    return client


def asked(reader: Client, **parts: Any) -> Any:
    answer = reader.get("/api/opportunities", parts)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_row_has_the_depth_of_its_peak_and_all_moments() -> None:
    story = peak_at(DEEP)
    ending = Moment(story.started_us, 1.0, 2.0, story.peak.buy, story.peak.sell, SHALLOW)
    save_episodes([closed(story, closed=ending)])
    row = OpportunityEpisode.objects.get()
    assert (row.peak_profit_100, row.peak_profit_1000, row.peak_profit_10000) == (3.0, 23.88, None)
    assert (row.peak_best_size, row.peak_best_profit) == (2420.0, 52.0)
    assert (row.peak_my_edge_bps, row.peak_my_profit) == (238.8, 23.88)
    assert row.opened.depth is None
    assert row.peak.depth == DEEP
    assert row.closed is not None
    assert row.closed.depth == SHALLOW


def test_unknown_depth_is_null_also_where_an_earlier_peak_had_one(reader: Client) -> None:
    save_episodes([peak_at(DEEP)])
    save_episodes([peak_at(None)])
    row = OpportunityEpisode.objects.get()
    assert (row.peak_best_size, row.peak_profit_100, row.peak_my_edge_bps) == (None, None, None)
    (listed,) = asked(reader)["episodes"]
    assert listed["depth"] is None


def test_the_api_has_it_of_every_route(reader: Client) -> None:
    save_episodes([peak_at(DEEP)])
    (move,) = asked(reader, group="move")["moves"]
    assert move["best"]["depth"] == {
        "profit_100": 3.0, "profit_1000": 23.88, "profit_10000": None, "best_size": 2420.0,
        "best_profit": 52.0, "my_edge_bps": 238.8, "my_profit": 23.88,
    }  # fmt: skip


@pytest.mark.parametrize("group", ["", "move"])
@pytest.mark.parametrize(("descending", "order"), [(True, [1, 2, 3]), (False, [2, 1, 3])])
def test_sorted_by_profit_what_is_unknown_stands_last(
    reader: Client, group: str, descending: bool, order: list[int]
) -> None:
    save_episodes([peak_at(DEEP, 1), peak_at(SHALLOW, 2), peak_at(None, 3)])
    asks = {"sort": "profit", "descending": str(descending).lower()}
    found = asked(reader, group=group, **asks)
    assert [UUID(row["id"]).int for row in found["moves" if group else "episodes"]] == order


def test_a_least_profit_leaves_out_what_is_unknown(reader: Client) -> None:
    save_episodes([peak_at(DEEP, 1), peak_at(SHALLOW, 2), peak_at(None, 3)])
    assert asked(reader, min_profit="0.6")["matches"] == 2
    assert asked(reader, min_profit="0.7")["matches"] == 1
    assert asked(reader, min_profit="-100")["matches"] == 2
    assert asked(reader)["matches"] == 3


def test_its_page_has_a_row_per_moment_that_is_known(reader: Client) -> None:
    save_episodes([peak_at(DEEP)])
    page = reader.get(f"/opportunities/{UUID(int=1)}").content.decode()
    for words in ("Profit at 10,000 USDT", "2,420 USDT", "52.00 USDT", "+238.8 bps", "23.88 USDT"):
        assert words in page


def test_its_page_says_what_to_do_where_nothing_is_known(reader: Client) -> None:
    save_episodes([peak_at(None)])
    page = reader.get(f"/opportunities/{UUID(int=1)}").content.decode()
    assert "Unknown: the order book of a leg was not followed, or not known." in page
    assert "Best size" not in page
