"""`GET /api/depth` and the page of the same: both books of a pair, and what they leave at a size."""

import json
from typing import Annotated, Any, Final

from channels.db import database_sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from msgspec import Meta, Struct, structs
from msgspec import json as msgspec_json

from accounts.access.guard import api
from accounts.my_size import my_size
from accounts.tokens.model import Scope
from core.names.market_keys import exchange_of as exchange_of_key
from core.names.market_keys import market_of
from core.web.asking import asked, body
from core.web.refused import Refused
from markets.models import Instrument
from markets.selectors import exchange_names
from markets.services import set_depth_pinned
from realtime.depth.pair import pair_depth, row_of
from realtime.depth.sized import DEFAULT_SIZE, MAX_SIZE
from realtime.pace import Pace
from realtime.scanner.explain_views import Asked, pair_asked
from realtime.scanner.hub import process_scan_hub

NAMES: Final = ("id", "symbol", "exchange1", "exchange2")
CHANGES_A_MINUTE: Final = 60


class SizeQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """A size worth so many USDT; None: the user's own, or 1,000."""

    size: Annotated[float, Meta(gt=0, le=MAX_SIZE)] | None = None


@api(*NAMES, "size")
async def depth_api(request: HttpRequest) -> HttpResponse:
    """`GET /api/depth?id=&size=` or `?symbol=&exchange1=&exchange2=`: the pair as of now."""
    size = await database_sync_to_async(_size)(request)
    pair = await database_sync_to_async(pair_asked)(request)
    async with process_scan_hub().open() as hub:
        table, now_us = hub.book.table, hub.book.now_us()
        row = row_of(table, pair.ids[0])
        if row is None:
            raise Refused(404, f"{pair.ids[0]} is not compared; /api/opportunities/explain says why")
        found = pair_depth(table, hub.book.depth, row, size, now_us)
    answer = {"time": now_us / 1e6, "pair": found}
    return HttpResponse(msgspec_json.encode(answer), content_type="application/json")


class FollowRequest(Struct, forbid_unknown_fields=True):
    """A market's key and the symbol of an instrument there, whose book is to be followed or left."""

    exchange: str
    symbol: str
    follow: bool = True


_pace: Final = Pace("changes of followed books", CHANGES_A_MINUTE)


@api(methods=("POST",), scope=Scope.ACT)
async def follow_api(request: HttpRequest) -> HttpResponse:
    """`POST /api/depth/follow {"exchange", "symbol", "follow"}`: pin or unpin the book of an instrument."""
    return JsonResponse(await database_sync_to_async(_follow)(await request.auser(), request.body))


def _follow(user: Any, content: bytes) -> dict[str, Any]:
    """Do as the admin's action does. Raises Refused."""
    if not user.has_perm("markets.change_instrument"):
        raise Refused(403, "you may not choose which books are followed: ask an operator")
    _pace.step(user.pk)
    wanted = body(content, FollowRequest)
    rows = Instrument.objects.filter(
        exchange__key=exchange_of_key(wanted.exchange),
        kind=market_of(wanted.exchange),
        symbol__name=wanted.symbol,
    )
    if not rows.exists():
        raise Refused(404, f"symbol: {wanted.exchange} has no instrument {wanted.symbol!r}")
    set_depth_pinned(rows, wanted.follow, user)
    return structs.asdict(wanted)


def _size(request: HttpRequest) -> float:
    given = asked({"size": request.GET.get("size", "")}, SizeQuery, "docs/depth.md").size
    user: Any = request.user
    return given or my_size(user) or DEFAULT_SIZE


@require_safe
@login_required
async def depth_page(request: HttpRequest) -> HttpResponse:
    """`/depth?id=…&size=…`: both books of a pair, drawn as they change."""
    context = await database_sync_to_async(_context)(request)
    page: HttpResponse = await database_sync_to_async(render)(
        request, "depth/depth.html", context, status=context["status"]
    )
    return page


def _context(request: HttpRequest) -> dict[str, Any]:
    context: dict[str, Any] = {"exchange_names": json.dumps(exchange_names()), "status": 200}
    try:
        context |= {"size": _size(request), "asked": _pair(request)}
    except Refused as refused:
        context |= {"status": refused.status, "problem": str(refused)}
    return context


def _pair(request: HttpRequest) -> Asked | None:
    """The pair that the address names; None: it names none."""
    return pair_asked(request) if any(request.GET.get(name) for name in NAMES) else None
