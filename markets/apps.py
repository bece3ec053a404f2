"""The ground floor: what can be traded where, and what the operator wants."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

import audit
from core.proxies import SEALED
from core.secrets.redaction import redacted
from core.secrets.sealed_columns import SealedColumn, sealed_columns


class MarketsConfig(AppConfig):
    """Exchanges, symbols, pairs, filters and the catalogue."""

    name = "markets"
    verbose_name = _("Markets")

    def ready(self) -> None:
        """Say what is audited: what the syncs and collectors write is nobody's action."""
        from markets import health, models, sealed_proxy, upkeep  # noqa: F401 - some register themselves

        audit.redact_with(redacted)
        for model in (
            models.Exchange, models.Symbol, models.ExchangePair, models.OpportunityFilter,
            models.FeeSchedule, models.GateThresholds, models.PinnedChart, models.DepthSettings,
        ):  # fmt: skip
            audit.register(model)
        synced = (each.name for each in models.Instrument._meta.fields)
        theirs = ("id", "enabled", "counts_as", "multiplier", "depth_pinned")
        machine = [name for name in synced if name not in theirs]
        audit.register(models.Instrument, machine=machine, made_by_machines=True)
        proxies = "proxies of exchanges"
        sealed_columns.append(SealedColumn(proxies, models.Exchange, "proxy", sealed_proxy.PURPOSE, SEALED))
        found = ("price_ratio", "correlation", "found_at", "seen_at", "follows")
        audit.register(models.IdentityCase, machine=found)
