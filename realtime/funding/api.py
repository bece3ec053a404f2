"""API of the funding page: the matrix of now, as JSON and as CSV (docs/funding.md)."""

import csv
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from channels.db import database_sync_to_async
from django.http import HttpRequest, HttpResponse
from msgspec import json, structs, to_builtins

from accounts.access.guard import api, exchange_of, symbol_of
from core.names.market_keys import exchange_of as exchange_of_key
from core.names.market_keys import market_key, market_of
from core.names.plain_names import no_formula
from core.redis_client import async_redis
from core.web.asking import asked
from core.web.refused import Refused
from markets.follow.fundings import Snapshot, read_snapshots
from markets.models import Exchange
from realtime.funding.net import NetQuery, net
from realtime.funding.table import Matrix, Query, Row, check_sort
from realtime.scanner.hub import process_scan_hub

CSV_COLUMNS: Final = (
    "coin", "exchange", "symbol", "rate_pct", "per_8h_pct", "per_hour_pct", "per_day_pct", "per_year_pct",
    "interval_s", "interval_derived", "next", "held_pct", "cap_pct", "floor_pct", "settled_rate_pct",
    "settled", "age_ms", "problem",
)  # fmt: skip


@api(*Query.__struct_fields__)
async def funding(request: HttpRequest) -> HttpResponse:
    """`GET /api/funding`: a page of the matrix, newest values, the best spread of each coin first."""
    query, snapshots, now_us = await _asked(request)
    found = Matrix(snapshots, query, now_us)
    page = found.rows(slice(query.offset, query.offset + query.limit))
    swaps = sum(len(each.rows) for each in snapshots)
    answer = {
        "time": now_us / 1e6, "matches": len(found), "swaps": swaps, "shards": len(snapshots),
        "hours": query.hours, "rows": page,
    }  # fmt: skip
    return HttpResponse(json.encode(answer), content_type="application/json")


@api(*Query.__struct_fields__)
async def funding_csv(request: HttpRequest) -> HttpResponse:
    """`GET /api/funding.csv`: a line per coin and exchange of all rows, in their order; times are UTC."""
    query, snapshots, now_us = await _asked(request)
    text = io.StringIO()
    csv.writer(text).writerows(_lines(Matrix(snapshots, query, now_us).rows()))
    name = f"funding-{datetime.fromtimestamp(now_us / 1e6, UTC):%Y%m%dT%H%M%SZ}.csv"
    return HttpResponse(
        text.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@api(*NetQuery.__struct_fields__)
async def funding_net(request: HttpRequest) -> HttpResponse:
    """`GET /api/funding/net`: what a pair leaves that is bought here, sold there, and held for a time."""
    query = asked(request.GET.dict(), NetQuery, "docs/funding.md")
    snapshots = await newest_snapshots()
    async with process_scan_hub().open() as hub:
        table, now_us = hub.book.table, hub.book.now_us()
        names = [(row.key, row.name) for row in table.config.exchanges]
        buy, sell = (leg_key(names, getattr(query, leg), leg) for leg in ("buy", "sell"))
        if buy == sell:
            raise Refused(400, "sell: it is the same as buy; a position has two legs")
        coins = {pair.symbol for pair in table.pairs} | {row.coin for each in snapshots for row in each.rows}
        symbol = symbol_of(coins, query.symbol)
        if symbol is None:
            raise Refused(404, f"symbol: {query.symbol!r} is neither compared nor a coin of a swap")
        found = net(table, structs.replace(query, symbol=symbol, buy=buy, sell=sell), snapshots, now_us)
    answer = {"time": now_us / 1e6} | to_builtins(found)
    return HttpResponse(json.encode(answer), content_type="application/json")


def leg_key(names: list[tuple[str, str]], text: str, leg: str) -> str:
    """The key of the market a leg names, used by any pair or not. Raises Refused."""
    return market_key(exchange_of(names, exchange_of_key(text), leg), market_of(text))


KEPT_S: Final = 1.0
"""How long what was read of Redis serves every user of this process: collectors write every 2 s."""

_kept: list[tuple[float, list[Snapshot]]] = []


async def newest_snapshots() -> list[Snapshot]:
    """Funding of all shards, read within the last KEPT_S. Raises redis.RedisError."""
    now_s = time.monotonic()
    if not _kept or now_s - _kept[0][0] > KEPT_S:
        redis = async_redis()
        try:
            _kept[:] = [(now_s, await read_snapshots(redis))]
        finally:
            await redis.aclose()
    return _kept[0][1]


async def _asked(request: HttpRequest) -> tuple[Query, list[Snapshot], int]:
    given: dict[str, Any] = {name: text for name, text in request.GET.dict().items() if text}
    if "exchanges" in given:
        given["exchanges"] = given["exchanges"].split(",")
    query = asked(given, Query, "docs/funding.md")
    names = await database_sync_to_async(lambda: list(Exchange.objects.values_list("key", "name")))()
    keys = tuple(exchange_of_key(exchange_of(names, text, "exchanges")) for text in query.exchanges)
    check_sort(query, [key for key, _ in names])
    return structs.replace(query, exchanges=keys), await newest_snapshots(), time.time_ns() // 1000


def _lines(rows: list[Row]) -> Iterator[list[Any]]:
    yield list(CSV_COLUMNS)
    for row in rows:
        for exchange, cell in sorted(row.cells.items()):
            numbers = (
                _plain(cell.rate), _plain(cell.per_8h), _plain(cell.per_hour), _plain(cell.per_day),
                _plain(cell.per_year),
                cell.interval_s, str(cell.derived).lower(), _utc(cell.next), _plain(cell.held),
                _plain(cell.cap), _plain(cell.floor), _plain(cell.settled_rate), _utc(cell.settled),
                cell.age_ms, cell.problem,
            )  # fmt: skip
            yield [no_formula(row.coin), no_formula(exchange), no_formula(cell.symbol), *numbers]


def _plain(value: float | None) -> str:
    """A number without an exponent, empty where it is unknown."""
    return "" if value is None else f"{value:z.8f}"


def _utc(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
