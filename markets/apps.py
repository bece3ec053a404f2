"""The ground floor: what can be traded where, and what the operator wants."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MarketsConfig(AppConfig):
    """Exchanges, symbols, pairs, filters and the catalogue."""

    name = "markets"
    verbose_name = _("Markets")
