"""The pages: the spread dashboard, and what is shown when a request fails."""

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.generic import TemplateView


class Dashboard(LoginRequiredMixin, TemplateView):
    """The grid of spread charts; its content comes over the WebSocket."""

    template_name = "dashboard.html"


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's own renders without a context, and would leave out the SIMULATED banner."""
    return render(request, "500.html", status=500)
