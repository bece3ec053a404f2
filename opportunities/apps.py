"""Opportunities: every one from its opening to its close, and statistics of pairs."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

import audit


class OpportunitiesConfig(AppConfig):
    """Opportunities."""

    name = "opportunities"
    verbose_name = _("Opportunities")

    def ready(self) -> None:
        """Say what people set here; episodes are written by collectors."""
        from collectors.health import Store, stores
        from opportunities import metrics, upkeep  # noqa: F401 - register themselves
        from opportunities.models import VerdictThresholds

        stores["EpisodeSink"] = Store("database", "Check PostgreSQL.")
        audit.register(VerdictThresholds)
