"""Whether incidents, messages and sign-ins past their days are deleted; whether there is an alert rule."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from axes.models import AccessLog
from django.conf import settings

from core.health.findings import Lack
from core.health.upkeep import Overdue, asked_in, kept_too_long, lacks, overdue
from monitoring.models import Alert, AlertRule, Delivery

NO_RULES: Final = Lack(
    "No alert is sent: there is no alert rule.",
    "Add rules in the admin (Monitoring, Alert rules); `manage.py seed_rules` adds the default ones.",
)


@asked_in(overdue)
def old_alerts(now: datetime) -> list[Overdue]:
    """Rows that `monitoring.tasks.retain_alerts` deletes."""
    return kept_too_long(
        "retain alerts", settings.ALERT_DAYS, now,
        (Alert.objects, "resolved_at"),
        (Delivery.objects.filter(alert=None), "created_at"),
        (AccessLog.objects, "attempt_time"),
    )  # fmt: skip


@asked_in(lacks)
def no_rules() -> Iterator[tuple[str, Lack]]:
    """There is no alert rule."""
    if not AlertRule.objects.exists():
        yield "alert rules", NO_RULES
