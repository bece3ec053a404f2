"""The pages: the spread dashboard, and what is shown when a request fails."""

import json
import sys
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import DisallowedHost, TooManyFieldsSent
from django.db import DatabaseError
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponsePermanentRedirect,
    JsonResponse,
)
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import is_valid_path
from django.views import csrf, defaults
from django.views.generic import TemplateView

from accounts.access.guard import OUR_FAULTS, OUTAGES, SIGN_IN, not_possible
from accounts.my_size import my_size
from markets.models import Exchange, OpportunityFilter, PairKind, Symbol
from markets.selectors import compared_legs, exchange_names

AGAIN_AFTER_S: Final = 5


class Dashboard(LoginRequiredMixin, TemplateView):
    """The grid of spread charts; its content comes over the WebSocket."""

    template_name = "dashboard/dashboard.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """`exchange_names`: what people call an exchange, by its key, as JSON; and the user's size."""
        size = my_size(self.request.user)
        return super().get_context_data(exchange_names=json.dumps(exchange_names()), my_size=size, **kwargs)


class Scanner(LoginRequiredMixin, TemplateView):
    """The table of all pairs; its rows come over the WebSocket."""

    template_name = "scanner/scanner.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the choices of the filter bar, and the user's size."""
        return super().get_context_data(
            exchanges=compared_legs(Exchange.objects.filter(enabled=True).order_by("name")),
            exchange_names=json.dumps(exchange_names()),
            kinds=PairKind.choices,
            quotes=Symbol.objects.filter(enabled=True)
            .values_list("quote", flat=True)
            .distinct()
            .order_by("quote"),
            filters=OpportunityFilter.objects.filter(enabled=True).order_by("id"),
            my_size=my_size(self.request.user),
            **kwargs,
        )


class Funding(LoginRequiredMixin, TemplateView):
    """The matrix of swaps' funding; its rows come from `/api/funding`."""

    template_name = "funding/funding.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the exchanges: columns of the matrix, and choices of the filter bar."""
        return super().get_context_data(
            exchanges=Exchange.objects.filter(enabled=True).order_by("name"),
            exchange_names=json.dumps(exchange_names()),
            **kwargs,
        )


# --- when a request fails: programs read JSON, people a page --------------------------------------


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer what failed here. (Django's own renders without a context: no SIMULATED banner.)"""
    problem = sys.exc_info()[1]
    if isinstance(problem, OUTAGES) and not isinstance(problem, OUR_FAULTS):
        return _not_reachable(request, problem)
    if _of_the_api(request):
        return JsonResponse({"error": "this failed on the server; its log says why"}, status=500)
    return render(request, "500.html", status=500)


def _not_reachable(request: HttpRequest, problem: BaseException) -> HttpResponse:
    """Answer that a server the desk needs does not answer, without asking it who is signed in."""
    after = {"Retry-After": str(AGAIN_AFTER_S)}
    if _of_the_api(request):
        words = f"{type(problem).__name__}: a server is not reachable; see /api/health"
        return JsonResponse({"error": words}, status=503, headers=after)
    context = {"simulated": settings.FEED == "sim", "url_prefix": settings.URL_PREFIX}
    return HttpResponse(render_to_string("503.html", context), status=503, headers=after)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer an address that does not exist."""
    if _of_the_api(request):
        return JsonResponse(
            {"error": f"there is no {request.path}; docs/api.md lists what there is"}, status=404
        )
    if _is_a_page_with_a_slash_too_many(request):
        query = request.META.get("QUERY_STRING", "")
        return HttpResponsePermanentRedirect(request.path.rstrip("/") + (f"?{query}" if query else ""))
    return defaults.page_not_found(request, exception)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer a request that Django refused to read."""
    if _of_the_api(request):
        return JsonResponse({"error": f"the request cannot be read: {_words(exception)}"}, status=400)
    if isinstance(exception, DisallowedHost):  # it has no address that a page could link to
        return defaults.bad_request(request, exception)
    return render(request, "400.html", {"words": _words(exception)}, status=400)


def _words(exception: Exception) -> str:
    if isinstance(exception, TooManyFieldsSent):
        limit = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        return f"it has more than {limit:,} fields: choose fewer rows"
    return str(exception)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Answer a change that did not come from our own pages."""
    if _of_the_api(request):
        if (refused := _refused_before(request)) is not None:
            return refused
        words = f"{reason} Send the cookie's value as X-CSRFToken, or an API token instead of cookies."
        return JsonResponse({"error": words.strip()}, status=403)
    return csrf.csrf_failure(request, reason)


def _refused_before(request: HttpRequest) -> JsonResponse | None:
    """Refusal that an API gives before it checks a request's origin, as `accounts.access.guard.api` does."""
    match = request.resolver_match
    methods = getattr(match.func, "methods", ()) if match else ()
    if methods and request.method not in methods:
        return not_possible(request.method, methods)
    try:
        known = request.user.is_authenticated
    except DatabaseError:
        return JsonResponse({"error": "PostgreSQL does not answer; see /api/health"}, status=503)
    return None if known else JsonResponse({"error": SIGN_IN}, status=401)


def _is_a_page_with_a_slash_too_many(request: HttpRequest) -> bool:
    """Whether it leads to a page without; the admin puts one behind everything, what is no page included."""
    path = request.path_info
    asks = request.method in ("GET", "HEAD") and not path.startswith("/admin/")
    return asks and path.endswith("/") and bool(is_valid_path(path.rstrip("/")))


def _of_the_api(request: HttpRequest) -> bool:
    return request.path_info == "/api" or request.path_info.startswith("/api/")
