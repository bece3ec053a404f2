"""ccxt's requests go to addresses that may be reached only (core.targets), and follow no redirect."""

import socket
from typing import Any

from django.conf import settings
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from core.targets import connect

CONNECT_S = 10.0


class _Http(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


class _Https(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self)


def _connected(to: HTTPConnection) -> socket.socket:
    within_s = to.timeout if isinstance(to.timeout, int | float) else CONNECT_S
    host, port = to._dns_host.strip("[]"), to.port or to.default_port
    try:
        found = connect(host, port, within_s, settings.EXCHANGE_TARGETS)
    except OSError as error:
        raise NewConnectionError(to, f"no connection: {error}") from error
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class CheckedAdapter(HTTPAdapter):
    """Opens connections as core.targets has it; what goes through a proxy is the proxy's to open."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Set up like requests does, with connections of ours."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


def guard(session: Any) -> None:
    """Have a session of requests keep to it."""
    session.max_redirects = 0
    for scheme in ("http://", "https://"):
        session.mount(scheme, CheckedAdapter())
