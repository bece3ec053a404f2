"""The pages: the spread dashboard, and what is shown when a request fails."""

import json
from typing import Any

from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.generic import TemplateView

from markets.models import Exchange, OpportunityFilter, Symbol


class Dashboard(LoginRequiredMixin, TemplateView):
    """The grid of spread charts; its content comes over the WebSocket."""

    template_name = "dashboard.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """`exchange_names`: what people call an exchange, by its key, as JSON."""
        names = dict(Exchange.objects.values_list("key", "name"))
        return super().get_context_data(exchange_names=json.dumps(names), **kwargs)


class Scanner(LoginRequiredMixin, TemplateView):
    """The table of all pairs; its rows come over the WebSocket."""

    template_name = "scanner.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the filter bar offers: exchanges, quote currencies, opportunity filters."""
        return super().get_context_data(
            exchanges=Exchange.objects.filter(enabled=True).order_by("name"),
            exchange_names=json.dumps(dict(Exchange.objects.values_list("key", "name"))),
            quotes=Symbol.objects.filter(enabled=True)
            .values_list("quote", flat=True)
            .distinct()
            .order_by("quote"),
            filters=OpportunityFilter.objects.filter(enabled=True).order_by("id"),
            **kwargs,
        )


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's own renders without a context, and would leave out the SIMULATED banner."""
    return render(request, "500.html", status=500)
