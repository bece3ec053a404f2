"""Pages and APIs of the realtime room."""

from django.urls import path

from realtime import api
from realtime.views import Dashboard

urlpatterns = [
    path("", Dashboard.as_view(), name="dashboard"),
    path("index.html", Dashboard.as_view()),
    path("api/charts", api.charts, name="api-charts"),
    path("api/rolling_window_data", api.rolling_window_data, name="api-rolling-window-data"),
    path("api/health", api.api_health, name="api-health"),
]
