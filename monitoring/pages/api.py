"""The health of the desk over HTTP. Everybody gets one word and the time; signed-in users, the rest."""

from datetime import UTC, datetime
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from msgspec import to_builtins

from core.health.findings import Finding
from core.process.heartbeat import Heartbeat, is_missing
from core.web.reports import web_report
from monitoring.health.assess import status
from monitoring.health.assess_market import standing
from monitoring.health.observe import findings_of, observe
from monitoring.health.observed import Answer, Observed
from monitoring.pages.veil import asked_by, may_see_processes, veiled
from monitoring.quality.wire import ExchangeQuality

OF_PROCESSES: Final = ("collectors", "processes", "web")


async def api_health(request: HttpRequest) -> HttpResponse:
    """`GET /api/health` and `GET /health`: 200, or 503 while the desk is down."""
    if request.method not in {"GET", "HEAD"}:
        words = f"{request.method} is not possible here; this takes GET, HEAD"
        return JsonResponse({"error": words}, status=405, headers={"Allow": "GET, HEAD"})
    user, now = await asked_by(request, await observe())
    findings = findings_of(now)
    word = status(now, findings)
    about = {"status": word, "version": settings.VERSION, "time": datetime.now(UTC).isoformat()}
    if user.is_authenticated:
        about = await _detail_for(user, now, findings) | about
    response = JsonResponse(about, status=503 if word == "down" else 200)
    response["Cache-Control"] = "no-store"
    return response


async def _detail_for(user: Any, now: Observed, findings: list[Finding]) -> dict[str, Any]:
    if await may_see_processes(user):
        return _detail(now, findings)
    detail = _detail(now, veiled(now, findings))
    return {name: said for name, said in detail.items() if name not in OF_PROCESSES}


def _detail(now: Observed, findings: list[Finding]) -> dict[str, Any]:
    return {
        "database": _word(now.database),
        "redis": _word(now.redis),
        "saved_revision": now.saved_revision,
        "collectors": [to_builtins(status) for status in now.collectors],
        "web": web_report(),
        "findings": [to_builtins(finding) | {"key": finding.key} for finding in findings],
        "processes": [_process(beat, now.at_us) for beat in now.heartbeats],
        "exchanges": [_exchange(each, now.at_us) for each in now.quality.exchanges],
        "missing": list(now.missing),
    }


def _word(answer: Answer) -> str:
    return "ok" if answer.well else answer.words


def _process(beat: Heartbeat, at_us: int) -> dict[str, Any]:
    state = "missing" if is_missing(beat, at_us) else "running"
    said: dict[str, Any] = to_builtins(beat)
    return said | {"state": state}


def _exchange(of: ExchangeQuality, at_us: int) -> dict[str, Any]:
    said: dict[str, Any] = to_builtins(of)
    del said["latencies"]
    said["standing"] = standing(of, at_us).word
    return said
