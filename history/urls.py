"""The HTTP API of the lake, and the pages of the opportunities."""

import asyncio
from importlib import import_module

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path

from history import opportunity_lists, opportunity_pages
from realtime.guard import View


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


def _judging(name: str) -> View:
    return of_the_lake(name, "history.opportunity_api")


urlpatterns = [
    path("api/dashboard_data", of_the_lake("dashboard_data"), name="api-dashboard-data"),
    path("api/history/trades", of_the_lake("trades"), name="api-history-trades"),
    path("api/history/states", of_the_lake("states"), name="api-history-states"),
    path("api/history/opportunities", of_the_lake("opportunities"), name="api-history-opportunities"),
    path("opportunities", opportunity_pages.Opportunities.as_view(), name="opportunities"),
    path("opportunities/statistics", opportunity_pages.Statistics.as_view(), name="opportunity-statistics"),
    path("opportunities/<uuid:id>", opportunity_pages.episode_page, name="opportunity"),
    path("api/opportunities", opportunity_lists.listed, name="api-opportunities"),
    path(
        "api/opportunities/distributions",
        opportunity_lists.distributed,
        name="api-opportunity-distributions",
    ),
    path("api/opportunities/statistics", _judging("statistics"), name="api-opportunity-statistics"),
    path("api/opportunities/ranking", _judging("ranking"), name="api-opportunity-ranking"),
    path("api/opportunities/ticks", _judging("ticks"), name="api-opportunity-ticks"),
]
