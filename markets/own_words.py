"""Exchanges whose words are shown: an exchange at its own address, and of its simulation on this machine.

A user who may enter an address could otherwise read what any server that the desk reaches answers, in the
reason why an exchange is down or its sync failed.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings

from core.targets import host_problem


def is_within(url: str, own: Iterable[str]) -> bool:
    """Whether an address is within the domain of one of an exchange's own, over TLS."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("https", "wss") and _domain(url) in {_domain(each) for each in own}


def may_be_quoted(url: str, own: Iterable[str]) -> bool:
    """Whether what the server there says of an error is shown; `own` are the exchange's own addresses."""
    host = _host(url)
    is_simulated = settings.FEED == "sim" and bool(host) and bool(host_problem(host, ()))
    return is_simulated or is_within(url, own)


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _domain(url: str) -> str:
    """`wss://stream.binance.com` → `binance.com`: every exchange's domain has two labels."""
    return ".".join(_host(url).lower().rstrip(".").split(".")[-2:])
