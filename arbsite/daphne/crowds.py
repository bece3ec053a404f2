"""A thousand browsers that come back at once, after a restart for example, are let in.

Twisted lets 50 connections wait to be accepted; the kernel drops the others, whose next tries come
seconds later. And Daphne gives up handshakes after 5 s, of which most are spent waiting for a turn.

Importing this module (arbsite.asgi does) is all that is needed, however Daphne is started.
"""

from typing import Any, Final

from daphne.server import Server

BACKLOG: Final = 1024
HANDSHAKE_S: Final = 20

run = Server.run


def run_for_crowds(server: Any) -> None:
    """Run as Daphne does, with room for everybody who waits."""
    server.endpoints = [with_backlog(endpoint) for endpoint in server.endpoints]
    server.websocket_handshake_timeout = max(server.websocket_handshake_timeout, HANDSHAKE_S)
    server.websocket_connect_timeout = max(server.websocket_connect_timeout, HANDSHAKE_S)
    run(server)


def with_backlog(endpoint: str) -> str:
    """A Twisted endpoint description, with our backlog where it listens on TCP and names none."""
    if endpoint.startswith(("tcp:", "tcp6:", "ssl:")) and ":backlog=" not in endpoint:
        return f"{endpoint}:backlog={BACKLOG}"
    return endpoint


Server.run = run_for_crowds
