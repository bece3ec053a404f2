"""Author of what happens: the request, wherever its answer is worked on; else the program."""

import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware
from django.utils.module_loading import import_string

from audit.redaction import text

_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)

MOST_AGENT: Final = 160
"""Characters of a user agent: browser, system and versions."""


def acting() -> HttpRequest | None:
    """The request that is being answered, if any."""
    return _request.get()


@contextmanager
def acting_for(request: HttpRequest) -> Iterator[None]:
    """Attribute what is done inside to a request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


@sync_and_async_middleware
def audit_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Name the user and the origin of a request in what is recorded while it is answered."""
    if iscoroutinefunction(get_response):

        async def answered(request: HttpRequest) -> HttpResponseBase:
            _request.set(request)  # ends with the request's task
            response: HttpResponseBase = await get_response(request)
            return response

        return answered

    def answered_sync(request: HttpRequest) -> HttpResponseBase:
        with acting_for(request):
            response: HttpResponseBase = get_response(request)
        return response

    return answered_sync


def whence(request: HttpRequest | None) -> tuple[str, str]:
    """Address and user agent of a request; the address as the sign-in sees it, behind a trusted proxy."""
    if request is None:
        return "", ""
    address = import_string(settings.AUDIT_CLIENT_ADDRESS)(request)
    agent = "".join(each for each in request.headers.get("User-Agent", "") if each.isprintable())
    return address or "", text(agent, MOST_AGENT)


def program() -> str:
    """Name of the running program, and of its user: `manage.py seed (alice)`."""
    name = Path(sys.argv[0]).name or "python"
    if name in ("manage.py", "django-admin", "__main__.py", "celery") and len(sys.argv) > 1:
        name = f"{name} {next((each for each in sys.argv[1:] if not each.startswith('-')), '')}".strip()
    return f"{name} ({_system_user()})"[:100]


def _system_user() -> str:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError):
        return str(os.geteuid())
