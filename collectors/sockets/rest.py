"""One REST request to an exchange, through its proxy, with a limit on time and length."""

import asyncio
import ssl
from contextlib import closing
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from collectors.own_addresses import may_be_quoted
from collectors.sockets.answers import plain, refusal, retry_after
from collectors.sockets.proxy import ProxyFailed, blocking_tunnel
from collectors.sockets.timing import Timing
from core.proxies import proxy_for
from core.secrets.redaction import redacted
from core.targets import connect, host_problem
from core.threads import in_daemon_thread
from markets.config import ExchangeConfig

LONGEST_REASON: Final = 400


class ConnectFailed(Exception):
    """No usable socket or answer; `retry_after_s` is how long the exchange asked us to stay away, None if it
    did not.

    The reason is one printable line without secrets: it is shown on charts.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(plain(redacted(reason), LONGEST_REASON))
        self.retry_after_s = retry_after_s


class Request(NamedTuple):
    """One question: `what` it is called in words, and how long its answer may be."""

    what: str
    method: Literal["GET", "POST"]
    url: str
    most_bytes: int


async def ask(request: Request, config: ExchangeConfig, timing: Timing) -> tuple[bytes, float | None]:
    """Ask an exchange; returns the body of a good answer and its Retry-After, should the body say no.

    Raises ConnectFailed, which names what was asked for.
    """
    what, url = request.what, request.url
    try:
        async with asyncio.timeout(timing.open_s):
            return await in_daemon_thread(partial(_ask, request, config, timing.open_s * 2))
    except TimeoutError as error:
        raise ConnectFailed(f"{what}: no answer within {timing.open_s:g} s") from error
    except HTTPException as error:  # it quotes the first line of whatever came
        words = str(error) if may_be_quoted(config.key, url) else "not an HTTP answer"
        raise ConnectFailed(f"{what}: {words or type(error).__name__}") from error
    except (OSError, ValueError, ProxyFailed) as error:
        raise ConnectFailed(f"{what}: {error or type(error).__name__}") from error


def _ask(request: Request, config: ExchangeConfig, timeout_s: float) -> tuple[bytes, float | None]:
    """Block until it is answered. Python's own client: another would stay in memory for a call a minute."""
    what, method, url, most_bytes = request
    with closing(_connection(what, url, config, timeout_s)) as connection:
        parts = urlsplit(url)
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request(method, path, b"" if method == "POST" else None, {"Accept": "application/json"})
        reply = connection.getresponse()
        body = _body(reply, most_bytes)
    asked = reply.headers.get("Retry-After")
    if reply.status != HTTPStatus.OK:
        wait_s = retry_after(reply.status, asked)
        words = refusal(config.name, reply.status, body if may_be_quoted(config.key, url) else b"")
        raise ConnectFailed(f"{what}: {words}", wait_s)
    if len(body) > most_bytes:
        raise ConnectFailed(f"{what}: the reply is longer than {most_bytes} bytes")
    return body, retry_after(HTTPStatus.TOO_MANY_REQUESTS, asked)


def _body(reply: HTTPResponse, most_bytes: int) -> bytes:
    """Body: all of a good answer; of a refusal as much as came."""
    try:
        return reply.read(most_bytes + 1)
    except IncompleteRead as error:
        if reply.status == HTTPStatus.OK:
            raise
        return error.partial


def _connection(what: str, url: str, config: ExchangeConfig, timeout_s: float) -> HTTPConnection:
    """Connect to the URL's host or through the proxy; no redirects. Raises ProxyFailed, ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"no address for a request: {url}")
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    make = HTTPSConnection if secure else HTTPConnection
    connection = make(parts.hostname, port, timeout=timeout_s)
    proxy = proxy_for(url, config.proxy, config.no_proxy)
    if proxy:
        if problem := host_problem(parts.hostname, settings.EXCHANGE_TARGETS):
            raise ConnectFailed(f"{what}: {problem}")
        way_out = blocking_tunnel(proxy, parts.hostname, port, timeout_s * 0.4)  # before we stop waiting
    else:
        way_out = connect(parts.hostname, port, timeout_s, settings.EXCHANGE_TARGETS)
    way_out.settimeout(timeout_s)
    if secure:
        way_out = ssl.create_default_context().wrap_socket(way_out, server_hostname=parts.hostname)
    connection.sock = way_out
    return connection
