"""Exchanges that are not read at their own address: the pages say so, as they do of invented prices."""

from django.conf import settings
from django.db import Error as DatabaseTrouble

from collectors.own_addresses import is_own
from core.names.plain_names import isolated
from markets.models import Exchange


def redirected() -> list[str]:
    """The enabled exchanges with an address that is not their own, by name; empty where all is simulated."""
    if settings.FEED == "sim":
        return []
    moved = Exchange.objects.filter(enabled=True).exclude(rest_url="", ws_url="").order_by("name")
    try:
        rows = list(moved.values_list("key", "name", "rest_url", "ws_url"))
    except DatabaseTrouble:
        return []  # the page says itself that the database is gone
    return [isolated(name) for key, name, *urls in rows if not all(is_own(key, url) for url in urls)]
