"""Opening a socket: where to, through which proxy, with which token, and what a refusal says."""

import asyncio
import logging
import socket as sockets
import uuid
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
from django.conf import settings
from picows import WSError, WSHandshakeError, WSParsedURL, ws_connect

from collectors.exchanges.sheet import DataSheet
from collectors.own_addresses import may_be_quoted
from collectors.sockets.answers import read_answer, refusal, retry_after, said
from collectors.sockets.exchange_socket import MAX_MESSAGE_BYTES, ExchangeSocket
from collectors.sockets.proxy import ProxyFailed, tunnel
from collectors.sockets.rest import ConnectFailed, Request, ask
from collectors.sockets.timing import Timing
from collectors.sockets.turns import Turns
from core.proxies import proxy_for
from core.targets import connected, host_problem
from markets.config import ExchangeConfig

MAX_TOKEN_REPLY_BYTES = 64 * 1024
SOMEBODY: Final = "the exchange"

_log = logging.getLogger("picows")
_log.setLevel(logging.CRITICAL)  # lines say once what happens to connections; picows would say it again


class _Server(msgspec.Struct):
    endpoint: str


class _Token(msgspec.Struct):
    token: str
    instance_servers: list[_Server] = msgspec.field(name="instanceServers")


class _TokenReply(msgspec.Struct):
    data: _Token


def under(base: str, url: str) -> str:
    """The exchange's own `url`, moved to another base: `ws://host/binance` + its path and query."""
    own = urlsplit(url)
    query = f"?{own.query}" if own.query else ""
    return base.rstrip("/") + own.path + query


async def address(sheet: DataSheet, config: ExchangeConfig, timing: Timing, own: str = "") -> str:
    """The URL to open now, for that of the exchange's `own` that is wanted: the main one if none is said.

    Asks for a fresh token where the exchange wants one. Raises ConnectFailed.
    """
    own = own or sheet.ws_url
    if sheet.token_path is None:
        return under(config.ws_url, own) if config.ws_url else own
    url = (config.rest_url or sheet.rest_url).rstrip("/") + sheet.token_path
    token = await _token(url, config, timing)
    query = urlencode({"token": token.token, "connectId": uuid.uuid4().hex})
    return f"{token.instance_servers[0].endpoint}?{query}"


async def open_socket(
    url: str,
    timing: Timing,
    turns: Turns,
    config: ExchangeConfig | None = None,
    headers: Mapping[str, str] | None = None,
) -> ExchangeSocket:
    """Connect, through the proxy that `config` has. Raises ConnectFailed with the reason and Retry-After."""
    socket = ExchangeSocket(turns)
    name = SOMEBODY if config is None else config.name
    try:
        async with asyncio.timeout(timing.open_s):
            transport, _ = await ws_connect(
                lambda: socket,
                url,
                websocket_handshake_timeout=timing.open_s,
                enable_auto_pong=False,  # ExchangeSocket does it: a ping is a sign of life
                max_frame_size=MAX_MESSAGE_BYTES,
                max_redirects=0,
                logger_name=_log,
                extra_headers=headers,
                socket_factory=partial(_way_out, config, timing),
            )
    except WSHandshakeError as error:
        quoted = config is not None and may_be_quoted(config.key, url)
        raise _turned_away(name, error, quoted) from error
    except ProxyFailed as error:
        raise ConnectFailed(str(error)) from error
    except TimeoutError as error:
        raise ConnectFailed(f"no answer within {timing.open_s:g} s") from error
    except (OSError, ValueError, WSError) as error:
        raise ConnectFailed(str(error) or type(error).__name__) from error
    finally:
        if not socket.is_open:
            socket.abort()  # should the handshake still be under way, it ends with that
    if not socket.is_open:
        raise ConnectFailed(socket.ended or "connection closed during the handshake")
    if "Sec-WebSocket-Extensions" in transport.response.headers:
        socket.abort()
        raise ConnectFailed("the exchange wants a WebSocket extension we did not offer")
    return socket


async def _way_out(config: ExchangeConfig | None, timing: Timing, to: WSParsedURL) -> sockets.socket:
    """A tunnel where there is a proxy, else a connection to an address that may be reached."""
    proxy = proxy_for(to.url, config.proxy, config.no_proxy) if config else ""
    if not proxy:
        return await connected(to.host, to.port, settings.EXCHANGE_TARGETS)
    if problem := host_problem(to.host, settings.EXCHANGE_TARGETS):
        raise ConnectFailed(problem)
    return await tunnel(proxy, to.host, to.port, timing.open_s * 0.9)  # so that the proxy is named, not we


def _turned_away(name: str, error: WSHandshakeError, quoted: bool) -> ConnectFailed:
    """Why there is no socket; in the server's own words where it may be quoted."""
    if not error.raw_header:
        return ConnectFailed(str(error))
    try:
        status, headers, body = read_answer(error.raw_header + b"\r\n\r\n" + (error.raw_body or b""))
    except ValueError as unreadable:
        return ConnectFailed(str(unreadable) if quoted else "not an HTTP answer")
    if status == HTTPStatus.SWITCHING_PROTOCOLS:  # taken, but not as the protocol has it
        return ConnectFailed(str(error))
    words = refusal(name, status, body if quoted else b"")
    return ConnectFailed(words, retry_after(status, headers.get("Retry-After")))


async def _token(url: str, config: ExchangeConfig, timing: Timing) -> _Token:
    request = Request("token request", "POST", url, MAX_TOKEN_REPLY_BYTES)
    body, wait_s = await ask(request, config, timing)
    try:
        token = msgspec.json.decode(body, type=_TokenReply).data
    except (msgspec.MsgspecError, ValueError) as error:  # an error with status 200, a page, nonsense
        words = said(body) if may_be_quoted(config.key, url) else ""
        reason = f"{config.name} gives none: {words}" if words else f"{config.name} answers nothing"
        raise ConnectFailed(f"token request: {reason}", wait_s) from error
    if not token.instance_servers:
        raise ConnectFailed("token request: the reply names no server")
    return token
