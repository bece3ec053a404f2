"""`/api/charts/pair`: what a pair's page says beside its line: the trade, and the coming settlements."""

import time

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse
from msgspec import Struct, json

from accounts.access.guard import api, symbol_of
from core.names.market_keys import SWAP, market_of
from core.web.asking import asked
from core.web.refused import Refused
from engine.funding.trade import plain_names, trade_line
from markets.follow.fundings import Snapshot, SwapRow
from markets.selectors import load_config
from realtime.funding.api import leg_key, newest_snapshots
from realtime.funding.net import Name
from realtime.funding.table import PER_CENT
from realtime.scanner.wire import on_the_way_s


class PairQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pair, compared by anybody or not."""

    symbol: Name
    exchange1: Name
    exchange2: Name


class Coming(Struct, frozen=True):
    """The next settlement of a swap leg: forming rate in per cent, positive: longs pay; None: unknown.

    `problem` says in words why nothing may be computed with the rate; `age_ms` is since it was said last.
    """

    exchange: str
    symbol: str
    rate: float | None
    next: float | None
    interval_s: int | None
    age_ms: float | None
    problem: str


class Pair(Struct, frozen=True):
    """`trade12` is the trade of `edge12` in words (buy on exchange2, sell on exchange1), `trade21` the other.

    `coming` has the swap legs of which anything is known.
    """

    time: float
    symbol: str
    exchange1: str
    exchange2: str
    trade12: str
    trade21: str
    coming: list[Coming]


@api(*PairQuery.__struct_fields__)
async def pair(request: HttpRequest) -> HttpResponse:
    """`GET /api/charts/pair`: the trades of both directions in words, and the next settlement of each leg."""
    query = asked(request.GET.dict(), PairQuery, "docs/api.md")
    config = await sync_to_async(load_config)()
    exchanges = [(row.key, row.name) for row in config.exchanges]
    one, two = (leg_key(exchanges, getattr(query, name), name) for name in ("exchange1", "exchange2"))
    if one == two:
        raise Refused(400, "exchange2: it is the same as exchange1; a pair has two legs")
    symbol = symbol_of({o.symbol for o in config.opportunities}, query.symbol) or query.symbol
    names, now_us = plain_names(config.exchanges), time.time_ns() // 1000
    swaps = SWAP in (market_of(one), market_of(two))
    found = _coming(await newest_snapshots() if swaps else [], symbol, now_us)
    answer = Pair(
        now_us / 1e6, symbol, one, two,
        trade_line(two, one, names), trade_line(one, two, names),
        [found[key] for key in (one, two) if key in found],
    )  # fmt: skip
    return HttpResponse(json.encode(answer), content_type="application/json")


def _coming(snapshots: list[Snapshot], symbol: str, now_us: int) -> dict[str, Coming]:
    """Next settlements of a coin's swaps, by market key."""
    return {
        row.exchange: _of(row, on_the_way_s(each.ts_us, now_us) * 1000)
        for each in snapshots
        for row in each.rows
        if row.coin == symbol
    }


def _of(row: SwapRow, passed_ms: float) -> Coming:
    rate = None if row.rate is None else round(row.rate * PER_CENT, 8)
    age_ms = None if row.age_ms is None else round(row.age_ms + passed_ms)
    next_s = None if row.next_ts_us is None else row.next_ts_us / 1e6
    return Coming(row.exchange, row.symbol, rate, next_s, row.interval_s, age_ms, row.problem)
