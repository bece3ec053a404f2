"""API of the funding page: the matrix of now, as JSON and as CSV (docs/funding.md)."""

import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponse
from msgspec import json, structs

from accounts.access.guard import api, exchange_of
from core.names.market_keys import exchange_of as exchange_of_key
from core.names.plain_names import no_formula
from core.redis_client import async_redis
from core.web.asking import asked
from markets.models import Exchange
from realtime.funding.table import Query, Row, check_sort, matrix
from realtime.funding.wire import Snapshot, read_snapshots

CSV_COLUMNS: Final = (
    "coin", "exchange", "symbol", "rate_pct", "per_8h_pct", "per_year_pct", "interval_s", "interval_derived",
    "next", "held_pct", "cap_pct", "floor_pct", "settled_rate_pct", "settled", "age_ms", "problem",
)  # fmt: skip


@api(*Query.__struct_fields__)
async def funding(request: HttpRequest) -> HttpResponse:
    """`GET /api/funding`: a page of the matrix, newest values, the best spread of each coin first."""
    query, snapshots, now_us = await _asked(request)
    rows = matrix(snapshots, query, now_us)
    page = rows[query.offset : query.offset + query.limit]
    swaps = sum(len(each.rows) for each in snapshots)
    answer = {
        "time": now_us / 1e6, "matches": len(rows), "swaps": swaps, "shards": len(snapshots),
        "hours": query.hours, "rows": page,
    }  # fmt: skip
    return HttpResponse(json.encode(answer), content_type="application/json")


@api(*Query.__struct_fields__)
async def funding_csv(request: HttpRequest) -> HttpResponse:
    """`GET /api/funding.csv`: a line per coin and exchange of all rows, in their order; times are UTC."""
    query, snapshots, now_us = await _asked(request)
    text = io.StringIO()
    csv.writer(text).writerows(_lines(matrix(snapshots, query, now_us)))
    name = f"funding-{datetime.fromtimestamp(now_us / 1e6, UTC):%Y%m%dT%H%M%SZ}.csv"
    return HttpResponse(
        text.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _asked(request: HttpRequest) -> tuple[Query, list[Snapshot], int]:
    given: dict[str, Any] = {name: text for name, text in request.GET.dict().items() if text}
    if "exchanges" in given:
        given["exchanges"] = given["exchanges"].split(",")
    query = asked(given, Query, "docs/funding.md")
    names = await database_sync_to_async(lambda: list(Exchange.objects.values_list("key", "name")))()
    keys = tuple(exchange_of_key(exchange_of(names, text, "exchanges")) for text in query.exchanges)
    check_sort(query, [key for key, _ in names])
    redis = async_redis()
    try:
        snapshots = await read_snapshots(redis)
    finally:
        await redis.aclose()
    return structs.replace(query, exchanges=keys), snapshots, time.time_ns() // 1000


def _lines(rows: list[Row]) -> Iterator[list[Any]]:
    yield list(CSV_COLUMNS)
    for row in rows:
        for exchange, cell in sorted(row.cells.items()):
            numbers = (
                *(_plain(each) for each in (cell.rate, cell.per_8h, cell.per_year)),
                cell.interval_s, str(cell.derived).lower(), _utc(cell.next), _plain(cell.held),
                _plain(cell.cap), _plain(cell.floor), _plain(cell.settled_rate), _utc(cell.settled),
                cell.age_ms, cell.problem,
            )  # fmt: skip
            yield [no_formula(row.coin), no_formula(exchange), no_formula(cell.symbol), *numbers]


def _plain(value: float | None) -> str:
    """A number without an exponent, empty where it is unknown."""
    return "" if value is None else f"{value:.8f}"


def _utc(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
