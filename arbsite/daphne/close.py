"""Closing of WebSockets by Daphne: with the reason, and with code 1012 when the server restarts.

Daphne sends close codes without their reason and refuses codes below 3000. And when it shuts down
within a second of any request, it fails over that request's record before it has notified a single
socket (`Server.kill_all_applications`, Daphne 4.2).

Importing arbsite.daphne.sockets, whose protocol builds on this one, is all that is needed, however
Daphne is started.
"""

import asyncio
from typing import Any, Final

from autobahn.util import encode_truncate
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor

LEAVE_AFTER_S: Final = 2.0  # a request that waits for PostgreSQL does not hold the server that is to stop
MAX_REASON_BYTES: Final = 123  # RFC 6455 section 5.5.1: a control frame holds 125 bytes, 2 are the code


class ReasonedProtocol(WebSocketProtocol):  # type: ignore[misc]
    """Daphne's WebSocket protocol whose close frames say why."""

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Handle a reply as Daphne does, but an ASGI `websocket.close` keeps its `reason`."""
        if message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            reason = encode_truncate(message.get("reason") or "", MAX_REASON_BYTES)
            self.sendCloseFrame(code=message.get("code") or 1000, reasonUtf8=reason)
        else:
            super().handle_reply(message)


kill_all_applications = Server.kill_all_applications


def kill_every_application(server: Any) -> Any:
    """Kill as Daphne does, but requests already answered, or hanging, do not stand in its way."""
    answered = asyncio.get_event_loop().create_future()
    answered.set_result(None)
    for details in server.connections.values():
        details.setdefault("application_instance", answered)
    ended = kill_all_applications(server)
    return ended.addTimeout(LEAVE_AFTER_S, reactor, onTimeoutCancel=lambda _result, _s: None)


Server.kill_all_applications = kill_every_application
