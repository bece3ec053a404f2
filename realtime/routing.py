"""Which WebSocket lives where."""

from django.urls import path

from realtime.consumers import RealtimeCharts
from realtime.scan_consumer import Scanner

websocket_urlpatterns = [
    path("ws/realtime_charts", RealtimeCharts.as_asgi()),
    path("ws/scanner", Scanner.as_asgi()),
]
