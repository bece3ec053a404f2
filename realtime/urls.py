"""Pages and APIs of the realtime room."""

from django.urls import path

from realtime.views import Dashboard

urlpatterns = [
    path("", Dashboard.as_view(), name="dashboard"),
    path("index.html", Dashboard.as_view()),
]
