"""Pages, APIs and probes of the monitoring room."""

from django.urls import path

from monitoring.health import probes
from monitoring.metrics import page as metrics_page
from monitoring.pages import api
from monitoring.pages import views as page_views

urlpatterns = [
    path("metrics", metrics_page.metrics, name="metrics"),
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("health", api.api_health, name="health-in-short"),
    path("health/", page_views.health_page, name="health"),
    path("api/health", api.api_health, name="api-health"),
    path("api/health/page", page_views.health_in_full, name="api-health-page"),
    path("api/health/worst", page_views.worst_finding, name="api-health-worst"),
    path("api/health/hour", page_views.last_hour, name="api-health-hour"),
    path("api/health/graph", page_views.graph, name="api-health-graph"),
]
