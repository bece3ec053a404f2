"""The health page, and what it asks over HTTP: itself while there is no socket, an hour, graphs."""

import json
from typing import Final

import msgspec
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe
from msgspec import Struct

from accounts.access.guard import api, exchange_of, symbol_of
from core.redis_client import async_redis
from core.web.asking import asked
from core.web.refused import Refused
from markets.selectors import exchange_names, load_config
from monitoring.health.assess import status
from monitoring.health.observe import findings_of, observe
from monitoring.pages.feed import message, process_feed
from monitoring.pages.graphs import MEASURES, Graph, Range, process_shelf
from monitoring.pages.sections import worst
from monitoring.pages.symbols import Show
from monitoring.pages.veil import asked_by, may_see_processes, veiled
from monitoring.quality.store import read_last_hour

WORDS: Final = {"ok": _("ok"), "degraded": _("degraded"), "down": _("down")}


@require_safe
async def health_page(request: HttpRequest) -> HttpResponse:
    """`GET /health/`: everything for signed-in users; for others only the word and the time."""
    user, now = await asked_by(request, await observe())
    request.user = user
    if user.is_authenticated:
        names = await sync_to_async(exchange_names)()
        about = {"names": names, "exchange_names": json.dumps(names)}
        response = await sync_to_async(render)(request, "health/health.html", about)
    else:
        word = status(now, findings_of(now))
        said = {"status": word, "word": WORDS[word], "time": timezone.now()}
        response = render(request, "health/public.html", said)
    response["Cache-Control"] = "no-store"
    return response


@api(*Show.__struct_fields__)
async def health_in_full(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/health/page?search=…`: one message as the socket sends it, whole."""
    show = asked(request.GET.dict(), Show, "docs/health.md")
    feed = process_feed()
    await feed.refresh()
    processes = await may_see_processes(await request.auser())
    return _json(message(feed.parts(show, processes=processes), feed.time_s))


@api()
async def worst_finding(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/health/worst`: the desk in one line. 200 whatever it says: the page asks, no orchestrator."""
    sees_all = await may_see_processes(await request.auser())
    now = await observe()
    findings = findings_of(now) if sees_all else veiled(now, findings_of(now))
    return JsonResponse(worst(now, findings))


class Instrument(Struct, frozen=True):
    """One symbol on one exchange."""

    exchange: str
    symbol: str


@api(*Instrument.__struct_fields__)
async def last_hour(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/health/hour?exchange=&symbol=`: what it did, minute by minute."""
    wanted = asked(request.GET.dict(), Instrument, "docs/health.md")
    config = await sync_to_async(load_config)()
    exchange = wanted.exchange
    if config.exchanges:  # before there is a catalogue, no name is known
        exchange = exchange_of(((row.key, row.name) for row in config.exchanges), exchange, "exchange")
    symbol = symbol_of({row.symbol for row in config.instruments}, wanted.symbol)
    async with async_redis() as redis:
        # What is collected no more has its hour until that is over.
        minutes = await read_last_hour(redis, exchange, symbol or wanted.symbol)
    if symbol is None and config.exchanges and not minutes:
        raise Refused(404, f"symbol: {wanted.symbol!r} is not collected; /health/ lists what is")
    return _json(msgspec.json.encode({"minutes": minutes}))


class AskedGraph(Struct, frozen=True):
    """One of the graphs, over one of the ranges."""

    graph: Graph
    range: Range = "1h"


@api(*AskedGraph.__struct_fields__)
async def graph(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/health/graph?graph=memory&range=1h`: lines through the same times."""
    wanted = asked(request.GET.dict(), AskedGraph, "docs/health.md")
    is_by_process = MEASURES[wanted.graph][0] in ("process", "queue")
    if is_by_process and not await may_see_processes(await request.auser()):
        raise Refused(403, "graph: lines by process are for those who may see processes")
    return _json(await process_shelf().graph(wanted.graph, wanted.range))


def _json(text: bytes) -> HttpResponse:
    return HttpResponse(text, content_type="application/json")
