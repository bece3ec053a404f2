"""Which exchanges are not read from where they live: the pages say so, as they do of invented prices."""

from urllib.parse import urlsplit

from django.conf import settings
from django.db import Error as DatabaseTrouble

from collectors.exchanges import CODECS
from markets.models import Exchange
from markets.plain_names import isolated


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


def is_own(key: str, url: str) -> bool:
    """Whether a base URL, where there is one, is within the exchange's own domain, over TLS."""
    if not url:
        return True
    codec = CODECS.get(key)
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if codec is None or parts.scheme not in ("https", "wss"):
        return False
    own = {_domain(urlsplit(each).hostname) for each in (codec.sheet.ws_url, codec.sheet.rest_url)}
    return _domain(parts.hostname) in own


def _domain(host: str | None) -> str:
    """`stream.binance.com` → `binance.com`: every exchange's domain has two labels."""
    return ".".join((host or "").lower().rstrip(".").split(".")[-2:])
