"""`GET /metrics` of the web process, for METRICS_TOKEN and those who may read the metrics."""

import hmac
from typing import Final

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

METRICS_ARE_FOR: Final = (
    "the metrics are for METRICS_TOKEN as a bearer token, and for users with the permission to read them\n"
)


@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """This web process's metrics; 403 for everybody else."""
    if not await _may_ask(request):
        return HttpResponse(METRICS_ARE_FOR, status=403)
    from monitoring.metrics import exporter

    answer = await sync_to_async(exporter.exposition, thread_sensitive=False)()
    return HttpResponse(answer, content_type=exporter.CONTENT_TYPE, headers={"Cache-Control": "no-store"})


async def _may_ask(request: HttpRequest) -> bool:
    if holds_token(request):
        return True
    user = await request.auser()
    return await user.ahas_perm("realtime.read_metrics")


def holds_token(request: HttpRequest) -> bool:
    """Whether the request carries METRICS_TOKEN. (Compared in constant time.)"""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    given, wanted = token.strip().encode(), settings.METRICS_TOKEN.encode()
    return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(given, wanted)
