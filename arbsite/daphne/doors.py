"""Limits of HTTP connections: their number, the time for head and body, and the size of a body.

Twisted takes every connection, waits for the end of a request's head for as long as a byte comes now and then
(its timeout begins with each), and keeps whole bodies, of whatever size, before anybody is asked; a large
one in a file in /tmp. Here a head and a body have a total time, a body a largest size that depends on its
address, and connections a number: of all, and of one address until they are WebSockets. A client that brings
too much is answered 413 in words before it is read, and the connection ends.

Importing this module (arbsite.asgi does) is all that is needed, however Daphne is started.
"""

import json
import resource
from collections import Counter
from http import HTTPStatus
from typing import Any, Final

from daphne.http_protocol import HTTPFactory, WebRequest
from daphne.ws_protocol import WebSocketProtocol
from django.conf import settings
from twisted.web import http

from accounts.sign_in.signing_in import network_of
from monitoring.metrics.traffic import traffic

HEAD_S: Final = 20.0
"""From the first byte (or the connection) to the end of a request's head."""

BODY_S: Final = 60.0
"""From the end of the head to that of the body."""

LINGER_S: Final = 3.0
LINGER_BYTES: Final = 16 * 1024 * 1024
"""Who is refused may go on for so long, and so much, and read why: a connection closed upon data that nobody
read is reset, and the answer with it."""

SMALL_BODY: Final = 64 * 1024
LARGE_BODY: Final = 2_621_440
"""What Django takes at most of a form's fields (DATA_UPLOAD_MAX_MEMORY_SIZE); bulk actions of the admin."""

LARGE_PATHS: Final = ("/admin/",)
LARGE_AT_ONCE: Final = 8
"""Large bodies that are on their way or being read, of everybody together: they lie in /tmp meanwhile."""

KEPT_FILES: Final = 100
"""File descriptors for everything that is no client."""


class Doors:
    """Open connections, counted."""

    def __init__(self) -> None:
        self.open = 0
        self.large = 0
        self._plain: Counter[str] = Counter()

    def full(self, host: str) -> str:
        """Why a connection from an address is not taken; "" when it is."""
        if self.open >= most_connections():
            return "all"
        # All of a proxy's clients come from the proxy, which has limits of its own (deploy/nginx).
        if not settings.BEHIND_PROXY and self._plain[host] >= settings.WEB_CONNECTIONS_PER_ADDRESS:
            return "address"
        return ""

    def enter(self, transport: Any, host: str) -> None:
        """A connection was taken."""
        self.open += 1
        self._plain[host] += 1
        transport.came_from = host

    def becomes_socket(self, transport: Any) -> None:
        """Note that it is a WebSocket now, which counts as its user's."""
        if (host := getattr(transport, "came_from", None)) is not None:
            transport.came_from = None
            self._forget(host)

    def leave(self, transport: Any) -> None:
        """Note that it is gone."""
        if hasattr(transport, "came_from"):
            self.becomes_socket(transport)
            del transport.came_from
            self.open -= 1

    def _forget(self, host: str) -> None:
        self._plain[host] -= 1
        if self._plain[host] <= 0:
            del self._plain[host]


doors: Final = Doors()


def most_connections() -> int:
    """The least of what the setting and the process's limit of open files allow."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(int(settings.WEB_CONNECTIONS), max(1, files - KEPT_FILES))


def largest_body(uri: bytes) -> int:
    """Number of bytes a request to an address may bring."""
    return LARGE_BODY if path_of(uri).startswith(LARGE_PATHS) else SMALL_BODY


def path_of(uri: bytes) -> str:
    """The path of a request's address, below our prefix."""
    return uri.partition(b"?")[0].decode("latin1").removeprefix(settings.URL_PREFIX)


def answer(status: HTTPStatus, words: str, uri: bytes) -> bytes:
    """A whole answer in words, after which the connection ends."""
    kind, body = "text/plain; charset=utf-8", f"{words[0].upper()}{words[1:]}.\n"
    if path_of(uri).startswith("/api/"):
        kind, body = "application/json", json.dumps({"error": words})
    after = "Retry-After: 5\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n{after}Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}"
    ).encode()


class DoorRequest(WebRequest):  # type: ignore[misc]
    """Daphne's request, whose body is refused while it comes, or before."""

    _brought = 0
    _most = SMALL_BODY
    _is_large = False

    def gotLength(self, length: int | None) -> None:
        """The head is read: is a body of this length wanted? None: it comes in chunks, and nobody knows."""
        # Daphne takes it for the path we are under (arbsite.middleware.prefix), and fails where it is none.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        upgrades = self.requestHeaders.hasHeader(b"Upgrade")  # such a request never comes to its end
        self._most = 0 if upgrades else largest_body(self.channel._path)
        super().gotLength(min(length or 0, self._most))
        if upgrades and (name := self._odd_header()):
            self.channel.refuse(HTTPStatus.BAD_REQUEST, f"the header {name} is not ASCII", "odd_head")
        elif length is not None:
            self._check(length)

    def _odd_header(self) -> str:
        """A header of a handshake that Autobahn would fail to read, as a fault of ours; "" without one."""
        for name, values in self.requestHeaders.getAllRawHeaders():
            if name.lower().startswith(b"sec-websocket-") and not all(each.isascii() for each in values):
                return str(name, "ascii", "replace")
        return ""

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body."""
        self._brought += len(data)
        if self._check(self._brought):
            super().handleContentChunk(data)

    def _check(self, size: int) -> bool:
        """Whether a body of that size may be kept; refuses it otherwise."""
        if size > self._most:
            words = f"the body is larger than {self._most:,} bytes, which is all that this address takes"
            self.channel.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, words, "large_body")
            return False
        if size > SMALL_BODY and not self._is_large:
            if doors.large >= LARGE_AT_ONCE:
                words = "too many large requests are being read: try again in a few seconds"
                self.channel.refuse(HTTPStatus.SERVICE_UNAVAILABLE, words, "busy")
                return False
            self._is_large = True
            doors.large += 1
        return True

    def put_away(self) -> None:
        """Release its body."""
        if self._is_large:
            self._is_large = False
            doors.large -= 1

    def finish(self) -> None:
        """Do as Daphne does, and release the body."""
        self.put_away()
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        """Do as Daphne does, and release the body."""
        self.put_away()
        super().connectionLost(reason)


_Channel: Any = http.HTTPChannel  # which is half typed


class DoorChannel(_Channel):  # type: ignore[misc]
    """Twisted's, with total times."""

    _until: Any = None
    _has_begun = False
    _is_refused = False
    _passed_over = 0

    def connectionMade(self) -> None:
        """Begin the time to a head."""
        super().connectionMade()
        doors.enter(self.transport, _host_of(self.transport.getPeer()))
        self._within(HEAD_S, "head")

    def dataReceived(self, data: bytes) -> None:
        """Begin the time to the next head with the first byte after an answer."""
        if self._is_refused:
            self._passed_over += len(data)
            if self._passed_over > LINGER_BYTES:
                self.transport.pauseProducing()
            return
        self._has_begun = True
        if self._until is None and not self._handlingRequest:
            self._within(HEAD_S, "head")
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        """Begin the time to the body's end."""
        self._in_time()
        if self.length != 0:
            self._within(BODY_S, "body")
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Go on as Twisted does, unless the request was refused."""
        if self._is_refused:
            return
        self._in_time()
        self._has_begun = False
        super().allContentReceived()

    def _send100Continue(self) -> None:
        """Answer as Twisted does, unless the client shall not continue."""
        if not self._is_refused:
            super()._send100Continue()

    def connectionLost(self, reason: Any) -> None:
        """Do as Twisted does, and end the times."""
        self._in_time()
        doors.leave(self.transport)
        super().connectionLost(reason)

    def refuse(self, status: HTTPStatus, words: str, why: str) -> None:
        """Answer a request that is not read to its end, and close."""
        if self._is_refused:
            return
        traffic.doors[why] += 1
        self._is_refused = True
        self._in_time()
        self.transport.write(answer(status, words, getattr(self, "_path", b"")))
        self.setTimeout(None)
        self.transport.loseWriteConnection()
        self._until = self.callLater(LINGER_S, self.transport.abortConnection)

    def _within(self, seconds: float, what: str) -> None:
        self._in_time()
        self._until = self.callLater(seconds, self._too_late, what)

    def _in_time(self) -> None:
        if self._until is not None and self._until.active():
            self._until.cancel()
        self._until = None

    def _too_late(self, what: str) -> None:
        if not self._has_begun:  # in advance, by a browser: an answer would be to its next request
            traffic.doors["idle"] += 1
            self.transport.abortConnection()
            return
        words = f"the request's {what} did not come within {HEAD_S if what == 'head' else BODY_S:g} seconds"
        self.refuse(HTTPStatus.REQUEST_TIMEOUT, words, f"slow_{what}")


def _host_of(address: Any) -> str:
    """Host of a Twisted address; "" over a Unix socket."""
    host = getattr(address, "host", "")
    return network_of(host) or host


build = HTTPFactory.buildProtocol


def build_within_limits(factory: Any, address: Any) -> Any:
    """Build as Daphne does; None, which closes the connection, when there are too many."""
    if why := doors.full(_host_of(address)):
        traffic.doors[f"too_many_of_{why}"] += 1
        return None
    protocol = build(factory, address)
    protocol.requestFactory = DoorRequest
    return protocol


made = WebSocketProtocol.connectionMade
lost = WebSocketProtocol.connectionLost


def socket_made(protocol: Any) -> None:
    """Count a new WebSocket no longer as one of its address's requests."""
    doors.becomes_socket(protocol.transport)
    made(protocol)


def socket_lost(protocol: Any, reason: Any) -> None:
    """Do as Daphne does, and release the body."""
    doors.leave(protocol.transport)
    lost(protocol, reason)


HTTPFactory.protocol = lambda _factory: http._GenericHTTPChannelProtocol(DoorChannel())
HTTPFactory.buildProtocol = build_within_limits
WebSocketProtocol.connectionMade = socket_made
WebSocketProtocol.connectionLost = socket_lost
