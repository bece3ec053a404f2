"""PostgreSQL connections of a web process that give up: a server that hangs must not hang pages.

Statements, waits for locks and idle transactions have a time that PostgreSQL itself keeps. A server that is
frozen (stopped, on a disk that hangs, behind a link that swallows all) keeps none, and notifies nobody:
the socket lives, and nothing comes. So there is a time on this side, too, a little longer. What has waited
for so long is over, its connection with it, and Django sees what it sees of every database that is gone.

And a request that was not answered once asks no more: a page asks in many places, and passes some failures
over.
"""

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

import psycopg
import psycopg_pool
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from psycopg import errors
from psycopg.abc import Params, PQGen

STATEMENT_S: Final = 6
"""No page asks for longer; PostgreSQL cancels it."""

LOCK_S: Final = 4
IDLE_S: Final = 30
"""A transaction in which nobody says anything is ended, and with it what it locks."""

ANSWER_S: Final = STATEMENT_S + 1.0
"""On this side: for what nobody cancels."""

CHECK_S: Final = 2.0
"""Whether a connection of the pool still works is answered at once or not at all."""

CONNECT_S: Final = 3
POOL_S: Final = 4.0
"""For a free connection, with all that are tried meanwhile."""

SILENT_S: Final = 5.0
HURRIED_S: Final = 1.0
"""Who comes within so long after somebody waited in vain waits for a connection no longer than this: requests
that wait for their turn (arbsite.middleware.turns) do not add up the patience of those before them."""


class Asking:
    """A request's patience with PostgreSQL."""

    def __init__(self) -> None:
        self.is_over = False
        self._silence = ""

    def silent(self, problem: object) -> None:
        """Note that it was not answered."""
        self._silence = self._silence or str(problem)

    def check(self) -> None:
        """Raises PoolTimeout, an OperationalError, when it was not answered before."""
        if self._silence and not self.is_over:
            raise psycopg_pool.PoolTimeout(f"this request was not answered before: {self._silence}")


_asking: ContextVar[Asking | None] = ContextVar("asking PostgreSQL", default=None)


@sync_and_async_middleware
def patience_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Each request is patient once. What it leaves running (a hub, a stream) begins with new patience.

    Only a server that answers many at once (ASGI) needs it.
    """
    if not iscoroutinefunction(get_response):
        return get_response

    async def answered(request: HttpRequest) -> HttpResponseBase:
        asking = Asking()
        _asking.set(asking)  # ends with the request's task
        try:
            response: HttpResponseBase = await get_response(request)
            return response
        finally:
            asking.is_over = True

    return answered


def _note_silence(problem: object) -> None:
    if (asking := _asking.get()) is not None:
        asking.silent(problem)


class PatientPool(psycopg_pool.ConnectionPool[Any]):
    """A pool that a request asks no more once it got no connection, or no answer."""

    _in_vain = -SILENT_S
    """When somebody waited in vain last, by the monotonic clock."""

    def getconn(self, timeout: float | None = None) -> Any:
        """Get a connection as psycopg does, once for a request that is not answered."""
        if (asking := _asking.get()) is not None:
            asking.check()
        if timeout is None and time.monotonic() - self._in_vain < SILENT_S:
            timeout = HURRIED_S
        try:
            connection = super().getconn(timeout)
        except psycopg.OperationalError as problem:
            self._in_vain = time.monotonic()
            _note_silence(problem)
            raise
        self._in_vain = -SILENT_S
        return connection


class PatientConnection(psycopg.Connection[Any]):
    """Waits for `ANSWER_S` and no longer."""

    _patience_s = ANSWER_S

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as psycopg does; when PostgreSQL is silent, close the connection. Raises OperationalError."""
        patience_s = self._patience_s if timeout is None else timeout
        try:
            return super().wait(gen, interval, patience_s)
        except errors._WaitTimeout as silence:
            if timeout is not None:
                raise
            self.pgconn.finish()
            words = f"PostgreSQL has not answered for {patience_s:g} s: the connection is given up"
            _note_silence(words)
            raise psycopg.OperationalError(words) from silence

    def execute(self, query: Any, params: Params | None = None, **options: Any) -> "psycopg.Cursor[Any]":
        """Execute as psycopg does; only the pool asks over the connection itself: whether it works."""
        self._patience_s = CHECK_S
        try:
            return super().execute(query, params, **options)
        finally:
            self._patience_s = ANSWER_S


TIMES: Final = (
    f"-c statement_timeout={STATEMENT_S}s -c lock_timeout={LOCK_S}s "
    f"-c idle_in_transaction_session_timeout={IDLE_S}s"
)

POOL: Final[dict[str, Any]] = {
    "min_size": 1,
    # More than requests are answered at once (see arbsite.middleware.turns): none waits for another one, and
    # probes, sockets and rights have theirs.
    "max_size": 16,
    "timeout": POOL_S,
    "connection_class": PatientConnection,
    # A pool that could not connect tries again when it is asked, not after pauses as long as the outage.
    "reconnect_timeout": POOL_S,
}


def be_patient(database: dict[str, Any], instead_of: str) -> None:
    """Make a process connect so, by Django's settings of its database, whose usual times are `instead_of`."""
    psycopg_pool.ConnectionPool = PatientPool  # type: ignore[misc]  # where Django looks for it
    options = database["OPTIONS"]
    options["pool"] = POOL
    options["connect_timeout"] = CONNECT_S
    options["options"] = options["options"].replace(instead_of, TIMES)
    database["CONN_HEALTH_CHECKS"] = True
