"""Opportunities in PostgreSQL: one row per episode, whatever dies meanwhile; how they are read."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import nan
from typing import Any
from uuid import UUID

import psycopg
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from msgspec import structs
from psycopg import sql
from pytest_django import Settings

from core.channel import Channel
from markets.config import Shard
from markets.events import Episode, IdentityFinding, LegPrice, Moment, SinkEvent
from markets.models import Exchange, IdentityCase, OpportunityFilter, Symbol
from opportunities import sink as episode_sink
from opportunities.episodes import Asked, counts_per_pair, distributions, episodes
from opportunities.models import OpportunityEpisode
from opportunities.services import close_orphans, save_episodes
from opportunities.sink import EpisodeSink
from opportunities.tasks import retain_episodes
from tests.support.live import eventually

START = datetime.datetime(2026, 3, 1, 9, 30, tzinfo=datetime.UTC)
START_US = 1_772_357_400_000_000
BUY = LegPrice("bybit", 99.8, 3.0, 100.0, 2.0, 12.5)
SELL = LegPrice("binance", 100.4, 1.5, 100.5, 4.0, 0.0)


def episode(number: int = 1, **changes: Any) -> Episode:
    """An open one."""
    opened = Moment(START_US + 200_000, 12.0, 150.0, BUY, SELL)
    plain = Episode(
        f"{number:032x}", "open", 0, "wide", "BTC/USDT", "binance", "bybit", "bybit", "binance", START_US,
        opened, opened, 12.0, ("wallets: unknown",),
    )  # fmt: skip
    return structs.replace(plain, **changes)


def peaked(story: Episode) -> Episode:
    return structs.replace(story, phase="peak", peak=Moment(START_US + 900_000, 31.5, 90.0, BUY, SELL))


def closed(story: Episode, after_ms: int = 3_400, **changes: Any) -> Episode:
    closed_us = story.started_us + after_ms * 1000
    ending: dict[str, Any] = {
        "phase": "close",
        "closed_us": closed_us,
        "closed": Moment(closed_us, 1.5, 20.0, BUY, SELL),
        "mean_edge_bps": 17.25,
        "reason": "edge fell below 2.0 bps",
    }
    return structs.replace(story, **ending | changes)


class TestRows:
    pytestmark = pytest.mark.django_db

    def test_a_row_has_the_whole_story(self) -> None:
        follows = OpportunityFilter.objects.create(name="wide", min_edge_bps=5)
        save_episodes([closed(peaked(episode(filter_id=follows.pk)))])
        row = OpportunityEpisode.objects.get()
        assert row.id == UUID(int=1)
        assert (row.filter, row.filter_name, row.pair_id) == (follows, "wide", "BTC/USDT|binance|bybit")
        assert (row.buy_on, row.sell_on) == ("bybit", "binance")
        assert row.started_at == START
        assert row.duration == datetime.timedelta(seconds=3.4)
        assert (row.open_edge_bps, row.peak_edge_bps, row.mean_edge_bps, row.close_edge_bps) == (
            12.0, 31.5, 17.25, 1.5,
        )  # fmt: skip
        assert (row.open_size, row.peak_size) == (150.0, 90.0)
        assert row.peak == Moment(START_US + 900_000, 31.5, 90.0, BUY, SELL)
        assert row.closed is not None
        assert row.closed.buy == BUY
        assert (row.gates, row.reason) == (["wallets: unknown"], "edge fell below 2.0 bps")

    def test_telling_it_again_makes_no_second_row(self) -> None:
        for story in (episode(), peaked(episode()), closed(episode()), closed(episode())):
            save_episodes([story])
        row = OpportunityEpisode.objects.get()
        assert (row.is_open, row.close_edge_bps) == (False, 1.5)

    def test_a_leg_that_was_gone_at_the_close_is_not_made_up(self) -> None:
        save_episodes([closed(episode(), closed=None, reason="bybit: stream down: no frame for 20 s")])
        row = OpportunityEpisode.objects.get()
        assert (row.closed, row.close_edge_bps, row.is_open) == (None, None, False)

    def test_history_outlives_the_filter(self) -> None:
        follows = OpportunityFilter.objects.create(name="wide", min_edge_bps=5)
        story = episode(filter_id=follows.pk)
        save_episodes([story])
        follows.delete()
        save_episodes([closed(story)])
        row = OpportunityEpisode.objects.get()
        assert (row.filter, row.filter_name, row.is_open) == (None, "wide", False)

    def test_what_the_database_refuses_does_not_keep_the_rest_out(self) -> None:
        impossible = Moment(START_US, 5.0, 1.0, structs.replace(BUY, bid=nan), SELL)
        assert save_episodes([episode(1, opened=impossible), episode(2)]) == 1
        assert OpportunityEpisode.objects.get().id == UUID(int=2)


class TestOrphans:
    pytestmark = pytest.mark.django_db

    def test_what_a_killed_collector_left_open_closes_as_of_when_it_was_last_seen(self) -> None:
        save_episodes([episode(1), episode(2), closed(episode(3))])
        seen = START + datetime.timedelta(minutes=7)
        OpportunityEpisode.objects.filter(closed_at=None).update(seen_at=seen)
        assert close_orphans(Shard(), running=[episode(2).id]) == 1
        row = OpportunityEpisode.objects.get(pk=UUID(int=1))
        assert (row.closed_at, row.duration_ms, row.reason) == (seen, 7 * 60_000, "collector was killed")
        assert OpportunityEpisode.objects.get(closed_at=None).pk == UUID(int=2)

    def test_one_whose_peak_is_later_than_it_was_seen_closes_at_its_peak(self) -> None:
        """The clocks of two machines, or one that was set back."""
        save_episodes([peaked(episode())])
        OpportunityEpisode.objects.update(seen_at=START)
        close_orphans(Shard(), running=[])
        row = OpportunityEpisode.objects.get()
        assert (row.closed_at, row.duration_ms) == (START + datetime.timedelta(milliseconds=900), 900)

    def test_a_shard_leaves_the_others_alone(self) -> None:
        save_episodes([episode(1, symbol="BTC/USDT"), episode(2, symbol="DOGE/USDT")])
        close_orphans(Shard(1, 2), running=[])
        assert OpportunityEpisode.objects.get(closed_at=None).symbol == "BTC/USDT"


# --- the sink, on a database that works and on one that does not ---------------------------------


@asynccontextmanager
async def sink() -> AsyncIterator[tuple[Channel[SinkEvent], EpisodeSink]]:
    """A running sink; its channel is closed at the end, and what waits is written."""
    channel: Channel[SinkEvent] = Channel("episodes")
    running = EpisodeSink(channel, Shard(), lambda event: None)
    task = asyncio.create_task(running.run())
    try:
        yield channel, running
    finally:
        channel.close()
        async with asyncio.timeout(10):
            await task


async def rows() -> list[OpportunityEpisode]:
    found: list[OpportunityEpisode] = await database_sync_to_async(
        lambda: list(OpportunityEpisode.objects.order_by("id"))
    )()
    return found


def works_again(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[..., int]:
    """Makes the database fail that often, for every save of episodes."""
    left = iter(range(after))

    def save(stories: Any) -> int:
        if next(left, None) is not None:
            raise OperationalError("the server closed the connection unexpectedly\nand more")
        return save_episodes(stories)

    monkeypatch.setattr(episode_sink, "save_episodes", save)
    monkeypatch.setattr(episode_sink, "RETRY_FIRST_S", 0.02)
    return save


@contextmanager
def nobody_may_connect() -> Iterator[None]:
    """The test database refuses every new connection; this one is to another database."""
    here = {**connection.get_connection_params(), "dbname": "postgres"}
    with psycopg.connect(**here, autocommit=True) as server:
        name = sql.Identifier(str(connection.settings_dict["NAME"]))
        change = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        server.execute(change.format(name, sql.SQL("false")))
        try:
            yield
        finally:
            server.execute(change.format(name, sql.SQL("true")))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(episode_sink, "WRITE_EVERY_S", 0.02)


@pytest.mark.django_db(transaction=True)
class TestSink:
    async def test_events_become_one_row_per_episode(self) -> None:
        async with sink() as (channel, running):
            channel.put(episode(1))
            await eventually(lambda: running.stats()["written"] == 1, "the opening")
            assert [row.is_open for row in await rows()] == [True]
            channel.put_many([peaked(episode(1)), episode(2), closed(peaked(episode(1)))])
        found = await rows()
        assert [(row.is_open, row.peak_edge_bps) for row in found] == [(False, 31.5), (True, 12.0)]
        assert (running.stats()["episodes_open"], running.stats()["waiting"]) == (1, 0)

    async def test_what_was_left_open_is_closed_before_anything_else(self) -> None:
        await database_sync_to_async(save_episodes)([episode(1)])
        async with sink() as (channel, _):
            channel.put(episode(2))
        assert [row.reason for row in await rows()] == ["collector was killed", ""]

    async def test_while_the_database_is_down_the_newest_of_each_waits(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        works_again(monkeypatch, after=3)
        async with sink() as (channel, running):
            channel.put_many([episode(1), episode(2)])
            await eventually(lambda: running.stats()["problem"], "the trouble")
            assert running.stats()["problem"] == "the server closed the connection unexpectedly"
            channel.put_many([peaked(episode(1)), closed(peaked(episode(1)))])
            await eventually(lambda: not running.stats()["problem"], "it works again")
        assert [(row.is_open, row.peak_edge_bps) for row in await rows()] == [(False, 31.5), (True, 12.0)]
        assert running.stats()["failures"] == 3
        said = [record.message for record in caplog.records if "written" in record.message]
        assert len(said) == 2
        assert said[0].startswith("episodes cannot be written, trying again: ")
        assert said[1].startswith("episodes are written again; 0 lost so far (after ")

    async def test_a_database_that_takes_no_connections_for_a_while(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The database refuses as while PostgreSQL is restarted."""
        monkeypatch.setattr(episode_sink, "RETRY_FIRST_S", 0.02)
        async with sink() as (channel, running):
            channel.put(episode(1))
            await eventually(lambda: running.stats()["written"] == 1, "the opening")
            with nobody_may_connect():
                channel.put_many([peaked(episode(1)), closed(peaked(episode(1)))])
                await eventually(lambda: running.stats()["problem"], "the trouble")
                assert "not currently accepting connections" in running.stats()["problem"]
            await eventually(lambda: not running.stats()["problem"], "it works again")
        assert [(row.is_open, row.peak_edge_bps) for row in await rows()] == [(False, 31.5)]

    async def test_what_waits_is_bounded_and_what_had_to_go_is_not_left_open(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(episode_sink, "MAX_WAITING", 2)
        async with sink() as (channel, running):
            channel.put(episode(1))
            await eventually(lambda: running.stats()["written"] == 1, "the opening")
            works_again(monkeypatch, after=1)
            channel.put_many([closed(episode(1)), episode(2), episode(3)])
            await eventually(lambda: running.stats()["written"] == 3, "the rest")
        assert running.stats()["lost"] == 1
        assert [row.reason for row in await rows()] == ["collector was killed", "", ""]

    async def test_what_is_open_is_vouched_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(episode_sink, "VOUCH_EVERY_S", 0.0)
        async with sink() as (channel, running):
            channel.put(episode(1))
            await eventually(lambda: running.stats()["written"] == 1, "the opening")
            (row,) = await rows()
            for _ in range(1000):
                (again,) = await rows()
                if again.seen_at > row.seen_at:
                    return
        raise AssertionError("nobody vouched for it")

    async def test_findings_open_a_case_for_the_operator(self) -> None:
        def listed() -> None:
            Symbol.objects.get_or_create(name="BTC/USDT", base="BTC", quote="USDT")
            for key in ("binance", "bybit"):
                Exchange.objects.get_or_create(
                    key=key, defaults={"name": key, "taker_fee_bps": 10, "maker_fee_bps": 10}
                )

        await database_sync_to_async(listed)()
        async with sink() as (channel, _):
            channel.put(IdentityFinding("BTC/USDT", "binance", "bybit", 31.0, -0.02, START_US))
        case = await database_sync_to_async(IdentityCase.objects.get)()
        assert (case.verdict, case.price_ratio) == ("quarantined", 31.0)


# --- reading -------------------------------------------------------------------------------------


@pytest.fixture
def history(db: None) -> None:
    """Four over an hour and a half, one of them open."""
    hour_us = 3_600_000_000
    save_episodes(
        [
            closed(episode(1), after_ms=90),
            closed(peaked(episode(2, symbol="ETH/USDT")), after_ms=3_400),
            closed(peaked(episode(3, started_us=START_US + hour_us)), after_ms=7_200_000),
            episode(4, started_us=START_US + hour_us + 1, exchange1="okx", buy_on="okx", filter_name="level"),
        ]
    )


@pytest.mark.usefixtures("history")
class TestReading:
    @pytest.mark.parametrize(
        ("asked", "found"),
        [
            (Asked(), [4, 3, 1, 2]),
            (Asked(symbol="eth"), [2]),
            (Asked(exchange1="okx", exchange2="bybit"), [4]),
            (Asked(min_peak_bps=20.0), [3, 2]),
            (Asked(open_only=True), [4]),
            (Asked(filter_id=77), []),
            (Asked(until=START + datetime.timedelta(hours=1)), [1, 2]),
            (Asked(since=START + datetime.timedelta(hours=1), symbol="BTC/USDT"), [4, 3]),
        ],
    )
    def test_newest_first_and_only_what_was_asked_for(self, asked: Asked, found: list[int]) -> None:
        assert [row.pk.int for row in episodes(asked)] == found

    def test_counts_per_pair_are_one_query(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(1):
            counts = counts_per_pair(START)
        assert counts == {
            "BTC/USDT|binance|bybit": 2, "ETH/USDT|binance|bybit": 1, "BTC/USDT|okx|bybit": 1,
        }  # fmt: skip

    def test_distributions_count_everything_once(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(1):
            found = distributions(Asked(), datetime.timezone(datetime.timedelta(hours=3)))
        assert found.considered == sum(found.hours) == sum(found.peaks_bps.counts) == 4
        assert (found.hours[12], found.hours[13]) == (2, 2)
        durations = dict(zip(("less", *found.durations_ms.edges), found.durations_ms.counts, strict=True))
        assert {edge: count for edge, count in durations.items() if count} == {
            "less": 1, 2_500: 1, 3_600_000: 1,
        }  # fmt: skip
        peaks = dict(zip(("less", *found.peaks_bps.edges), found.peaks_bps.counts, strict=True))
        assert {edge: count for edge, count in peaks.items() if count} == {10: 2, 30: 2}

    def test_old_ones_go_after_the_days_that_were_set(self, settings: Settings) -> None:
        now = timezone.now()
        settings.EPISODE_DAYS = 30
        recent = now - datetime.timedelta(days=29)
        OpportunityEpisode.objects.filter(pk=UUID(int=1)).update(started_at=recent, seen_at=recent)
        OpportunityEpisode.objects.filter(pk=UUID(int=4)).update(seen_at=now)  # open, and still vouched for
        retain_episodes()
        assert {row.pk.int for row in OpportunityEpisode.objects.all()} == {1, 4}


class TestAdmin:
    def test_open_ones_come_first_and_nothing_can_be_edited(
        self, history: None, operator: User, operator_client: Client
    ) -> None:
        page = operator_client.get(reverse("admin:opportunities_opportunityepisode_changelist"))
        assert [row.pk.int for row in page.context["cl"].result_list] == [4, 3, 2, 1]
        one = reverse("admin:opportunities_opportunityepisode_change", args=[UUID(int=2)])
        shown = operator_client.get(one).content.decode()
        assert "bybit → binance" in shown
        assert "3.4 s" in shown
        assert "100.4" in shown
        assert operator_client.post(one, {"symbol": "X"}).status_code == 403
        assert operator_client.get(reverse("admin:opportunities_opportunityepisode_add")).status_code == 403

    @pytest.mark.parametrize(
        ("query", "found"), [("state=open", [4]), ("state=closed", [3, 2, 1]), ("q=ETH", [2])]
    )
    def test_it_is_searched_and_filtered(
        self, history: None, operator_client: Client, query: str, found: list[int]
    ) -> None:
        page = operator_client.get(f"{reverse('admin:opportunities_opportunityepisode_changelist')}?{query}")
        assert [row.pk.int for row in page.context["cl"].result_list] == found

    def test_an_empty_list_says_what_to_do(self, operator_client: Client) -> None:
        page = operator_client.get(reverse("admin:opportunities_opportunityepisode_changelist"))
        assert "Lower the min edge to see more" in page.content.decode()
