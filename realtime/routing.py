"""Paths of the WebSockets."""

from django.urls import path

from realtime.charts.consumer import RealtimeCharts
from realtime.depth.consumer import Depth
from realtime.scanner.consumer import Scanner

websocket_urlpatterns = [
    path("ws/realtime_charts", RealtimeCharts.as_asgi()),
    path("ws/scanner", Scanner.as_asgi()),
    path("ws/depth", Depth.as_asgi()),
]
