"""What was seen: the lake, who writes, keeps and reads it."""

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
        from history.models import RetentionPolicy

        audit.register(RetentionPolicy, made_by_machines=True)
        post_migrate.connect(_create_policies, sender=self)


def _create_policies(**_options: Any) -> None:
    from history.maintenance.retention import create_policies

    create_policies()
