"""Which proxy a request goes out through, and how its address is shown: never with its credentials.

Plain Python, no Django. An exchange's own setting decides; without one that of the process,
OUTBOUND_PROXY, for hosts that OUTBOUND_NO_PROXY does not name. Nothing is passed by silently: neither
loopback nor the variables that other programs know (HTTP_PROXY, NO_PROXY …) make an exception.
"""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("http", "socks5", "socks5h")
DIRECT: Final = "direct"
"""An exchange's setting that says: no proxy, whatever the process has."""

HIDDEN: Final = "•••"


def proxy_problem(url: str) -> str:
    """What is wrong with a proxy's address, in plain words without its credentials; empty when nothing is."""
    wanted = f"write it like http://host:port or socks5://user:password@host:port, or “{DIRECT}”"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"this is no address of a proxy; {wanted}"
    if parts.scheme not in SCHEMES:
        return f"a proxy's address begins with one of {', '.join(f'{name}://' for name in SCHEMES)}; {wanted}"
    if not host or port is None or any(char.isspace() for char in url):
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


def with_remote_names(proxy: str) -> str:
    """The address for libraries that look up names here with socks5, and at the proxy with socks5h."""
    return f"socks5h{proxy.removeprefix('socks5')}" if proxy.startswith("socks5:") else proxy


def secrets_of(url: str) -> list[str]:
    """What of a proxy's address no log may show."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return [url]
    return [part for part in (parts.username, parts.password) if part]


def proxy_for(url: str, proxy: str, no_proxy: Iterable[str] = ()) -> str:
    """The proxy for a request to `url`, empty for none; `no_proxy` are hosts, or endings like `.lan`."""
    if not proxy or proxy == DIRECT:
        return ""
    host = (urlsplit(url).hostname or "").lower()
    return "" if any(_fits(host, each.strip().lower()) for each in no_proxy) else proxy


def _fits(host: str, name: str) -> bool:
    return bool(name) and (name == "*" or host == name.lstrip(".") or host.endswith("." + name.lstrip(".")))
