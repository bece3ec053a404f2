"""A client that reads slowly holds no database connection."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from core.connections import release_connections


@sync_and_async_middleware
def release_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Give the request's connections back once its answer is made, before any of it is sent.

    Goes outside everything that asks the database. Only a server that sends (ASGI) needs it.
    """
    if not iscoroutinefunction(get_response):
        return get_response

    async def released(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await get_response(request)
        await release_connections()
        return response

    return released
