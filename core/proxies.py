"""Choice of the proxy for a request, and its address as it is shown: never with its credentials.

Plain Python, no Django. An exchange's own setting decides; without one that of the process,
OUTBOUND_PROXY, for hosts that OUTBOUND_NO_PROXY does not name. Nothing is passed by silently: neither
loopback nor the variables that other programs know (HTTP_PROXY, NO_PROXY …) make an exception.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import unquote, urlsplit

SCHEMES: Final = ("http", "socks5", "socks5h")
DIRECT: Final = "direct"
"""An exchange's setting that says: no proxy, whatever the process has."""

SEALED: Final = "sealed:"
"""What an address that could not be opened begins with (markets.sealed_proxy)."""

HIDDEN: Final = "•••"

_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def proxy_problem(url: str) -> str:
    """Problem of a proxy's address, in plain words without its credentials; empty when there is none."""
    if url.startswith(SEALED):
        return "its credentials were sealed under another SECRET_KEY; enter the address again"
    wanted = f"write it like http://host:port or socks5://user:password@host:port, or “{DIRECT}”"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"this is no address of a proxy; {wanted}"
    if parts.scheme not in SCHEMES:
        return f"a proxy's address begins with one of {', '.join(f'{name}://' for name in SCHEMES)}; {wanted}"
    if not host or not port or any(char.isspace() for char in url):
        return f"a proxy's address names a host and a port; {wanted}"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return f"a proxy's address ends with its port; {wanted}"
    return ""


def shown(url: str) -> str:
    """A proxy's address without its credentials, to be read by anybody."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return HIDDEN
    if not parts.scheme or not host:
        return url if url in ("", DIRECT) else HIDDEN
    host = f"[{host}]" if ":" in host else host
    user = f"{HIDDEN}@" if "@" in parts.netloc else ""
    return f"{parts.scheme}://{user}{host}" + (f":{port}" if port else "")


def answered(status: int) -> str:
    """An HTTP status in the standard's words: a proxy's own may be those of any server within reach."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def with_remote_names(proxy: str) -> str:
    """The address for libraries that look up names here with socks5, and at the proxy with socks5h."""
    return f"socks5h{proxy.removeprefix('socks5')}" if proxy.startswith("socks5:") else proxy


def secrets_of(url: str) -> list[str]:
    """Parts of a proxy's address that no log may show."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    known = [part for part in (parts.username, parts.password) if part]
    return list(dict.fromkeys([*known, *map(unquote, known)]))


def proxy_for(url: str, proxy: str, no_proxy: Iterable[str] = ()) -> str:
    """The proxy for a request to `url`, empty for none; `no_proxy` are hosts, or endings like `.lan`."""
    if not proxy or proxy == DIRECT:
        return ""
    host = (urlsplit(url).hostname or "").lower()
    return "" if any(_fits(host, each) for each in no_proxy) else proxy


def no_proxy_problem(name: str) -> str:
    """Problem of a host in OUTBOUND_NO_PROXY, in plain words; empty when there is none."""
    plain = _host(name)
    if plain in ("", "*") or _NAME.fullmatch(plain):
        return ""
    try:
        ip_address(plain)
    except ValueError:
        return f"“{name}” is no host; write names like 127.0.0.1 or api.example.com, endings like .lan, or *"
    return ""


def _fits(host: str, name: str) -> bool:
    plain = _host(name)
    return bool(plain) and (plain in ("*", host) or host.endswith(f".{plain}"))


def _host(name: str) -> str:
    """Form of a host for comparing: without the dot or `*.` of an ending, and the brackets of IPv6."""
    return name.strip().lower().removeprefix("*.").lstrip(".").removeprefix("[").removesuffix("]")
