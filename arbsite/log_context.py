"""Origin of a log line: the id of a request, the id of a Celery task."""

import re
import uuid
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
TASK_ID: ContextVar[str] = ContextVar("task_id", default="")

HEADER: Final = "X-Request-ID"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a proxy may send; anything else could forge lines, and is replaced."""


def request_id_of(given: str) -> str:
    """The id a proxy gave, or a new one."""
    return given if _PLAIN.fullmatch(given) else uuid.uuid4().hex


@sync_and_async_middleware
def request_id_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Every line logged for a request carries its `X-Request-ID`, which the answer has, too. Goes first."""
    if iscoroutinefunction(get_response):

        async def identified(request: HttpRequest) -> HttpResponseBase:
            REQUEST_ID.set(request_id_of(request.headers.get(HEADER, "")))
            response: HttpResponseBase = await get_response(request)
            response[HEADER] = REQUEST_ID.get()
            return response

        return identified

    def identified_sync(request: HttpRequest) -> HttpResponseBase:
        token = REQUEST_ID.set(request_id_of(request.headers.get(HEADER, "")))
        try:
            response: HttpResponseBase = get_response(request)
            response[HEADER] = REQUEST_ID.get()
        finally:
            REQUEST_ID.reset(token)  # a thread serves many requests; an asynchronous one ends with its task
        return response

    return identified_sync
