"""Who watches the desk itself: what is ill, since when, and who is told."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """Health, metrics and alerts."""

    name = "monitoring"
    verbose_name = _("Monitoring")

    def ready(self) -> None:
        """Pages of the admin that lie in modules of their own."""
        from monitoring import limits_admin  # noqa: F401
