"""The way out through a proxy: a tunnel to the exchange, for sockets and for token requests alike.

Of an HTTP proxy a tunnel is asked with CONNECT, whatever goes through it; a SOCKS5 proxy gets the host's
name, so that it and not this host looks it up. What fails before the tunnel stands is the proxy's doing,
and said so.
"""

import socket
from typing import Final
from urllib.parse import unquote, urlsplit

import python_socks
from python_socks.async_.asyncio import Proxy as AsyncProxy
from python_socks.sync import Proxy as SyncProxy

from collectors.sockets.answers import plain
from core.proxies import answered, shown

_FAILS: Final = (python_socks.ProxyError, python_socks.ProxyConnectionError, python_socks.ProxyTimeoutError)


class ProxyFailed(Exception):
    """The proxy gives no way to the exchange; the message names it, without its credentials."""


async def tunnel(proxy: str, host: str, port: int, within_s: float) -> socket.socket:
    """A connected, non-blocking socket to host and port. Raises ProxyFailed."""
    try:
        return await AsyncProxy.from_url(_library_url(proxy)).connect(host, port, timeout=within_s)
    except (*_FAILS, OSError, ValueError) as error:
        raise _failed(proxy, error) from error


def blocking_tunnel(proxy: str, host: str, port: int, within_s: float) -> socket.socket:
    """Blocking variant of `tunnel`."""
    try:
        return SyncProxy.from_url(_library_url(proxy)).connect(host, port, timeout=within_s)
    except (*_FAILS, OSError, ValueError) as error:
        raise _failed(proxy, error) from error


def _library_url(proxy: str) -> str:
    """Address for python-socks: it looks up names at the proxy anyway, and wants a password beside a name."""
    parts = urlsplit(proxy)
    scheme = "socks5" if parts.scheme == "socks5h" else parts.scheme
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    user = "" if parts.username is None else f"{parts.username}:{parts.password or ''}@"
    return f"{scheme}://{user}{host}:{parts.port}"


def _in_words(error: Exception) -> str:
    """Describe the error without the other side's words: it may be any server within reach, and no proxy."""
    if not isinstance(error, python_socks.ProxyError):
        return plain(str(error))
    return answered(error.error_code) if error.error_code else str(error).partition(":")[0]


def _failed(proxy: str, error: Exception) -> ProxyFailed:
    words = _in_words(error) if proxy.startswith("http") else plain(str(error))
    words = words or type(error).__name__
    for secret in (urlsplit(proxy).password, unquote(urlsplit(proxy).password or "")):
        if secret:
            words = words.replace(secret, "•••")
    return ProxyFailed(f"proxy {shown(proxy)}: {words}")
