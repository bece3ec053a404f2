"""A wall clock that was set back by an hour, as seen by what compares stored times with now.

Nobody's clock is touched: what is stored lies an hour ahead instead.
"""

import datetime
import os
import socket
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from celery.schedules import crontab
from django.core.management import CommandError, call_command
from django.utils import timezone
from msgspec import structs
from redis import Redis

from arbsite import beat
from arbsite.celery import app
from arbsite.management.commands import healthcheck
from core.clock.moments import Ages
from core.health.upkeep import LastRun
from core.process.heartbeat import Heartbeat
from core.process.vitals import PROCESSES
from history.models import Kind, MaintenanceRun, State
from monitoring.alerts import dispatch
from monitoring.alerts.dispatch import Destination, take, troubles
from monitoring.alerts.evaluator import HealthWatch, _remembered, look_at_opportunities
from monitoring.alerts.notify import queue_due
from monitoring.alerts.rules import Reading, Terms, Watch, step
from monitoring.health.assess import assess
from monitoring.health.observe import Observer
from monitoring.health.observed import Limits
from monitoring.health.stores import by_our_clock, measure
from monitoring.models import Alert, AlertRule, Delivery, DeliveryAttempt, What
from monitoring.quality.store import read_quality
from monitoring.quality.wire import (
    SHARDS,
    SYMBOL_ROW,
    ExchangeQuality,
    ShardReport,
    encode,
    report_key,
)
from opportunities.services import save_episodes
from tests.monitoring.alerts.test_delivery import SENT, db, delivering, in_the_open, put, until, webhook
from tests.monitoring.alerts.test_rules_at_work import SILENT, channel, rule, sent
from tests.opportunities.test_episodes import episode
from tests.support.desk.alert_servers import Receiver, serving
from tests.support.observed import NOW, WELL

pytestmark = pytest.mark.django_db

S = 1_000_000
HOUR_US = 3600 * S
HOUR = datetime.timedelta(hours=1)
TEN_YEARS = datetime.timedelta(days=3652)
GIVEN_UP, SENDING = Delivery.State.GIVEN_UP, Delivery.State.SENDING


def now_us() -> int:
    return time.time_ns() // 1000


# --- the outbox ----------------------------------------------------------------------------------


class TestOutbox:
    @in_the_open
    async def test_what_waited_for_its_next_try_when_the_clock_was_set_back_is_sent_at_once(self) -> None:
        async with serving(Receiver()) as server:
            to = await db(webhook, server)
            fresh, tried, claimed = [await db(put, to) for _ in range(3)]
            ahead = timezone.now() + HOUR
            await db(self.stored, fresh, created_at=ahead, next_try_at=ahead)
            await db(self.stored, tried, claimed_at=ahead, next_try_at=ahead + HOUR / 60, tries=1)
            await db(self.stored, claimed, claimed_at=ahead, state=SENDING, tries=1)
            async with delivering():
                for row in (fresh, tried, claimed):
                    await until(row, SENT)
        assert sorted(server.ids) == sorted(row.idempotency_key for row in (fresh, tried, claimed))

    def test_what_is_put_off_by_the_clock_as_it_is_waits(self) -> None:
        row = put(channel())
        at = timezone.now()
        self.stored(row, tries=1, claimed_at=at, next_try_at=at + datetime.timedelta(seconds=40))
        assert self.due(at) is None
        assert self.due(at + datetime.timedelta(seconds=41)) is not None

    def test_a_claim_that_is_young_is_left_alone(self) -> None:
        row = put(channel())
        at = timezone.now()
        self.stored(row, tries=1, claimed_at=at - dispatch.LEASE / 2, state=SENDING)
        assert self.due(at) is None

    def test_what_was_sent_in_another_time_costs_no_budget(self) -> None:
        row, at = put(channel()), timezone.now()
        for when in (at + HOUR, at - datetime.timedelta(seconds=10)):
            DeliveryAttempt.objects.create(delivery=row, at=when, took_ms=1, ok=True)
        assert dispatch.recently_sent(row.channel_id, at) == [10.0]

    def test_the_last_message_that_was_settled_says_how_a_channel_is_whatever_the_times_say(self) -> None:
        to, at = channel(), timezone.now()
        for state, when in ((GIVEN_UP, at + HOUR), (SENT, at)):
            row = put(to)
            self.stored(row, state=state, claimed_at=when, tries=1, last_error="404")
            DeliveryAttempt.objects.create(delivery=row, at=when, took_ms=1, ok=state == SENT)
        assert troubles(at) == []

    def test_one_given_up_before_the_clock_was_set_back_is_still_reported(self) -> None:
        row, at = put(channel()), timezone.now()
        self.stored(row, state=GIVEN_UP, claimed_at=at + HOUR, tries=1, last_error="404")
        DeliveryAttempt.objects.create(delivery=row, at=at + HOUR, took_ms=1, ok=False)
        assert [trouble.words for trouble in troubles(at)] == ["404"]

    def test_what_waits_unsent_since_a_time_ahead_is_reported(self) -> None:
        row, at = put(channel()), timezone.now()
        self.stored(row, created_at=at + HOUR)
        assert [trouble.waiting for trouble in troubles(at)] == [1]

    @staticmethod
    def stored(row: Delivery, **fields: Any) -> None:
        Delivery.objects.filter(pk=row.pk).update(**fields)

    @staticmethod
    def due(at: datetime.datetime) -> Any:
        (found,) = dispatch.destinations(at)
        assert isinstance(found, Destination)
        taken = take(found, at, 1)
        assert found.due == (taken is not None)
        return taken


# --- rules ---------------------------------------------------------------------------------------


class TestRules:
    def test_what_was_unhealthy_before_a_clock_set_back_fires_after_its_time_from_now(self) -> None:
        terms, watch = Terms(for_us=3 * S), Watch(beyond_us=HOUR_US)
        firing = []
        for second in range(5):
            watch = step(watch, Reading(HOUR_US), terms, second * S)
            firing.append(watch.firing)
        assert firing == [False, False, False, True, True]

    def test_one_of_a_threshold_as_well(self) -> None:
        terms, watch = Terms(threshold=5, for_us=3 * S), Watch(beyond_us=HOUR_US)
        for second in range(4):
            watch = step(watch, Reading(0, 9), terms, second * S)
        assert watch.firing

    def test_what_was_well_before_is_over_after_its_time_counted_from_now(self) -> None:
        terms, watch = Terms(clear_after_us=3 * S), Watch(firing=True, well_us=HOUR_US)
        firing = []
        for second in range(4):
            watch = step(watch, None, terms, second * S)
            firing.append(watch.firing)
        assert firing == [True, True, True, False]

    def test_a_cool_down_that_began_ahead_of_now_holds_nothing_back(self) -> None:
        watch = Watch(resolved_us=HOUR_US)
        assert step(watch, Reading(0), Terms(cool_down_us=60 * S), S).firing
        assert watch.idle(Terms(cool_down_us=60 * S), S)

    def test_of_two_incidents_the_newer_one_cools_down_whatever_their_times_say(self) -> None:
        made, at = rule(cool_down_s=60), timezone.now()
        for resolved_at in (at + HOUR, at):
            self.incident(made, state="resolved", resolved_at=resolved_at)
        (watch,) = _remembered().values()
        assert watch.resolved_us == int(at.timestamp() * 1e6)

    def test_reminders_and_digests_do_not_wait_for_the_clock(self) -> None:
        at = timezone.now()
        reminding = rule("reminds", channels=(channel("a"),), remind_minutes=30)
        self.incident(reminding, told=Alert.Told.FIRING, told_at=at + HOUR)
        gathering = rule("gathers", channels=(channel("b"),), digest_minutes=30)
        self.incident(gathering, fired_at=at + HOUR)
        queue_due(at)
        assert sorted(kind for kind, _ in sent()) == ["digest", "reminder"]
        queue_due(at + datetime.timedelta(minutes=29))
        assert len(sent()) == 2, "from then on by the clock as it is"

    def test_the_words_of_what_goes_on_are_written_again(self) -> None:
        rule()
        watch, unhealthy = HealthWatch(), SILENT
        watch.judge([unhealthy], now_us() + HOUR_US)
        watch.judge([structs.replace(unhealthy, words="Nothing for 9 s.")], now_us())
        assert Alert.objects.get().words == "Nothing for 9 s."

    def test_an_opportunity_that_opened_ahead_of_now_is_reported(self) -> None:
        rule(what=What.OPPORTUNITY, for_s=60, channels=(channel(),), changed_at=timezone.now() + HOUR)
        save_episodes([episode(started_us=now_us() + HOUR_US)])
        look_at_opportunities(timezone.now())
        assert [kind for kind, _ in sent()] == ["firing"]

    @staticmethod
    def incident(of: AlertRule, **fields: Any) -> Alert:
        at = timezone.now()
        about: dict[str, Any] = {"since": at, "fired_at": at, "key": "exchange_silent:okx", "title": "okx"}
        return Alert.objects.create(rule=of, rule_name=of.name, subject="okx", severity="warning",
                                    words="Nothing.", **about | fields)  # fmt: skip


# --- health --------------------------------------------------------------------------------------


class TestHealth:
    def test_work_that_was_done_at_a_time_ahead_is_not_taken_for_punctual(self) -> None:
        run = LastRun("compact quotes", "done", NOW + HOUR_US, NOW + HOUR_US, 600.0)
        (finding,) = assess(structs.replace(WELL, runs=(run,)), Limits())
        assert (finding.kind, finding.subject) == ("maintenance_late", "compact quotes")
        assert "lies ahead" in finding.words

    def test_the_monitor_counts_on_from_when_it_saw_that(self) -> None:
        ages, at = Ages(), timezone.now()
        MaintenanceRun.objects.create(
            kind=Kind.COMPACT, table="quotes", state=State.DONE, started=at + HOUR, ended=at + HOUR
        )
        stores = measure()

        def found(after_s: float) -> list[str]:
            at_us = stores.at_us + int(after_s * S)
            runs = tuple(by_our_clock(stores.runs, ages, at_us, 100.0 + after_s))
            seen = structs.replace(WELL, runs=runs, at_us=at_us, heartbeats=_beats_at(at_us))
            return [each.words for each in assess(seen, Limits()) if each.kind == "maintenance_late"]

        assert found(0) == []
        assert found(600) == []
        assert "last done 21 min ago" in found(1260)[0]

    def test_the_newest_run_is_the_one_that_began_last_whatever_the_times_say(self) -> None:
        at = timezone.now()
        for when, state in ((at + 10 * 365 * 24 * HOUR, State.FAILED), (at, State.DONE)):
            of = {"kind": Kind.COMPACT, "table": "quotes", "state": state}
            MaintenanceRun.objects.create(started=when, ended=at, **of)
        (run,) = [run for run in measure().runs if run.job == "compact quotes"]
        assert (run.state, run.done_us) == ("done", int(at.timestamp() * 1e6))

    async def test_a_process_that_hangs_is_missed_though_its_last_beat_lies_ahead(
        self, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        observer, moved_s = Observer(), [0.0]
        self.beat(empty_redis, "web desk:1", reported_us=now_us() + HOUR_US)
        monotonic = time.monotonic
        monkeypatch.setattr("monitoring.health.observe.time.monotonic", lambda: monotonic() + moved_s[0])
        silent_s = []
        for moved_s[0] in (0.0, 9.0):
            now = await observer.look()
            silent_s.append((now.at_us - now.heartbeats[0].reported_ts_us) / 1e6)
        await observer.close()
        assert silent_s[0] < 1
        assert silent_s[1] > 8

    async def test_a_process_of_another_clock_is_reported(self, empty_redis: Redis) -> None:
        observer = Observer()
        for tick in range(2):
            for name, off_s in (("web ahead:1", 90), ("web behind:1", -90), ("web here:1", 0)):
                self.beat(empty_redis, name, reported_us=now_us() + off_s * S + tick)
            now = await observer.look()
        await observer.close()
        words = {each.subject: each.words for each in assess(now, Limits()) if each.kind == "clock_jump"}
        assert "ahead of now" in words["web ahead:1"]
        assert "behind now" in words["web behind:1"]
        assert "web here:1" not in words

    async def test_who_began_ahead_of_now_takes_nobodys_place(
        self, empty_redis: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        observer, ahead, moved_s = Observer(), now_us() + HOUR_US, [0.0]
        monotonic = time.monotonic
        monkeypatch.setattr("monitoring.health.observe.time.monotonic", lambda: monotonic() + moved_s[0])
        for moved_s[0], second_lives in ((0.0, True), (60.0, True), (120.0, False), (121.0, False)):
            self.beat(empty_redis, "web desk:1", started_us=ahead)
            if second_lives:
                self.beat(empty_redis, "web desk:2", started_us=ahead)
            now = await observer.look()
        await observer.close()
        assert now.restarts == ()
        missing = [each.subject for each in assess(now, Limits()) if each.kind == "process_missing"]
        assert "web desk:2" in missing

    async def test_a_report_of_a_collector_whose_clock_is_ahead_is_read_by_ours(
        self, empty_redis: Redis
    ) -> None:
        rows = _symbol_rows(since_us=now_us() + 80 * S)
        exchanges = [ExchangeQuality("okx", "down", now_us() + 80 * S)]
        report = ShardReport("1/1", now_us() + 90 * S, "digest", exchanges, rows)
        empty_redis.hset("quality:shards", "1/1", 1)
        empty_redis.set("quality:names:digest", encode([("okx", "BTC/USDT")]))
        empty_redis.set(report_key("1/1"), encode(report))
        observer = Observer()
        quality = await read_quality(observer._redis)
        await observer.close()
        ago_s = (now_us() - quality.exchanges[0].since_us) / 1e6
        assert 9 < ago_s < 12
        assert abs(now_us() - 10 * S - quality.rows["since_us"][0]) < 2 * S

    @staticmethod
    def beat(redis: Redis, name: str, reported_us: int | None = None, started_us: int | None = None) -> None:
        at = now_us()
        beat = Heartbeat("web", name, "desk", 1, started_us or at - HOUR_US, reported_us or at)
        redis.hset(PROCESSES, name, msgspec.json.encode(beat))


def _symbol_rows(since_us: int) -> bytes:
    rows = np.zeros(1, SYMBOL_ROW)
    rows["since_us"] = since_us
    return rows.tobytes()


# --- signs of life, and schedules ----------------------------------------------------------------


def test_a_schedule_file_from_ahead_is_no_sign_of_life(tmp_path: Path) -> None:
    schedule = tmp_path / "celerybeat-schedule"
    schedule.touch()
    assert healthcheck.beat_problem(schedule) is None
    os.utime(schedule, (time.time() + 3600, time.time() + 3600))
    assert "since the clock was set back" in str(healthcheck.beat_problem(schedule))


def test_a_monitors_heartbeat_from_ahead_is_no_sign_of_life(empty_redis: Redis) -> None:
    def reported(at_us: int) -> None:
        beat = Heartbeat("monitor", "monitor a:1", socket.gethostname(), 1, 0, at_us)
        empty_redis.hset(PROCESSES, beat.name, msgspec.json.encode(beat))

    reported(now_us() + HOUR_US)
    with pytest.raises(CommandError, match="since the clock was set back"):
        call_command("healthcheck", "monitor")
    reported(now_us())
    call_command("healthcheck", "monitor")


class TestBeat:
    """`arbsite.beat.Scheduler` on a schedule file of its own."""

    def scheduler(self, file: Path) -> tuple[beat.Scheduler, list[str]]:
        class Quiet(beat.Scheduler):
            """Queues nothing."""

            def apply_entry(self, entry: Any, producer: Any = None) -> None:
                ran.append(entry.name)

        ran: list[str] = []
        made = Quiet(app=app, schedule_filename=str(file), lazy=True)
        made.setup_schedule()
        return made, ran

    @pytest.mark.parametrize("ahead", [HOUR, 24 * HOUR, 10 * 365 * 24 * HOUR])
    def test_what_last_ran_ahead_of_now_runs_when_its_crontab_says(
        self, tmp_path: Path, ahead: datetime.timedelta
    ) -> None:
        schedule, _ran = self.scheduler(tmp_path / "schedule")
        for entry in schedule.schedule.values():
            entry.last_run_at = app.now() + ahead
            entry.schedule = crontab()  # every minute
        wait_s = schedule.tick()
        assert wait_s <= 60
        assert self.past(schedule)
        schedule.close()
        again, _ran = self.scheduler(tmp_path / "schedule")
        assert self.past(again), "it is kept"
        again.close()

    @pytest.mark.parametrize(
        ("ago", "offsets_s", "runs"),
        [
            (30 * HOUR, [], True),
            (8 * 24 * HOUR, [], False),
            (8 * 24 * HOUR, [None], False),
            (8 * 24 * HOUR, [0.2, -0.1, None], True),
            (400 * 24 * HOUR, [0.0, 5.0, -4000.0], True),
            (TEN_YEARS, [], False),
            (TEN_YEARS, [-315e6, -315e6, None], False),
            (TEN_YEARS, [-315e6, 0.0], False),
        ],
    )
    def test_what_deletes_is_made_up_for_after_a_week_once_exchanges_agree_with_our_clock(
        self,
        tmp_path: Path,
        empty_redis: Redis,
        ago: datetime.timedelta,
        offsets_s: list[float | None],
        runs: bool,
    ) -> None:
        """By a clock that is years ahead everything is old, and nothing is deleted."""
        self.exchanges_say(empty_redis, *offsets_s)
        schedule, ran = self.scheduler(tmp_path / "schedule")
        for entry in schedule.schedule.values():
            entry.last_run_at = app.now() - ago
        while schedule.tick() == 0:
            pass
        schedule.close()
        queued = set(ran)
        assert queued >= {"sync-markets", "sync-wallets", "compact-lake"}, (
            "what deletes nothing makes up for it"
        )
        assert set(app.conf.beat_schedule) >= beat.DELETING
        assert (queued >= beat.DELETING) if runs else not (queued & beat.DELETING)

    @pytest.mark.parametrize("restarts", [0, 3])
    def test_what_has_waited_is_caught_up_on_over_restarts_too(
        self, tmp_path: Path, empty_redis: Redis, restarts: int
    ) -> None:
        schedule, ran = self.scheduler(tmp_path / "schedule")
        for entry in schedule.schedule.values():
            entry.last_run_at = app.now() - 20 * 24 * HOUR
        for _ in range(restarts):
            while schedule.tick() == 0:
                pass
            schedule.close()
            schedule, ran = self.scheduler(tmp_path / "schedule")
        self.exchanges_say(empty_redis, 0.0)
        while schedule.tick() == 0:
            pass
        schedule.close()
        assert set(ran) >= beat.DELETING

    def test_a_desk_whose_schedule_is_lost_each_time_it_stops_deletes_what_is_old(
        self, tmp_path: Path, empty_redis: Redis
    ) -> None:
        """A container without a disk of its own that is never up at 00:25."""
        self.exchanges_say(empty_redis, 0.0)
        schedule, ran = self.scheduler(tmp_path / "schedule")
        while schedule.tick() == 0:
            pass
        assert set(ran) == beat.DELETING
        schedule.close()
        again, ran = self.scheduler(tmp_path / "schedule")
        while again.tick() == 0:
            pass
        assert ran == [], "once"
        again.close()

    @staticmethod
    def exchanges_say(redis: Redis, *offsets_s: float | None) -> None:
        exchanges = [
            ExchangeQuality(
                f"e{number}", "live", 0, clock_offset_ms=None if offset_s is None else offset_s * 1000
            )
            for number, offset_s in enumerate(offsets_s)
        ]
        redis.hset(SHARDS, "1/1", now_us())
        redis.set(report_key("1/1"), encode(ShardReport("1/1", now_us(), "", exchanges, b"")), ex=30)

    @pytest.mark.parametrize("ahead_s", [60, 3600, 10 * 365 * 86_400])
    def test_what_a_worker_had_taken_before_the_clock_was_set_back_is_given_back_in_time(
        self, tmp_path: Path, empty_redis: Redis, ahead_s: int
    ) -> None:
        """Celery's index of what is not done yet goes by the wall clock."""
        with app.connection_for_write() as connection:
            channel: Any = connection.default_channel
            index = channel.unacked_index_key
        taken = {"of now": time.time() - 1, "ahead": time.time() + ahead_s}
        empty_redis.zadd(index, taken)
        schedule, _ran = self.scheduler(tmp_path / "schedule")
        schedule.tick()
        schedule.close()
        kept: Any = empty_redis.zrange(index, 0, -1, withscores=True)
        scores = dict(kept)
        assert scores[b"of now"] == pytest.approx(taken["of now"])
        assert scores[b"ahead"] == pytest.approx(time.time(), abs=5)

    @staticmethod
    def past(scheduler: beat.Scheduler) -> bool:
        ran = [entry.last_run_at for entry in scheduler.schedule.values()]
        return all(at is not None and at <= app.now() for at in ran)

    def test_the_one_the_desk_runs_is_this_one(self) -> None:
        assert app.conf.beat_scheduler == "arbsite.beat:Scheduler"


def _beats_at(at_us: int) -> tuple[Heartbeat, ...]:
    return tuple(structs.replace(beat, reported_ts_us=at_us) for beat in WELL.heartbeats)
