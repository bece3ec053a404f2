"""The app of the tools for agents."""

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate


class AgentsConfig(AppConfig):
    """Grants the reading role what it may read, whenever tables may have changed."""

    name = "agents"

    def ready(self) -> None:
        """Follow migrations by the signal of the store's, for there is none of an app without models."""
        post_migrate.connect(_grant, sender=apps.get_app_config("orderbook"))


def _grant(using: str, **_: Any) -> None:
    from agents.role import grant_reading  # models are not there before

    grant_reading(using)
