"""Opening a socket: where to, the token some venues want first, and what a refusal says."""

import asyncio
import logging
import time
import uuid
from contextlib import closing
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from http.client import HTTPException
from typing import Final
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, Request

import msgspec
from picows import WSError, WSInvalidStatusError, ws_connect

from collectors.exchanges.base import DataSheet
from collectors.threads import in_daemon_thread
from collectors.timing import Timing
from collectors.turns import Turns
from collectors.venue_socket import MAX_MESSAGE_BYTES, VenueSocket
from markets.config import ExchangeConfig

MAX_TOKEN_REPLY_BYTES = 64 * 1024
BUSY_STATUS = frozenset({418, 429, 503})  # 418: Binance's "you were told 429 and went on"
MAX_RETRY_AFTER_S = 3 * 86400.0  # Binance's longest ban

_log = logging.getLogger("picows")
_log.setLevel(logging.CRITICAL)  # lines say once what happens to connections; picows would say it again


class ConnectFailed(Exception):
    """No usable socket; `retry_after_s` is how long the venue asked us to stay away, None if it did not."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _Server(msgspec.Struct):
    endpoint: str


class _Token(msgspec.Struct):
    token: str
    instance_servers: list[_Server] = msgspec.field(name="instanceServers")


class _TokenReply(msgspec.Struct):
    data: _Token


def under(base: str, url: str) -> str:
    """The venue's own `url`, moved to another base: `ws://host/binance` + its path and query."""
    own = urlsplit(url)
    query = f"?{own.query}" if own.query else ""
    return base.rstrip("/") + own.path + query


async def address(sheet: DataSheet, config: ExchangeConfig, timing: Timing) -> str:
    """The URL to open now; asks for a fresh token where the venue wants one. Raises ConnectFailed."""
    if sheet.token_path is None:
        return under(config.ws_url, sheet.ws_url) if config.ws_url else sheet.ws_url
    url = (config.rest_url or sheet.rest_url).rstrip("/") + sheet.token_path
    token = await _token(url, timing)
    query = urlencode({"token": token.token, "connectId": uuid.uuid4().hex})
    return f"{token.instance_servers[0].endpoint}?{query}"


async def open_socket(url: str, timing: Timing, turns: Turns) -> VenueSocket:
    """Connect. Raises ConnectFailed with the venue's reason and its Retry-After."""
    socket = VenueSocket(turns)
    try:
        async with asyncio.timeout(timing.open_s):
            transport, _ = await ws_connect(
                lambda: socket,
                url,
                websocket_handshake_timeout=timing.open_s,
                enable_auto_pong=False,  # VenueSocket does it: a ping is a sign of life
                max_frame_size=MAX_MESSAGE_BYTES,
                logger_name=_log,
            )
    except WSInvalidStatusError as error:
        raise _turned_away(error) from error
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
        raise ConnectFailed("the venue wants a WebSocket extension we did not offer")
    return socket


def _turned_away(error: WSInvalidStatusError) -> ConnectFailed:
    if error.response is None:
        return ConnectFailed(str(error))
    status, headers = error.response.status, error.response.headers
    return ConnectFailed(f"HTTP {status:d}", retry_after(status, headers.get("Retry-After")))


def retry_after(status: int, value: str | None) -> float | None:
    """Seconds to stay away, from a Retry-After header (seconds or an HTTP date); None if not asked to."""
    if status not in BUSY_STATUS or not value:
        return None
    if value.strip().isdigit():
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


async def _token(url: str, timing: Timing) -> _Token:
    try:
        async with asyncio.timeout(timing.open_s):
            body = await in_daemon_thread(partial(_post, url, timing.open_s * 2))
    except TimeoutError as error:
        raise ConnectFailed(f"token request: no answer within {timing.open_s:g} s") from error
    except (OSError, HTTPException, ValueError) as error:
        raise ConnectFailed(f"token request: {error}") from error
    try:
        token = msgspec.json.decode(body, type=_TokenReply).data
    except msgspec.MsgspecError as error:
        raise ConnectFailed(f"token request: not a token reply ({error})") from error
    if not token.instance_servers:
        raise ConnectFailed("token request: the reply names no server")
    return token


def _post(url: str, timeout_s: float) -> bytes:
    """The body of the answer; blocks. Python's own client: another would stay in memory for a call a day."""
    request = Request(url, data=b"", method="POST")  # noqa: S310 - _HTTP opens nothing else
    with closing(_HTTP.open(request, timeout=timeout_s)) as reply:
        if reply.status != HTTPStatus.OK:
            wait_s = retry_after(reply.status, reply.headers.get("Retry-After"))
            raise ConnectFailed(f"token request: HTTP {reply.status}", wait_s)
        body: bytes = reply.read(MAX_TOKEN_REPLY_BYTES + 1)
    if len(body) > MAX_TOKEN_REPLY_BYTES:
        raise ConnectFailed(f"token request: the reply is longer than {MAX_TOKEN_REPLY_BYTES} bytes")
    return body


def _http() -> OpenerDirector:
    """HTTP and HTTPS, no proxies, no redirects; an answer of any status is an answer."""
    opener = OpenerDirector()
    opener.add_handler(HTTPHandler())
    opener.add_handler(HTTPSHandler())
    return opener


_HTTP: Final = _http()
