"""The store of quotes, trades and books."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

import audit


class OrderbookConfig(AppConfig):
    """The store of quotes, trades and books."""

    name = "orderbook"
    verbose_name = _("Order books")

    def ready(self) -> None:
        """Register what people set here, and what may be unhealthy."""
        from collectors.health import Store, stores
        from orderbook import health, metrics  # noqa: F401 - register themselves
        from orderbook.ingest import health as ingest_health
        from orderbook.ingest import metrics as ingest_metrics  # noqa: F401
        from orderbook.models import StoreSettings

        on_disk = "on disk, and what is beyond their room there is dropped"
        for sink in ingest_health.SINKS:
            stores[sink] = Store("store_write", "Check PostgreSQL, and the disk of STORE_SPILL_DIR.", on_disk)
        audit.register(StoreSettings)
