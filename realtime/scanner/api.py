"""API of the scanner's page: its rows as CSV, pinned charts, saved views."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from msgspec import Struct, structs

from accounts.access.guard import api, exchange_of
from accounts.my_size import my_size
from core.names.plain_names import no_formula, unfit_character
from core.names.symbols import quote_of
from core.web.asking import asked, body
from core.web.refused import Refused
from markets.selectors import load_config
from realtime.charts import pins
from realtime.charts.api import named_filter
from realtime.depth.sized import DEFAULT_SIZE, SIZES
from realtime.models import SavedView
from realtime.pace import Pace
from realtime.scanner.holding import NETS
from realtime.scanner.hub import process_scan_hub
from realtime.scanner.messages import Head, Row, make_page
from realtime.scanner.view import Query, View

harmless: Final = no_formula
CSV_ROWS: Final = 50_000
ROWS_A_PIECE: Final = 1_000
MAX_VIEWS: Final = 50
CHANGES_A_MINUTE: Final = 60
"""Of a user's views: each is kept in the audit for good."""

COLUMNS: Final = (
    "symbol", "buy_on", "sell_on", "edge_bps", "size", "quote_currency", "bid_spread_pct", "buy_quote_at",
    "sell_quote_at", "buy_state", "sell_state", "buy_volume_24h", "sell_volume_24h", "opportunities_1h",
    "gates_passed", "gates_failed", "gates_unknown", "net_exit_zero_bps", "net_exit_now_bps",
    "net_exit_median_bps", "funding_bps", "held_hours", "edge_at_size_bps", "profit_at_size",
    "size_to_zero_edge", "size_reached", "size_of", "my_size_usdt",
)  # fmt: skip


# --- rows as CSV ---------------------------------------------------------------------------------


@api(*Query.__struct_fields__)
async def scanner_csv(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/scanner.csv?sort=&descending=&search=…`: the rows of a view, as of now, in its order.

    Numbers have a point and no thousands separators, times are UTC. At most 50,000 rows.
    """
    user = await request.auser()
    query = await database_sync_to_async(asked_rows)(request.GET.dict(), user)
    async with process_scan_hub().open() as hub:
        view = View(hub.book.table, query)
        now_us = hub.book.now_us()
        # Made while the table stands still; what is streamed are finished rows.
        lines = [_lines([COLUMNS])]
        for start in range(0, min(len(view), CSV_ROWS), ROWS_A_PIECE):
            page = make_page(view, slice(start, min(start + ROWS_A_PIECE, CSV_ROWS)), 0, now_us)
            lines.append(_lines(_csv_row(page.head, row) for row in page.rows.values()))
    name = f"scanner-{datetime.fromtimestamp(now_us / 1e6, UTC):%Y%m%dT%H%M%SZ}.csv"
    return StreamingHttpResponse(
        _stream(lines),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def asked_rows(given: dict[str, str], user: Any) -> Query:
    """Rows that an address asks for, with every column: net edges, and figures at the user's size.

    Raises Refused naming what is wrong.
    """
    query = _known(query_of(given))
    size = query.size if query.size is not None else my_size(user) or DEFAULT_SIZE
    return structs.replace(query, size=size, net="show")


def query_of(given: dict[str, str]) -> Query:
    """A view as an address says it. Raises Refused naming what is wrong."""
    wanted: dict[str, Any] = {name: text for name, text in given.items() if text}
    if "exchanges" in wanted:
        wanted["exchanges"] = wanted["exchanges"].split(",")
    return asked(wanted, Query, "docs/scanner.md")


def _known(query: Query) -> Query:
    """The query with exchanges by their keys. Raises Refused for an exchange or a filter there is not."""
    if not query.exchanges and query.filter is None:
        return query
    config = load_config()
    if query.filter is not None:
        named_filter(config, str(query.filter))
    names = [(row.key, row.name) for row in config.exchanges]
    keys = tuple(exchange_of(names, text, "exchanges") for text in query.exchanges)
    return structs.replace(query, exchanges=keys)


def _csv_row(head: Head, row: Row) -> list[Any]:
    cell = dict(zip(head.cells, row, strict=True))
    sell, buy = (1, 2) if cell["sell"] == 1 else (2, 1)
    plain = (
        harmless(cell["symbol"]), harmless(cell[f"exchange{buy}"]), harmless(cell[f"exchange{sell}"]),
        cell["edge"], cell["size"],
        harmless(quote_of(cell["symbol"])), cell["spread"], _utc(cell[f"at{buy}"]), _utc(cell[f"at{sell}"]),
        cell[f"state{buy}"], cell[f"state{sell}"], cell[f"volume{buy}"], cell[f"volume{sell}"], cell["hour"],
        cell["passed"], cell["failed"], cell["unknown"], *(cell[name] for name in NETS), head.hold,
        *(cell[name] for name in (*SIZES, "at_reach", "at_of")), head.size,
    )  # fmt: skip
    return [f"{Decimal(repr(each)):f}" if isinstance(each, float) else each for each in plain]


def _utc(at_ms: int | None) -> str:
    if at_ms is None:
        return ""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


async def _stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


# --- pinned charts -------------------------------------------------------------------------------


class PinRequest(Struct, forbid_unknown_fields=True):
    """The chart to pin."""

    id: str


@api("id", methods=("GET", "POST", "DELETE"))
async def pinned(request: HttpRequest) -> HttpResponse:
    """`GET`, `POST {"id": …}` and `DELETE ?id=` of `/api/pins`: answered with all pins of the user."""
    user: Any = await request.auser()
    if request.method == "POST":
        await database_sync_to_async(pins.pin)(user, body(request.body, PinRequest).id)
    elif request.method == "DELETE":
        await database_sync_to_async(pins.unpin)(user, request.GET.get("id", ""))
    return JsonResponse({"pins": await database_sync_to_async(pins.pinned_ids)(user), "limit": pins.MAX_PINS})


# --- saved views ---------------------------------------------------------------------------------


_pace: Final = Pace("changes of views", CHANGES_A_MINUTE)


class ViewRequest(Struct, forbid_unknown_fields=True):
    """A view to keep under a name, or one to rename: then `was` is its name so far.

    `seen` is the query that the client believes to be kept under that name, `fresh` says that they believe
    there is none: where it is otherwise by now, nothing is changed.
    """

    name: str
    query: str = ""
    was: str = ""
    seen: str | None = None
    fresh: bool = False


@api("name", "seen", methods=("GET", "POST", "DELETE"))
async def saved_views(request: HttpRequest) -> HttpResponse:
    """`GET`, `POST {"name", "query", "was", "seen", "fresh"}` and `DELETE ?name=&seen=`: what is kept."""
    user: Any = await request.auser()
    if request.method in ("POST", "DELETE"):
        _pace.step(user.pk)
    if request.method == "POST":
        await database_sync_to_async(_keep_view)(user, body(request.body, ViewRequest))
    elif request.method == "DELETE":
        if not (name := request.GET.get("name", "")):
            raise Refused(400, "name: missing; it says which view to delete")
        await database_sync_to_async(_drop_view)(user, name, request.GET.get("seen"))
    return JsonResponse({"views": await database_sync_to_async(_views)(user)})


def _views(user: User) -> list[dict[str, str]]:
    rows = SavedView.objects.filter(user=user)
    return [{"name": row.name, "query": row.query} for row in rows]


@transaction.atomic
def _keep_view(user: User, wanted: ViewRequest) -> None:
    name = " ".join(wanted.name.split())
    if not 1 <= len(name) <= 64:
        raise Refused(400, "name: takes 1 to 64 characters")
    for field, text in (("name", name), ("query", wanted.query)):
        if found := unfit_character(text):
            raise Refused(400, f"{field}: it holds {found}, which is invisible, or turns the text beside it")
    mine = SavedView.objects.filter(user=user).select_for_update()
    if wanted.was:
        _rename(mine, wanted, name)
        return
    query_of(dict(parse_qsl(wanted.query)))
    kept = mine.filter(name=name).first()
    _check_seen(kept, name, wanted.seen, wanted.query, is_fresh=wanted.fresh)
    if kept is None and mine.count() >= MAX_VIEWS:
        raise Refused(409, f"{MAX_VIEWS} views are kept, which is the limit: delete one first")
    mine.update_or_create(user=user, name=name, defaults={"query": wanted.query})


def _rename(mine: QuerySet[SavedView], wanted: ViewRequest, name: str) -> None:
    if wanted.was != name and mine.filter(name=name).exists():
        raise Refused(409, f"name: there is a view {name!r} already")
    _check_seen(mine.filter(name=wanted.was).first(), wanted.was, wanted.seen)
    if not mine.filter(name=wanted.was).update(name=name):
        raise Refused(404, f"was: there is no view {wanted.was!r}")


@transaction.atomic
def _drop_view(user: User, name: str, seen: str | None) -> None:
    mine = SavedView.objects.filter(user=user, name=name)
    _check_seen(mine.select_for_update().first(), name, seen)
    mine.delete()


def _check_seen(
    kept: SavedView | None, name: str, seen: str | None, yours: str = "", *, is_fresh: bool = False
) -> None:
    """Raise Refused where a view is not what somebody believes it to be, with what it is."""
    if kept is None:
        if seen is not None:
            raise Refused(409, f"seen: {name!r} was deleted or renamed meanwhile; nothing is changed")
    elif (is_fresh or seen not in (None, kept.query)) and kept.query != yours:
        theirs = f"it is “{kept.query}” now, kept {kept.saved_at:%Y-%m-%d %H:%M:%S} UTC"
        also = f"; yours is “{yours}”" if yours else ""
        raise Refused(409, f"seen: {name!r} was changed meanwhile: {theirs}{also}; nothing is changed")
