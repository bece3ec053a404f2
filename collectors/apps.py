"""Collectors: one process per shard."""

from django.apps import AppConfig


class CollectorsConfig(AppConfig):
    """Sockets, codecs and sinks."""

    name = "collectors"

    def ready(self) -> None:
        """Say what of collectors may be unhealthy."""
        from collectors import health, metrics  # noqa: F401 - register themselves
