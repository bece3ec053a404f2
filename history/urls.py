"""The HTTP API of the lake."""

from django.urls import path

from core.web import places  # noqa: F401 - reports itself, also before the lake's views are loaded
from core.web.lazily import of_the_lake

urlpatterns = [
    path("api/history/trades", of_the_lake("trades"), name="api-history-trades"),
    path("api/history/states", of_the_lake("states"), name="api-history-states"),
    path("api/history/opportunities", of_the_lake("opportunities"), name="api-history-opportunities"),
    path("api/history/funding", of_the_lake("funding"), name="api-history-funding"),
    path("api/history/funding_spread", of_the_lake("spread_of_funding"), name="api-history-funding-spread"),
    path("api/history/marks", of_the_lake("marks"), name="api-history-marks"),
    path("api/history/settlements", of_the_lake("settlements"), name="api-history-settlements"),
]
