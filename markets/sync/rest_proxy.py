"""The proxy this process uses for an exchange, ccxt's requests through it, and what to say when it fails.

No database here.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from core.proxies import (
    DIRECT,
    SEALED,
    answered,
    proxy_for,
    proxy_problem,
    secrets_of,
    shown,
    with_remote_names,
)
from core.secrets.redaction import keep_secret
from core.targets import host_problem

_PROXY_SAYS: Final = re.compile(
    r"Tunnel connection failed: (?P<status>\d+)"
    r"|(?<!\w)SOCKS[45]? (?:proxy|auth|conn|serv)[^'\")]+|0x\d\d: [^'\")]+"
    r"|Connection refused|Connection closed unexpectedly|Name or service not known|timed out"
)
"""A proxy's words within those of the libraries, which are not for people."""
_UNAUTHORISED: Final = "407 Proxy Authentication Required"


def way_out(own: str) -> tuple[str, tuple[str, ...]]:
    """The proxy of an exchange with this setting, empty for none, and the hosts it is not used for.

    Its credentials are kept out of this process's log from now on. Raises ValueError when they cannot be
    opened: the way out is then unknown, and by no means the direct one.
    """
    if own.startswith(SEALED):
        raise ValueError(f"proxy: {proxy_problem(own)}")
    proxy = own or settings.OUTBOUND_PROXY
    keep_secret(*secrets_of(proxy))
    return ("" if proxy == DIRECT else proxy), (() if own else settings.OUTBOUND_NO_PROXY)


def route(exchange: Any, own: str) -> None:
    """Let a ccxt client go out through its exchange's proxy, or the process's, as core.proxies says."""
    from markets.sync.rest_targets import guard  # with ccxt's own libraries, which start late

    proxy, no_proxy = way_out(own)
    address = exchange.implode_hostname(_first(exchange.urls["api"]))
    guard(exchange.session)
    if chosen := proxy_for(address, proxy, no_proxy):
        if problem := host_problem(urlsplit(address).hostname or "", settings.EXCHANGE_TARGETS):
            raise ValueError(problem)
        url = with_remote_names(chosen)
        exchange.session.proxies = {"http": url, "https": url}


def proxy_words(error: BaseException, exchange: Any) -> str:
    """Problem of the proxy, naming it; empty where something else is to blame."""
    from requests.exceptions import ProxyError

    proxy = shown(exchange.session.proxies.get("https", ""))
    if proxy and _UNAUTHORISED in str(error):  # of a plain request, which a proxy answers in its own name
        return f"proxy {proxy}: {_UNAUTHORISED}"
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return ""
        text = str(cause)
        if isinstance(cause, ProxyError) or "SOCKS" in text:
            said = _PROXY_SAYS.search(text)
            return f"proxy {proxy}: {_said(said) if said else 'it gives no way out'}"
        cause = cause.__cause__ or cause.__context__
    return ""


def _said(found: re.Match[str]) -> str:
    status = found["status"]
    return f"Tunnel connection failed: {answered(int(status))}" if status else found[0].strip()


def failure(error: BaseException, exchange: Any, words: str) -> str:
    """Words for a failed request: the proxy where it is to blame, else these words and the way taken."""
    proxy = exchange.session.proxies.get("https", "")
    way = f", through proxy {shown(proxy)}" if proxy else ""
    return proxy_words(error, exchange) or f"{words}{way}"


def _first(urls: Any) -> str:
    while isinstance(urls, Mapping):
        urls = next(iter(urls.values()), "")
    return str(urls)
