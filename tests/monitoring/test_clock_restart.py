"""A monitor that is started again after the wall clock was set, and cool-downs over a step forward."""

import datetime
import time
from typing import Any

import pytest
from axes.models import AccessLog
from django.contrib.sessions.models import Session
from django.db.models import F
from django.utils import timezone
from msgspec import structs
from pytest_django import Settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from collectors.health import refused_symbols
from collectors.sockets.refusals import Refusals
from collectors.sockets.timing import Timing
from markets.follow.runtime import CollectorStatus
from monitoring.alerts.evaluator import HealthWatch, look_at_opportunities
from monitoring.health.assess import assess
from monitoring.health.memory import LAST, Memory, Published, publish, read_published
from monitoring.health.monitor import Monitor
from monitoring.health.observed import Limits
from monitoring.health.stores import measure
from monitoring.jumps import Jumps
from monitoring.models import Alert, AlertRule, What
from opportunities.models import OpportunityEpisode
from opportunities.services import save_episodes
from tests.collectors.test_refusals import topic
from tests.monitoring.alerts.test_rules_at_work import SILENT, T0, channel, rule
from tests.monitoring.test_clock_set_forward import HOUR_US, S, Wall, firing, moment
from tests.opportunities.test_episodes import closed, episode
from tests.support.observed import look

STEPS_S = [90, 3600, 86_400, 400 * 86_400]


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def restarted(jumps: Jumps) -> tuple[Jumps, int]:
    """The next monitor on this machine, and by how much the clock was set while none ran."""
    clock, again = jumps.clock, Jumps()
    return again, again.go_on_from(clock)


# --- what a monitor hands to the next one --------------------------------------------------------


@pytest.mark.parametrize("by_s", [*STEPS_S, -90, -3600])
def test_a_step_while_no_monitor_ran_is_noticed_by_the_next(wall: Wall, by_s: int) -> None:
    jumps = Jumps()
    wall.passes(5, set_by_s=by_s)
    again, by_us = restarted(jumps)
    assert by_us == by_s * S
    assert again.since(T0) == (T0 + by_us if by_s > 0 else T0)


def test_steps_from_before_a_restart_are_remembered(wall: Wall) -> None:
    jumps = Jumps()
    wall.passes(5, set_by_s=3600)
    jumps.now_us()
    wall.passes(5)
    again, by_us = restarted(jumps)
    assert by_us == 0
    assert again.since(T0) == T0 + HOUR_US


def test_of_another_machine_or_before_a_boot_nothing_is_known(wall: Wall) -> None:
    clock = Jumps().clock
    wall.passes(5, set_by_s=3600)
    for other in ("", "another"):
        assert Jumps().go_on_from(structs.replace(clock, boot_id=other)) == 0
    assert Jumps().go_on_from(None) == 0


@pytest.mark.parametrize("by_s", [3600, -3600])
async def test_what_was_found_before_is_as_old_as_it_was(
    wall: Wall, empty_redis: Redis, settings: Settings, by_s: int
) -> None:
    """Through Redis, as a monitor leaves it: neither older by the step, nor ahead of now."""
    jumps = Jumps()
    redis = AsyncRedis.from_url(settings.REDIS_URL)
    await publish(redis, Published(T0, (structs.replace(SILENT, since_us=T0 - 7 * S),), jumps.clock))
    assert (await read_published(redis, LAST)) is not None
    await redis.aclose()
    wall.passes(5, set_by_s=by_s)
    again = Jumps()
    monitor = Monitor()
    [found] = await monitor._found_before(again)
    assert again.now_us() - found.since_us == 12 * S
    memory = Memory([found], again.since)
    seen = structs.replace(SILENT, since_us=again.now_us())
    [kept] = memory.keep([seen], structs.replace(look(), at_us=again.now_us(), jumps_us=again.total_us))
    assert again.now_us() - kept.since_us == 12 * S


@pytest.mark.django_db
@pytest.mark.parametrize("by_s", STEPS_S)
def test_a_cool_down_of_health_outlives_a_step_and_a_restart(wall: Wall, by_s: int) -> None:
    rule(cool_down_s=600, channels=(channel(),))
    jumps = Jumps()
    watch = HealthWatch(jumps)
    watch.judge([SILENT], T0)
    watch.judge([], T0 + S)
    wall.passes(10, set_by_s=by_s)
    again, _ = restarted(jumps)
    watch = HealthWatch(again)
    watch.judge([structs.replace(SILENT, since_us=again.now_us())], again.now_us())
    assert firing() == 0, "it cools down"
    wall.passes(600)
    watch.judge([structs.replace(SILENT, since_us=again.now_us())], again.now_us())
    assert firing() == 1


# --- opportunities -------------------------------------------------------------------------------


def opens(number: int, at_us: int, **changes: Any) -> None:
    save_episodes([episode(number, started_us=at_us, move=f"{number:032x}", **changes)])


@pytest.fixture
def traders() -> AlertRule:
    return rule(what=What.OPPORTUNITY, cool_down_s=600, channels=(channel(),))


@pytest.mark.django_db
@pytest.mark.parametrize("by_s", STEPS_S)
@pytest.mark.parametrize("restarts", [False, True])
def test_a_cool_down_of_a_coin_is_not_over_by_a_step_alone(
    wall: Wall, traders: AlertRule, by_s: int, restarts: bool
) -> None:
    jumps = Jumps()
    opens(1, T0)
    look_at_opportunities(moment(jumps.now_us()), jumps)
    assert Alert.objects.count() == 1
    wall.passes(5, set_by_s=by_s)
    jumps = restarted(jumps)[0] if restarts else jumps
    now_us = jumps.now_us()
    opens(2, now_us - S)
    look_at_opportunities(moment(now_us), jumps)
    assert Alert.objects.count() == 1, "it cools down"
    wall.passes(590)
    look_at_opportunities(moment(jumps.now_us()), jumps)
    assert Alert.objects.count() == 1
    wall.passes(10)
    look_at_opportunities(moment(jumps.now_us()), jumps)
    assert Alert.objects.count() == 2


@pytest.mark.django_db
def test_so_is_that_of_what_was_over_between_two_looks(wall: Wall, traders: AlertRule) -> None:
    jumps = Jumps()
    opens(1, T0)
    look_at_opportunities(moment(jumps.now_us()), jumps)
    wall.passes(5, set_by_s=3600)
    now_us = jumps.now_us()
    save_episodes([closed(episode(2, started_us=now_us - 2 * S, move=f"{2:032x}"), after_ms=1000)])
    look_at_opportunities(moment(now_us), jumps)
    assert Alert.objects.count() == 1
    save_episodes(
        [closed(episode(3, symbol="ETH/USDT", started_us=now_us - 2 * S, move=f"{3:032x}"), after_ms=1000)]
    )
    look_at_opportunities(moment(now_us), jumps)
    assert Alert.objects.count() == 2, "another coin's"


@pytest.mark.django_db
@pytest.mark.parametrize("by_s", [300, 3600])
def test_what_was_over_just_before_a_step_is_reported_all_the_same(
    wall: Wall, traders: AlertRule, by_s: int
) -> None:
    """It was taken for history: the step made it older than the two minutes for which it is reported."""
    AlertRule.objects.update(changed_at=moment(T0 - HOUR_US))
    jumps = Jumps()
    wall.passes(5)
    jumps.now_us()
    save_episodes([closed(episode(1, started_us=T0, move=f"{1:032x}"), after_ms=4000)])
    wall.passes(1, set_by_s=by_s)
    look_at_opportunities(moment(jumps.now_us()), jumps)
    assert [alert.state for alert in Alert.objects.all()] == ["resolved"]
    wall.passes(200)
    save_episodes([closed(episode(2, symbol="ETH/USDT", started_us=T0), after_ms=4000)])
    look_at_opportunities(moment(jumps.now_us()), jumps)
    assert Alert.objects.count() == 1, "that is history"


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_s", [*STEPS_S, -3600])
def test_a_refusal_is_as_old_as_it_is(monkeypatch: pytest.MonkeyPatch, by_s: int) -> None:
    at_s, wall_us = [1000.0], [T0]
    monkeypatch.setattr(time, "monotonic", lambda: at_s[0])
    monkeypatch.setattr(time, "time_ns", lambda: wall_us[0] * 1000)
    refusals = Refusals(Timing())
    refusals.note(topic("C1-USDT"), "not listed")
    at_s[0] += 42
    wall_us[0] += (42 + by_s) * S
    feed = {"refusals": [{"symbol": "C1/USDT", **each} for each in refusals.status()]}
    collector = CollectorStatus("1/1", exchanges={"okx": feed})
    now = structs.replace(look(), at_us=wall_us[0], collectors=(collector,))
    [found] = refused_symbols(now, Limits())
    assert found.words.startswith("okx has refused C1/USDT for 42.0 s: not listed.")
    assert (found.value, now.at_us - found.since_us) == (42.0, 42 * S)


# --- retention -----------------------------------------------------------------------------------


def late() -> dict[str, str]:
    overdue = measure().overdue
    found = assess(look(overdue=overdue, runs=(), at_us=time.time_ns() // 1000), Limits())
    return {each.subject: each.words for each in found if each.kind == "maintenance_late"}


@pytest.mark.django_db(transaction=True)  # what measures closes its connection
@pytest.mark.parametrize(("days", "is_late"), [(31, False), (33, True), (400, True)])
def test_rows_that_ought_to_be_deleted_for_days_are_reported(
    settings: Settings, days: int, is_late: bool
) -> None:
    settings.EPISODE_DAYS, settings.ALERT_DAYS = 30, 30
    assert late() == {}
    old = timezone.now() - datetime.timedelta(days=days)
    save_episodes([closed(episode(1))])
    OpportunityEpisode.objects.update(started_at=old, seen_at=old)
    made = rule()
    Alert.objects.create(
        rule=made, rule_name=made.name, key="a", subject="okx", severity="warning", title="okx", words="",
        since=old, fired_at=old, resolved_at=old, state=Alert.State.RESOLVED,
    )  # fmt: skip
    Session.objects.create(session_key="old", session_data="", expire_date=old)
    found = late()
    assert found.keys() == ({"retain episodes", "retain alerts"} if is_late else set()) | {"retain sessions"}
    assert all(f"rows {days} days old" in words for words in found.values())


@pytest.mark.django_db(transaction=True)  # what measures closes its connection
def test_so_are_messages_of_no_incident_and_sign_ins(settings: Settings) -> None:
    settings.ALERT_DAYS = 30
    AccessLog.objects.create(username="a", ip_address="127.0.0.1")
    AccessLog.objects.update(attempt_time=F("attempt_time") - datetime.timedelta(days=40))
    assert late().keys() == {"retain alerts"}


@pytest.mark.django_db(transaction=True)  # what measures closes its connection
def test_what_is_still_open_is_not_overdue_however_old(settings: Settings) -> None:
    settings.EPISODE_DAYS = 30
    save_episodes([episode(1)])
    old = timezone.now() - datetime.timedelta(days=99)
    OpportunityEpisode.objects.update(started_at=old, seen_at=timezone.now())
    Session.objects.create(session_key="new", session_data="", expire_date=timezone.now())
    assert late() == {}
