"""Which WebSocket lives where."""

from django.urls import path

from realtime.consumers import RealtimeCharts

websocket_urlpatterns = [
    path("ws/realtime_charts", RealtimeCharts.as_asgi()),
]
