"""Exchanges that are not read at their own address: the pages say so, as they do of invented prices."""

from django.conf import settings
from django.db import Error as DatabaseTrouble

from collectors.own_addresses import is_own
from core.names.market_keys import SPOT, SWAP, market_key
from markets.models import Exchange


def redirected() -> list[str]:
    """The enabled exchanges with an address that is not their own, by name; empty where all is simulated."""
    if settings.FEED == "sim":
        return []
    nowhere = {"rest_url": "", "ws_url": "", "swap_rest_url": "", "swap_ws_url": ""}
    try:
        moved = list(Exchange.objects.filter(enabled=True).exclude(**nowhere).order_by("name"))
    except DatabaseTrouble:
        return []  # the page says itself that the database is gone
    return [str(row) for row in moved if not _is_own(row)]


def _is_own(row: Exchange) -> bool:
    return all(
        is_own(market_key(row.key, market), url) for market in (SPOT, SWAP) for url in row.urls_of(market)
    )
