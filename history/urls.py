"""The HTTP API of the lake."""

from django.urls import path

from history import api

urlpatterns = [
    path("api/dashboard_data", api.dashboard_data, name="api-dashboard-data"),
    path("api/history/trades", api.trades, name="api-history-trades"),
    path("api/history/states", api.states, name="api-history-states"),
    path("api/history/opportunities", api.opportunities, name="api-history-opportunities"),
]
