"""The store of quotes, trades and books."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

import audit


class OrderbookConfig(AppConfig):
    """The store of quotes, trades and books."""

    name = "orderbook"
    verbose_name = _("Order books")

    def ready(self) -> None:
        """Say what people set here."""
        from orderbook import health, metrics  # noqa: F401 - register themselves
        from orderbook.models import StoreSettings

        audit.register(StoreSettings)
