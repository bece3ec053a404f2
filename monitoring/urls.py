"""Pages, APIs and probes of the monitoring room."""

from django.urls import path

from monitoring import api, probes

urlpatterns = [
    path("healthz", probes.healthz, name="healthz"),
    path("readyz", probes.readyz, name="readyz"),
    path("health", api.api_health, name="health-in-short"),
    path("api/health", api.api_health, name="api-health"),
]
