"""Pages and APIs of the realtime room."""

from django.urls import path

from core.web.lazily import of_the_lake
from realtime.charts import api, pair
from realtime.depth import api as depth_api
from realtime.funding import api as funding_api
from realtime.scanner import api as scan_api
from realtime.scanner import explain_views
from realtime.views import Dashboard, Funding, Scanner

urlpatterns = [
    path("", Dashboard.as_view(), name="dashboard"),
    path("index.html", Dashboard.as_view()),
    path("scanner", Scanner.as_view(), name="scanner"),
    path("funding", Funding.as_view(), name="funding"),
    path("depth", depth_api.depth_page, name="depth"),
    path("api/depth", depth_api.depth_api, name="api-depth"),
    path("api/depth/follow", depth_api.follow_api, name="api-depth-follow"),
    path("api/funding", funding_api.funding, name="api-funding"),
    path("api/funding/net", funding_api.funding_net, name="api-funding-net"),
    path("api/funding.csv", funding_api.funding_csv, name="api-funding-csv"),
    path("api/scanner.csv", scan_api.scanner_csv, name="api-scanner-csv"),
    path("api/scanner/views", scan_api.saved_views, name="api-scanner-views"),
    path("api/pins", scan_api.pinned, name="api-pins"),
    path("opportunities/explain", explain_views.explain_page, name="opportunity-explain"),
    path("api/opportunities/explain", explain_views.explain_api, name="api-opportunity-explain"),
    path("api/charts", api.charts, name="api-charts"),
    path("api/charts/pair", pair.pair, name="api-charts-pair"),
    path(
        "api/dashboard_data",
        of_the_lake("dashboard_data", "realtime.charts.stored"),
        name="api-dashboard-data",
    ),
    path("api/rolling_window_data", api.rolling_window_data, name="api-rolling-window-data"),
]
