"""Database connections of requests: held while the database is asked, not while anything else is waited for.

A web process has few of them (arbsite.asgi). Django gives a request's connection back when the request is
over, and that is when its client has read the last byte.

And connections of one's own, for locks and leases, which live as long as they do.
"""

from typing import Any, Final

import psycopg
from asgiref.sync import sync_to_async
from django.db import connection, connections

_PARAMETERS: Final = ("dbname", "user", "password", "host", "port")


async def release_connections() -> None:
    """Give the connections of this request back to the pool; the next question takes another one."""
    await sync_to_async(release)()


def release() -> None:
    """Variant of `release_connections` for code that runs in the request's thread."""
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close_if_unusable_or_obsolete()


def own_connection(name: str, answer_s: int) -> "psycopg.Connection[Any]":
    """A connection to Django's database beside Django's own, each statement for itself.

    It gives up connecting, waiting for a lock, and statements after `answer_s`. Raises psycopg.Error.
    """
    known = connection.get_connection_params()
    return psycopg.connect(
        **{each: known[each] for each in _PARAMETERS if each in known},
        autocommit=True,
        connect_timeout=answer_s,
        application_name=name,
        options=f"-c statement_timeout={answer_s}s -c lock_timeout={answer_s}s",
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=2,
    )
