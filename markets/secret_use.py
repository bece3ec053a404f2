"""Record that a secret of an exchange is used: its proxy's credentials, and its key for the wallets."""

from collections.abc import Iterable
from typing import Final

from django.conf import settings

import audit
from markets.models import Exchange

PROXY: Final = "credentials of its proxy, to go out through it"
KEY: Final = "its read-only key, to ask for its wallets"


def proxies_used(exchanges: Iterable[Exchange]) -> None:
    """Record it of those whose way out asks for credentials (once a day in a process)."""
    for row in exchanges:
        if "@" in row.proxy:
            audit.used(row, PROXY)
        elif not row.proxy and "@" in settings.OUTBOUND_PROXY:
            audit.used("OUTBOUND_PROXY", "credentials, to go out through it")


def keys_used(exchanges: Iterable[Exchange]) -> None:
    """Record it of those that a key is configured for and sent to, which is their own address only."""
    for row in exchanges:
        if not row.rest_url and settings.EXCHANGE_KEYS.get(row.key):
            audit.used(row, KEY)
