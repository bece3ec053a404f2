"""Database connections of requests: held while the database is asked, not while anything else is waited for.

A web process has few of them (arbsite.asgi). Django gives a request's connection back when the request is
over, and that is when its client has read the last byte.
"""

from asgiref.sync import sync_to_async
from django.db import connections


async def release_connections() -> None:
    """Give the connections of this request back to the pool; the next question takes another one."""
    await sync_to_async(release)()


def release() -> None:
    """As `release_connections`, for code that runs in the request's thread."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
