"""Open incidents at PagerDuty are resolved there, whatever becomes of the rule meanwhile."""

import datetime
from typing import Any

import pytest
from msgspec import structs

from monitoring.alerts.evaluator import HealthWatch
from monitoring.models import AlertChannel, AlertRule, Delivery
from tests.monitoring.alerts.test_rules_at_work import SILENT, T0, S, channel, rule, sent

pytestmark = pytest.mark.django_db


class TestAPagerTakenOffItsRule:
    """It keeps an incident open until the end of it is sent; a rule edited meanwhile does not change that."""

    def _fire(self) -> tuple[AlertRule, HealthWatch]:
        pager = AlertChannel.objects.create(name="pager", kind="pagerduty")
        made, watch = rule(channels=(channel(), pager)), HealthWatch()
        watch.judge([SILENT], T0)
        made.channels.remove(pager)
        return made, watch

    def _pager(self) -> list[str]:
        rows = Delivery.objects.filter(channel__name="pager").order_by("pk")
        return list(rows.values_list("kind", flat=True))

    def test_closes_what_it_has_opened(self) -> None:
        _, watch = self._fire()
        watch.judge([], T0 + 5 * S)
        watch.judge([], T0 + 6 * S)
        assert self._pager() == ["firing", "resolved"]
        assert [kind for kind, _ in sent()].count("resolved") == 2

    @pytest.mark.parametrize(
        "left",
        [{"tell_resolved": False}, {"digest_minutes": 60}, {"enabled": False},
         {"quiet_from": datetime.time(0), "quiet_until": datetime.time(23, 59), "quiet_critical": True}],
        ids=lambda left: next(iter(left)),
    )  # fmt: skip
    def test_whatever_else_was_changed(self, left: dict[str, Any]) -> None:
        made, watch = self._fire()
        AlertRule.objects.filter(pk=made.pk).update(**left)
        watch.judge([], T0 + 5 * S)
        watch.judge([], T0 + 6 * S)
        assert self._pager() == ["firing", "resolved"]

    def test_with_nobody_left_on_the_rule(self) -> None:
        made, watch = self._fire()
        made.channels.clear()
        watch.judge([], T0 + 5 * S)
        assert self._pager() == ["firing", "resolved"]

    def test_and_is_sent_nothing_of_what_fires_later(self) -> None:
        _, watch = self._fire()
        watch.judge([], T0 + 5 * S)
        watch.judge([structs.replace(SILENT, since_us=T0 + 9 * S)], T0 + 10 * S)
        watch.judge([], T0 + 20 * S)
        assert self._pager() == ["firing", "resolved"]
