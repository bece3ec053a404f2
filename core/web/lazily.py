"""Views whose libraries are loaded with their first request."""

import asyncio
from importlib import import_module

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from core.web.refused import View


def of_the_lake(name: str, module: str = "history.api") -> View:
    """A view of a module that reads the lake, loaded with the first request and in a thread.

    With it come the lake's libraries, 70 MB and half a second, which a process that serves only
    charts does not need and its sockets must not wait for.
    """

    async def view(request: HttpRequest) -> HttpResponseBase:
        api = await asyncio.to_thread(import_module, module)
        found: View = getattr(api, name)
        return await found(request)

    return view
