"""The HTTP API of the lake."""

import asyncio
from importlib import import_module

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from realtime.guard import View


def of_the_lake(name: str) -> View:
    """A view of `history.api`, loaded with the first request and in a thread.

    With it come the lake's libraries, 70 MB and half a second, which a process that serves only
    charts does not need and its sockets must not wait for.
    """

    async def view(request: HttpRequest) -> HttpResponseBase:
        api = await asyncio.to_thread(import_module, "history.api")
        found: View = getattr(api, name)
        return await found(request)

    return view


urlpatterns = [
    path("api/dashboard_data", of_the_lake("dashboard_data"), name="api-dashboard-data"),
    path("api/history/trades", of_the_lake("trades"), name="api-history-trades"),
    path("api/history/states", of_the_lake("states"), name="api-history-states"),
    path("api/history/opportunities", of_the_lake("opportunities"), name="api-history-opportunities"),
]
