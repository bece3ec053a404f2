"""Monitoring of the desk itself: unhealthy findings, their age, and alerts about them."""

from collections.abc import Callable

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _

import audit
from core.process.vitals import Vitals, companions
from core.secrets.sealed_columns import SealedColumn, sealed_columns


class MonitoringConfig(AppConfig):
    """Health, metrics and alerts."""

    name = "monitoring"
    verbose_name = _("Monitoring")

    def ready(self) -> None:
        """Pages of the admin that lie in modules of their own; metrics where they are asked for."""
        from monitoring import upkeep  # noqa: F401 - registers itself
        from monitoring.alerts import secrets
        from monitoring.health import (  # noqa: F401 - register themselves
            assess,
            assess_funding,
            assess_market,
            limits_admin,
        )
        from monitoring.health.limits import HealthLimits
        from monitoring.metrics import names  # noqa: F401 - declares them
        from monitoring.models import AlertChannel, AlertRule

        audit.register(AlertRule, machine=("changed_at",))
        audit.register(
            AlertChannel, secret={"sealed_secret": audit.hidden}, means={"sealed_secret": secrets.meaning}
        )
        audit.register(HealthLimits)
        channels = "secrets of alert channels"
        sealed_columns.append(SealedColumn(channels, AlertChannel, "sealed_secret", secrets.PURPOSE))
        if settings.METRICS_PORT:
            companions.append(_serve_metrics)


def _serve_metrics(vitals: Vitals) -> Callable[[], None]:
    from monitoring.metrics import exporter  # its libraries are not loaded where nobody asks

    return exporter.serve(vitals)
