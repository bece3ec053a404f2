"""Daphne sends close codes without the reason, and refuses codes below 3000; ours carry both.

`daphne` looks its protocol class up on the factory, so importing this module (arbsite.asgi does)
is all that is needed, whoever starts it.
"""

from typing import Any

from autobahn.util import encode_truncate
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

MAX_REASON_BYTES = 123  # RFC 6455 section 5.5.1: a control frame holds 125 bytes, 2 are the code


class ReasonedProtocol(WebSocketProtocol):  # type: ignore[misc]
    """Daphne's WebSocket protocol whose close frames say why."""

    def handle_reply(self, message: dict[str, Any]) -> None:
        """As Daphne's, but an ASGI `websocket.close` keeps its `reason`."""
        if message["type"] == "websocket.close" and self.state == self.STATE_OPEN:
            reason = encode_truncate(message.get("reason") or "", MAX_REASON_BYTES)
            self.sendCloseFrame(code=message.get("code") or 1000, reasonUtf8=reason)
        else:
            super().handle_reply(message)


WebSocketFactory.protocol = ReasonedProtocol
