"""Paths of the WebSockets."""

from django.urls import path

from monitoring.pages.consumer import HealthSocket

websocket_urlpatterns = [path("ws/health", HealthSocket.as_asgi())]
