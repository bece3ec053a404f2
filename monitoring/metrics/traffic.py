"""Requests to a web process: HTTP requests by route and status, WebSocket handshakes by outcome."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from core.process.histogram import Durations

DOORS: Final = (
    "too_many_of_all", "too_many_of_address", "idle", "slow_head", "slow_body", "large_body", "busy",
    "odd_head", "many_frames",
)  # fmt: skip
"""Why a connection or a request is refused before anybody is asked (arbsite.daphne.doors)."""

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE: Final = "none"


class Traffic:
    """Counts since the start. Labels are routes, not addresses: nobody can make up new ones from outside."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()  # method, route, status
        self.durations: dict[str, Durations] = {}  # by route
        self.handshakes: Counter[str] = Counter()  # accepted, refused
        self.doors: Counter[str] = Counter()  # refused before they were requests, by `DOORS`

    def answered(self, request: HttpRequest, status: int, seconds: float) -> None:
        """A request was answered; streaming goes on after that."""
        route = _route(request)
        method = request.method if request.method in METHODS else "other"
        self.requests[str(method), route, status] += 1
        self.durations.setdefault(route, Durations()).add(seconds)


traffic: Final = Traffic()


def _route(request: HttpRequest) -> str:
    match = request.resolver_match
    return NO_ROUTE if match is None else f"/{match.route}"


@sync_and_async_middleware
def traffic_middleware(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Counts requests and how long their answers took to begin."""
    if iscoroutinefunction(get_response):

        async def counted(request: HttpRequest) -> HttpResponseBase:
            began = time.perf_counter()
            response: HttpResponseBase = await get_response(request)
            traffic.answered(request, response.status_code, time.perf_counter() - began)
            return response

        return counted

    def counted_sync(request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response: HttpResponseBase = get_response(request)
        traffic.answered(request, response.status_code, time.perf_counter() - began)
        return response

    return counted_sync
