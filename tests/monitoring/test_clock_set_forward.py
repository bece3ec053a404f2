"""A wall clock that is set forward: what lasts has lasted no longer for it."""

import datetime
import time
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from msgspec import structs

from core.health.upkeep import LastRun
from history.lake.standing import LakeTable
from monitoring import jumps as jumps_module
from monitoring.alerts.evaluator import HealthWatch, look_at_opportunities
from monitoring.health.assess import assess
from monitoring.health.memory import Memory
from monitoring.health.observed import Limits
from monitoring.jumps import MOST, Jumps
from monitoring.models import Alert, What
from monitoring.quality.wire import SYMBOL_ROW, Quality
from opportunities.services import save_episodes
from tests.monitoring.alerts.test_rules_at_work import SILENT, T0, channel, rule
from tests.opportunities.test_episodes import episode
from tests.support.observed import NOW, look

S = 1_000_000
HOUR_US = 3600 * S


class Wall:
    """The wall clock and the one since the boot, both set by a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at_us: int = T0) -> None:
        self.wall_us, self.boot_us = at_us, 5 * S
        monkeypatch.setattr(time, "time_ns", lambda: self.wall_us * 1000)
        monkeypatch.setattr(jumps_module, "boot_ns", lambda: self.boot_us * 1000)

    def passes(self, seconds: float, set_by_s: float = 0.0) -> None:
        self.boot_us += int(seconds * S)
        self.wall_us += int((seconds + set_by_s) * S)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


class TestJumps:
    def test_a_clock_that_goes_on_has_none(self, wall: Wall) -> None:
        jumps = Jumps()
        for seconds in (1, 0.1, 3600, 86_400):
            wall.passes(seconds, set_by_s=0.5)
            jumps.now_us()
        assert (jumps.total_us, jumps.since(T0), jumps.ago(wall.wall_us, S)) == (0, T0, wall.wall_us - S)

    def test_what_was_stamped_before_a_step_is_moved_and_what_came_after_is_not(self, wall: Wall) -> None:
        jumps = Jumps()
        wall.passes(10, set_by_s=3600)
        now_us = jumps.now_us()
        assert jumps.since(T0) == T0 + HOUR_US == now_us - 10 * S
        assert jumps.since(now_us - S) == now_us - S
        assert jumps.ago(now_us, 4 * S) == now_us - 4 * S - HOUR_US
        wall.passes(5)
        assert jumps.ago(jumps.now_us(), 4 * S) == now_us + S

    def test_several_steps_add_up_and_one_back_is_no_step_forward(self, wall: Wall) -> None:
        jumps = Jumps()
        for _ in range(3):
            wall.passes(10, set_by_s=600)
            jumps.now_us()
        assert jumps.since(T0) == wall.wall_us - 30 * S
        assert jumps.ago(wall.wall_us, 30 * S) == T0
        wall.passes(10, set_by_s=-1800)
        now_us = jumps.now_us()
        assert jumps.total_us == 0
        assert jumps.since(now_us - 5 * S) == now_us - 5 * S, "stamped before the first step, or just now"

    def test_so_many_are_remembered(self, wall: Wall) -> None:
        jumps = Jumps()
        for _ in range(10 * MOST):
            wall.passes(1, set_by_s=60)
            jumps.now_us()
        assert jumps.total_us == 600 * MOST * S
        assert jumps.since(wall.wall_us - 61 * S) == wall.wall_us - S

    def test_what_collectors_say_goes_along(self, wall: Wall) -> None:
        jumps = Jumps()
        rows = np.zeros(2, SYMBOL_ROW)
        rows["since_us"] = T0 - 2 * S, T0 + HOUR_US + 3 * S
        wall.passes(4, set_by_s=3600)
        now_us = jumps.now_us()
        steady = jumps.steady(Quality(at_us=now_us, names=(("okx", "A"), ("okx", "B")), rows=rows))
        assert [(now_us - each) // S for each in steady.rows["since_us"].tolist()] == [6, 1]


def test_a_finding_is_no_older_for_a_step_than_it_is() -> None:
    memory = Memory(steady=lambda stamp_us: stamp_us + HOUR_US if stamp_us <= T0 + 2 * S else stamp_us)
    memory.keep([], structs.replace(look(), at_us=T0))
    unhealthy = structs.replace(SILENT, since_us=T0 + S)
    [found] = memory.keep([unhealthy], structs.replace(look(), at_us=T0 + HOUR_US + 5 * S, jumps_us=HOUR_US))
    assert found.since_us == T0 + HOUR_US + S
    [found] = memory.keep([unhealthy], structs.replace(look(), at_us=T0 + HOUR_US + 6 * S, jumps_us=HOUR_US))
    assert found.since_us == T0 + HOUR_US + S
    [found] = memory.keep([unhealthy], structs.replace(look(), at_us=T0 + 7 * S, jumps_us=0))
    assert found.since_us == T0 + S, "and back"


# --- rules ---------------------------------------------------------------------------------------


def firing() -> int:
    return Alert.objects.filter(state=Alert.State.FIRING).count()


@pytest.mark.django_db
@pytest.mark.parametrize("by_s", [90, 300, 3600, 86_400, 10 * 365 * 86_400])
@pytest.mark.parametrize("terms", [{}, {"threshold": 5.0}], ids=["whatever is found", "beyond a threshold"])
def test_the_time_a_rule_asks_for_is_not_over_by_a_step_alone(by_s: int, terms: dict[str, Any]) -> None:
    rule(for_s=60, channels=(channel(),), **terms)
    watch, by_us = HealthWatch(), by_s * S
    watch.judge([SILENT], T0 + S)
    after = structs.replace(SILENT, since_us=SILENT.since_us + by_us)  # as the monitor's memory has it
    watch.judge([after], T0 + by_us + 2 * S, by_us)
    watch.judge([after], T0 + by_us + 59 * S, by_us)
    assert firing() == 0
    watch.judge([after], T0 + by_us + 62 * S, by_us)
    assert firing() == 1


@pytest.mark.django_db
def test_nor_is_the_time_after_which_it_is_over_nor_a_cool_down() -> None:
    rule(clear_after_s=60, cool_down_s=600, channels=(channel(),))
    watch = HealthWatch()
    watch.judge([SILENT], T0)
    watch.judge([], T0 + S)
    watch.judge([], T0 + HOUR_US + 2 * S, HOUR_US)
    assert firing() == 1
    watch.judge([], T0 + HOUR_US + 70 * S, HOUR_US)
    assert firing() == 0
    again = structs.replace(SILENT, since_us=T0 + 2 * HOUR_US)
    watch.judge([again], T0 + 2 * HOUR_US + 80 * S, 2 * HOUR_US)
    assert firing() == 0, "it cools down"


@pytest.mark.django_db
def test_after_a_step_back_durations_go_on_too() -> None:
    rule(for_s=60, channels=(channel(),))
    watch = HealthWatch()
    watch.judge([SILENT], T0 + 50 * S)
    watch.judge([SILENT], T0 - HOUR_US + 59 * S, -HOUR_US)
    assert firing() == 0
    watch.judge([SILENT], T0 - HOUR_US + 61 * S, -HOUR_US)
    assert firing() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("by_s", [90, 3600, 86_400])
def test_an_opportunity_has_not_lasted_longer_for_a_step(wall: Wall, by_s: int) -> None:
    rule(what=What.OPPORTUNITY, for_s=60, channels=(channel(),))
    jumps = Jumps()
    save_episodes([episode(started_us=T0)])
    wall.passes(5, set_by_s=by_s)
    look_at_opportunities(moment(jumps.now_us()), jumps)
    assert Alert.objects.count() == 0
    wall.passes(56)
    look_at_opportunities(moment(jumps.now_us()), jumps)
    assert Alert.objects.count() == 1


def moment(at_us: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at_us / 1e6, datetime.UTC)


@pytest.mark.parametrize(
    ("old_days", "keep_days", "late"), [(40, 30, True), (31, 30, False), (900, None, False)]
)
def test_a_table_whose_retention_never_ran_says_so(old_days: int, keep_days: int | None, late: bool) -> None:
    table = LakeTable("quotes", 1, 1, 1, oldest_us=NOW - old_days * 86_400 * S, keep_days=keep_days)
    found = [
        each for each in assess(look(lake=(table,), runs=()), Limits()) if each.subject == "retain quotes"
    ]
    assert [each.kind for each in found] == ["maintenance_late"] * late
    assert all("never ran" in each.words for each in found)
    run = LastRun("retain quotes", "done", NOW - S, NOW - S, 86_400.0)
    subjects = [each.subject for each in assess(look(lake=(table,), runs=(run,)), Limits())]
    assert "retain quotes" not in subjects


def test_the_clock_here_is_real() -> None:
    jumps = Jumps()
    assert abs(jumps.now_us() / 1e6 - timezone.now().timestamp()) < 5
    assert jumps.total_us == 0
