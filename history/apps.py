"""History: the lake and its writers, readers and maintenance."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

import audit


class HistoryConfig(AppConfig):
    """The lake."""

    name = "history"
    verbose_name = _("History")

    def ready(self) -> None:
        """Every table of the lake has a retention policy from its first `migrate` on."""
        from collectors.health import Store, stores
        from history import health, metrics, upkeep  # noqa: F401 - register themselves
        from history.models import RetentionPolicy

        stores["LakeSink"] = Store("lake_write", "Check LAKE_URL and its disk or object store.")
        audit.register(RetentionPolicy, made_by_machines=True)
        post_migrate.connect(_create_policies, sender=self)


def _create_policies(**_options: Any) -> None:
    from history.maintenance.retention import create_policies

    create_policies()
