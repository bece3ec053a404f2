"""Rules at work on PostgreSQL: what is written when something fires, is sent, ends or dies meanwhile."""

import asyncio
import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from channels.db import database_sync_to_async
from django.db import OperationalError, connection
from django.utils import timezone
from msgspec import structs
from redis import Redis

from core.health.findings import Finding
from markets.defaults import FILTER_NAME
from markets.models import Exchange, OpportunityFilter
from markets.seed import seed
from monitoring.alerts import evaluator, outbox
from monitoring.alerts.evaluator import Evaluator, HealthWatch, look_at_opportunities
from monitoring.alerts.incidents import delete_alerts, moment, named_subject
from monitoring.alerts.messages import Message
from monitoring.alerts.notify import queue_due
from monitoring.models import Alert, AlertChannel, AlertRule, Delivery, Severity, What
from opportunities.models import OpportunityEpisode
from opportunities.nudge import EPISODES_WRITTEN, publish_written
from opportunities.services import save_episodes
from tests.opportunities.test_episodes import closed, episode
from tests.support.live import eventually

pytestmark = pytest.mark.django_db

S = 1_000_000
NOON = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.UTC)
T0 = int(NOON.timestamp()) * S
SILENT = Finding(
    "exchange_silent", "okx", "critical", T0, "Nothing for 7 s.", "Look at its status page.", 7.0
)


def rule(name: str = "silence", *, channels: tuple[AlertChannel, ...] = (), **fields: Any) -> AlertRule:
    made = AlertRule.objects.create(name=name, **{"what": What.EXCHANGE_SILENT, **fields})
    made.channels.set(channels)
    return made


def channel(name: str = "desk") -> AlertChannel:
    return AlertChannel.objects.create(name=name, kind="webhook", settings={"url": "http://127.0.0.1:9/"})


def sent() -> list[tuple[str, str]]:
    """Messages in the outbox: kind and title, in order."""
    return [(row.kind, message(row).title) for row in Delivery.objects.order_by("pk")]


def message(row: Delivery) -> Message:
    return msgspec.convert(row.message, Message)


def states() -> list[str]:
    return list(Alert.objects.order_by("pk").values_list("state", flat=True))


class TestHealth:
    def test_a_finding_becomes_an_incident_with_its_message_and_ends_with_one(self) -> None:
        rule(channels=(channel(),), severity=Severity.CRITICAL)
        watch = HealthWatch()
        watch.judge([SILENT], T0 + 7 * S)
        incident = Alert.objects.get()
        assert (incident.title, incident.words, incident.value) == (
            "okx: exchange silent or down", "Nothing for 7 s.", 7.0,
        )  # fmt: skip
        assert (incident.since, incident.fired_at) == (NOON, moment(T0 + 7 * S))
        watch.judge([], T0 + 9 * S)
        incident.refresh_from_db()
        assert (incident.state, incident.resolved_at) == ("resolved", moment(T0 + 9 * S))
        fires, ends = (message(row) for row in Delivery.objects.order_by("pk"))
        assert (fires.state, fires.severity, fires.words) == ("firing", "critical", "Nothing for 7 s.")
        assert ("What to do", "Look at its status page.") in fires.facts
        assert fires.url.endswith("/health/")
        assert (ends.state, ends.words, ends.facts[0]) == (
            "resolved",
            "It is healthy again.",
            ("Lasted", "9.0 s"),
        )
        assert fires.key == ends.key

    def test_a_look_that_is_taken_over_twice_makes_one_incident_and_one_message(self) -> None:
        rule(channels=(channel(),))
        for watch in (HealthWatch(), HealthWatch()):  # the second: a monitor that was started again
            watch.judge([SILENT], T0)
            watch.judge([SILENT], T0 + S)
        assert states() == ["firing"]
        assert sent() == [("firing", "okx: exchange silent or down")]

    def test_two_monitors_at_once_make_one_incident(self) -> None:
        rule(channels=(channel(),))
        one, other = HealthWatch(), HealthWatch()
        for watch in (one, other):
            watch.judge([], T0)
        one.judge([SILENT], T0 + S)
        other.judge([SILENT], T0 + S)
        assert len(sent()) == 1

    def test_a_monitor_started_again_ends_what_another_began(self) -> None:
        rule(channels=(channel(),))
        HealthWatch().judge([SILENT], T0)
        HealthWatch().judge([], T0 + 5 * S)
        assert [kind for kind, _ in sent()] == ["firing", "resolved"]

    def test_the_cool_down_outlives_the_monitor(self) -> None:
        rule(cool_down_s=60)
        first = HealthWatch()
        first.judge([SILENT], T0)
        first.judge([], T0 + S)
        again = HealthWatch()
        again.judge([SILENT], T0 + 30 * S)
        assert states() == ["resolved"]
        again.judge([SILENT], T0 + 61 * S)
        assert states() == ["resolved", "firing"]

    def test_only_the_subjects_that_are_meant_fire_and_each_for_itself(self) -> None:
        rule(subject="ok*")
        HealthWatch().judge([SILENT, structs.replace(SILENT, subject="bybit")], T0)
        assert Alert.objects.get().subject == "okx"

    def test_without_channels_it_is_only_shown(self) -> None:
        rule()
        HealthWatch().judge([SILENT], T0)
        assert (Alert.objects.get().told, sent()) == ("silent", [])

    @pytest.mark.parametrize("change", [{"enabled": False}, {"what": What.OPPORTUNITY}])
    def test_what_fires_under_a_rule_that_is_switched_off_or_changed_is_resolved(self, change: Any) -> None:
        made = rule(channels=(channel(),))
        watch = HealthWatch()
        watch.judge([SILENT], T0)
        AlertRule.objects.filter(pk=made.pk).update(**change)
        watch.judge([SILENT], T0 + S)
        assert states() == ["resolved"]

    def test_a_channel_that_got_that_it_fires_gets_its_end_when_the_rule_is_deleted(self) -> None:
        made = rule(channels=(channel(),))
        watch = HealthWatch()
        watch.judge([SILENT], T0)
        made.delete()
        watch.judge([SILENT], T0 + S)
        assert [kind for kind, _ in sent()] == ["firing", "resolved"]

    def test_what_goes_on_says_how_it_is_now(self) -> None:
        rule()
        watch = HealthWatch()
        watch.judge([SILENT], T0)
        watch.judge([structs.replace(SILENT, words="Nothing for 19 s.", value=19.0)], T0 + 12 * S)
        assert (Alert.objects.get().words, Alert.objects.get().value) == ("Nothing for 19 s.", 19.0)


class TestWhenItDies:
    def test_what_happened_while_the_database_was_down_is_written_when_it_is_back(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """PostgreSQL restarted: the finding that says so came and went while nothing could be written."""
        rule("database", what=What.DATABASE, channels=(channel(),))
        watch = HealthWatch()
        watch.judge([], T0)
        gone = Finding("database", "PostgreSQL", "critical", T0 + S, "It does not answer.", "Start it.")
        with monkeypatch.context() as down:
            down.setattr(evaluator, "enabled_rules", _refused)
            for after_s, findings in ((1, [gone]), (2, [gone]), (3, [])):
                with pytest.raises(OperationalError):
                    watch.judge(findings, T0 + after_s * S)
        assert states() == []
        watch.judge([], T0 + 4 * S)
        assert [kind for kind, _ in sent()] == ["firing", "resolved"]
        assert Alert.objects.get().resolved_at == moment(T0 + 3 * S)

    @pytest.mark.parametrize("step", ["delivery", "put", "queue_due"])
    def test_killed_between_incident_and_message_leaves_neither_and_both_come_later(
        self, transactional_db: None, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """PostgreSQL sees what it sees when a process is killed: the connection ends in the transaction."""
        rule(channels=(channel(),))
        place = evaluator if step == "queue_due" else outbox
        after = getattr(place, step)

        def killed(*args: Any) -> Any:
            done = after(*args)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            return done

        with monkeypatch.context() as killing:
            killing.setattr(place, step, killed)
            with pytest.raises(OperationalError):
                HealthWatch().judge([SILENT], T0)
        connection.close()
        assert (states(), sent()) == ([], [])
        HealthWatch().judge([SILENT], T0 + S)
        assert (states(), len(sent())) == (["firing"], 1)


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("okx:swap", "OKX swap"),
        ("BTC/USDT:USDT on okx:swap", "BTC/USDT:USDT on OKX swap"),
        ("collector 1/2", "collector 1/2"),
    ],
)
def test_a_title_calls_a_market_by_its_name(subject: str, words: str) -> None:
    assert named_subject(subject, {"okx": "OKX", "okx:swap": "OKX swap"}) == words


def _refused() -> list[AlertRule]:
    raise OperationalError("the database system is shutting down")


# --- opportunities -----------------------------------------------------------------------------------


def seen(number: int = 1, age_s: float = 1.0, **changes: Any) -> Any:
    """An episode that began so long ago, open."""
    started = int(timezone.now().timestamp() * S) - int(age_s * S)
    return structs.replace(episode(number), **{"started_us": started, **changes})


@pytest.fixture
def traders() -> AlertChannel:
    """Channel that gets every opportunity of 10 bps."""
    made = channel("traders")
    rule("opportunities", what=What.OPPORTUNITY, min_edge_bps=10, channels=(made,), severity="info")
    AlertRule.objects.update(changed_at=NOON)
    return made


class TestOpportunities:
    def test_it_says_what_a_trader_needs(self, traders: AlertChannel) -> None:
        save_episodes([seen(gates=("wallets: unknown",))])
        look_at_opportunities(timezone.now())
        sent_message = message(Delivery.objects.get())
        assert sent_message.title == "BTC/USDT: +12.0 bps, bybit → binance"
        assert sent_message.words == "Buy on bybit, sell on binance: +12.0 bps after both taker fees."
        facts = dict(sent_message.facts)
        assert facts["Buy"] == "bybit 100 × 2.00"
        assert facts["Sell"] == "binance 100.4 × 1.50"
        assert (facts["Edge after fees"], facts["Executable"]) == ("+12.0 bps", "150 USDT")
        assert facts["Quote ages"] == "bybit 12 ms, binance 0 ms"
        assert facts["Gate checks"] == "wallets: unknown"
        assert (
            "/opportunities/explain?symbol=BTC%2FUSDT&exchange1=binance&exchange2=bybit" in sent_message.url
        )

    def test_it_calls_markets_by_their_names(self, traders: AlertChannel) -> None:
        for key in ("binance", "bybit"):
            Exchange.objects.create(key=key, name=key.title(), taker_fee_bps=10, maker_fee_bps=8)
        keys = {"exchange1": "binance", "exchange2": "bybit:swap", "buy_on": "bybit:swap"}
        opened = seen()
        peak = structs.replace(opened.peak, buy=structs.replace(opened.peak.buy, exchange="bybit:swap"))
        save_episodes([structs.replace(opened, peak=peak, **keys)])
        look_at_opportunities(timezone.now())
        sent_message = message(Delivery.objects.get())
        assert sent_message.title == "BTC/USDT: +12.0 bps, Bybit swap → Binance"
        assert sent_message.words.startswith("Buy on Bybit swap, sell on Binance: ")
        facts = dict(sent_message.facts)
        assert (facts["Buy"], facts["Sell"]) == ("Bybit swap 100 × 2.00", "Binance 100.4 × 1.50")
        assert facts["Quote ages"] == "Bybit swap 12 ms, Binance 0 ms"
        assert "exchange2=bybit%3Aswap" in sent_message.url
        assert Alert.objects.get().subject == "BTC/USDT bybit:swap → binance"

    def test_its_link_leads_to_the_live_chart_where_a_filter_draws_one(self, traders: AlertChannel) -> None:
        seed()
        save_episodes([seen()])
        look_at_opportunities(timezone.now())
        drawn = OpportunityFilter.objects.get(name=FILTER_NAME)
        sent_message = message(Delivery.objects.get())
        assert sent_message.url.endswith(f"/?filter={drawn.pk}&chart=BTC%2FUSDT%7Cbinance%7Cbybit")

    def test_polling_twice_reports_once_and_its_close_ends_it(self, traders: AlertChannel) -> None:
        AlertRule.objects.update(tell_resolved=True)
        story = seen()
        save_episodes([story])
        look_at_opportunities(timezone.now())
        look_at_opportunities(timezone.now())
        save_episodes([closed(story)])
        look_at_opportunities(timezone.now())
        look_at_opportunities(timezone.now())
        assert [kind for kind, _ in sent()] == ["firing", "resolved"]
        assert Alert.objects.get().resolved_why == "Over: edge fell below 2.0 bps."

    def test_one_that_is_over_before_anybody_looked_is_reported_once(self, traders: AlertChannel) -> None:
        save_episodes([closed(seen(age_s=5), after_ms=300)])
        look_at_opportunities(timezone.now())
        look_at_opportunities(timezone.now())
        assert [kind for kind, _ in sent()] == ["resolved"]

    def test_what_was_over_long_ago_is_history(self, traders: AlertChannel) -> None:
        save_episodes([closed(seen(age_s=600), after_ms=300)])
        look_at_opportunities(timezone.now())
        assert states() == []

    def test_what_was_over_before_the_rule_was_made_is_nobodys(self, traders: AlertChannel) -> None:
        AlertRule.objects.update(changed_at=timezone.now())
        save_episodes([closed(seen(age_s=5), after_ms=300)])
        look_at_opportunities(timezone.now())
        assert states() == []

    def test_a_peak_that_reaches_the_rule_fires_it(self, traders: AlertChannel) -> None:
        AlertRule.objects.update(min_edge_bps=30)
        story = seen()
        save_episodes([story])
        look_at_opportunities(timezone.now())
        assert states() == []
        peak = structs.replace(story.peak, edge_bps=31.5)
        save_episodes([structs.replace(story, phase="peak", peak=peak)])
        look_at_opportunities(timezone.now())
        assert sent() == [("firing", "BTC/USDT: +31.5 bps, bybit → binance")]

    @pytest.mark.parametrize("asked", [{"min_edge_bps": 12.5}, {"min_size": 151}, {"for_s": 3}])
    def test_what_asks_for_more_waits_for_more(self, traders: AlertChannel, asked: dict[str, Any]) -> None:
        AlertRule.objects.update(**asked)
        save_episodes([seen()])
        look_at_opportunities(timezone.now())
        assert states() == []

    def test_a_rule_of_a_filter_sees_no_other(self, traders: AlertChannel) -> None:
        wide, narrow = (OpportunityFilter.objects.create(name=name) for name in ("wide", "narrow"))
        AlertRule.objects.update(filter=narrow)
        save_episodes([seen(filter_id=wide.pk)])
        look_at_opportunities(timezone.now())
        assert states() == []

    def test_a_direction_fires_once_at_a_time_however_many_filters_follow_it(
        self, traders: AlertChannel
    ) -> None:
        save_episodes([seen(1), seen(2, filter_name="narrow")])
        look_at_opportunities(timezone.now())
        assert len(sent()) == 1

    def test_a_direction_that_cools_down_is_left_alone_until_then(self, traders: AlertChannel) -> None:
        AlertRule.objects.update(cool_down_s=60)
        first = seen(1, age_s=9)
        save_episodes([closed(first, after_ms=1_000)])
        look_at_opportunities(timezone.now())
        save_episodes([closed(seen(2, age_s=5), after_ms=1_000), seen(3)])
        look_at_opportunities(timezone.now())
        assert states() == ["resolved"]
        look_at_opportunities(timezone.now() + datetime.timedelta(seconds=61))
        assert Alert.objects.filter(state="firing").get().episode == UUID(int=3)

    def test_an_opportunity_whose_record_was_deleted_is_over(self, traders: AlertChannel) -> None:
        save_episodes([seen()])
        look_at_opportunities(timezone.now())
        OpportunityEpisode.objects.all().delete()
        look_at_opportunities(timezone.now())
        assert states() == ["resolved"]


async def test_a_collector_that_wrote_an_episode_has_it_looked_at_at_once(
    transactional_db: None, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its word nobody would look again before the test gave up."""
    monkeypatch.setattr(evaluator, "LOOK_EVERY_S", 60.0)

    def prepare() -> None:
        rule("all", what=What.OPPORTUNITY, channels=(channel(),))

    await database_sync_to_async(prepare)()
    working = Evaluator()
    following = asyncio.create_task(working.follow_opportunities())
    try:
        await eventually(lambda: empty_redis.pubsub_numsub(EPISODES_WRITTEN)[0][1], "somebody listens")
        await database_sync_to_async(save_episodes)([seen()])
        publish_written(1)
        count = database_sync_to_async(Delivery.objects.count)
        async with asyncio.timeout(15):
            while not await count():  # noqa: ASYNC110 - of a table there is no event
                await asyncio.sleep(0.01)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        working.close()


# --- recipients and times --------------------------------------------------------------------------------


NIGHT: dict[str, Any] = {"quiet_from": datetime.time(22), "quiet_until": datetime.time(7)}


class TestTelling:
    def fire(self, at: datetime.datetime, subject: str = "okx") -> Alert:
        made = AlertRule.objects.get()
        return Alert.objects.create(
            rule=made, rule_name=made.name, key=f"exchange_silent:{subject}", subject=subject,
            severity=made.severity, since=at, fired_at=at, title=f"{subject}: silent", words="Nothing.",
        )  # fmt: skip

    def end(self, alert: Alert, at: datetime.datetime) -> None:
        Alert.objects.filter(pk=alert.pk).update(state="resolved", resolved_at=at)

    def test_quiet_hours_hold_what_is_then_still_unhealthy_and_drop_what_came_and_went(self) -> None:
        rule(channels=(channel(),), **NIGHT)
        night, morning = NOON.replace(hour=23), NOON.replace(hour=7) + datetime.timedelta(days=1)
        self.fire(night, "okx")
        passing = self.fire(night, "bybit")
        queue_due(night)
        self.end(passing, night)
        queue_due(night)
        assert sent() == []
        queue_due(morning)
        assert sent() == [("firing", "okx: silent")]
        passing.refresh_from_db()
        assert passing.told == "silent"

    def test_what_is_critical_is_sent_at_night(self) -> None:
        rule(channels=(channel(),), severity="critical", **NIGHT)
        self.fire(NOON.replace(hour=23))
        queue_due(NOON.replace(hour=23))
        assert len(sent()) == 1

    def test_a_digest_collects_and_names_each(self) -> None:
        rule(channels=(channel(),), digest_minutes=10)
        self.fire(NOON, "okx")
        self.end(self.fire(NOON, "bybit"), NOON + datetime.timedelta(seconds=9))
        queue_due(NOON + datetime.timedelta(minutes=9))
        assert sent() == []
        queue_due(NOON + datetime.timedelta(minutes=10))
        sent_message = message(Delivery.objects.get())
        assert (sent_message.state, sent_message.title, sent_message.words) == (
            "digest", "2 incidents: silence", "1 firing, 1 resolved",
        )  # fmt: skip
        assert [label for label, _ in sent_message.facts] == ["okx: silent", "bybit: silent"]
        queue_due(NOON + datetime.timedelta(minutes=30))
        assert len(sent()) == 1

    def test_a_long_digest_names_the_first_and_counts_the_rest(self) -> None:
        rule(channels=(channel(),), digest_minutes=1)
        for number in range(23):
            self.fire(NOON, f"exchange {number}")
        queue_due(NOON + datetime.timedelta(minutes=1))
        facts = message(Delivery.objects.get()).facts
        assert (len(facts), facts[-1]) == (21, ("and more", "3"))

    def test_reminders_come_while_it_lasts(self) -> None:
        rule(channels=(channel(),), remind_minutes=30)
        alert = self.fire(NOON)
        for minutes in (0, 29, 30, 59, 60):
            queue_due(NOON + datetime.timedelta(minutes=minutes))
        assert [kind for kind, _ in sent()] == ["firing", "reminder", "reminder"]
        self.end(alert, NOON + datetime.timedelta(minutes=61))
        queue_due(NOON + datetime.timedelta(minutes=61))
        queue_due(NOON + datetime.timedelta(minutes=120))
        assert [kind for kind, _ in sent()][3:] == ["resolved"]

    def test_every_channel_gets_its_own_message_and_a_disabled_one_none(self) -> None:
        off = channel("off")
        rule(channels=(channel("a"), channel("b"), off))
        AlertChannel.objects.filter(pk=off.pk).update(enabled=False)
        self.fire(NOON)
        queue_due(NOON)
        rows = Delivery.objects.order_by("channel__name")
        assert [row.channel.name for row in rows] == ["a", "b"]
        assert len({row.idempotency_key for row in rows}) == 2

    def test_old_incidents_go_with_what_was_sent_of_them(self) -> None:
        rule(channels=(channel(),))
        self.end(self.fire(NOON, "okx"), NOON)
        self.fire(NOON, "bybit")
        queue_due(NOON)
        assert delete_alerts(NOON + datetime.timedelta(days=1)) == 1
        assert [row.subject for row in Alert.objects.all()] == ["bybit"]
        assert {title for _, title in sent()} == {"bybit: silent"}


def test_the_sender_is_woken_when_something_was_put_in(transactional_db: None) -> None:
    """By PostgreSQL itself, with the commit: no other store has to be up."""
    import psycopg

    made = rule(channels=(channel(),))
    assert made.pk
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as listening:
        listening.execute("LISTEN alert_outbox")
        HealthWatch().judge([SILENT], T0)
        woken = next(iter(listening.notifies(timeout=10, stop_after=1)), None)
    assert woken is not None
