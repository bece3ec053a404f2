"""Pages and APIs of the opportunities."""

from django.urls import path

from core.web.lazily import of_the_lake
from core.web.refused import View
from opportunities import lists as opportunity_lists
from opportunities import pages as opportunity_pages


def _judging(name: str) -> View:
    return of_the_lake(name, "opportunities.api")


urlpatterns = [
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
