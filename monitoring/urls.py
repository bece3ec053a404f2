"""Pages, APIs and probes of the monitoring room."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
