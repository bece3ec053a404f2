"""`GET /api/opportunities` and its distributions: what PostgreSQL keeps of the collectors' findings.

The lake's libraries are not needed here, and not loaded.
"""

import datetime
import time
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from msgspec import Meta, Struct, structs

from accounts.access.guard import api, exchange_of
from core.clock.moments import age_s
from core.clock.times import asked_time
from core.web.asking import asked
from core.web.refused import Refused
from markets.config import PairKind
from markets.models import OpportunityFilter
from markets.selectors import exchange_names
from opportunities.episodes import (
    Asked,
    Distributions,
    Sort,
    counted,
    distributions,
    episodes,
    in_order,
    moves_in_order,
    routes_of,
)  # fmt: skip
from opportunities.models import OpportunityEpisode

COUNTED: Final = 100_000
"""How many matches are counted, and can be paged through, at most."""

WHICH: Final = (
    "symbol", "exchanges", "kind", "filter", "min_peak", "min_duration", "min_profit", "open", "start", "end"
)  # fmt: skip
"""Parameters that say which opportunities are meant."""

_MS: Final = datetime.timedelta(milliseconds=1)
_EPOCH: Final = datetime.datetime.fromtimestamp(0, datetime.UTC)


class EpisodeQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of a request; see docs/api.md. Times are texts, `min_duration` is in seconds."""

    symbol: Annotated[str, Meta(max_length=100)] = ""
    exchanges: tuple[str, ...] = ()
    kind: Literal["", PairKind] = ""
    filter: int | None = None
    min_peak: float | None = None
    min_duration: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    min_profit: float | None = None
    open: bool = False
    start: str = ""
    end: str = ""
    zone: str = "UTC"
    group: Literal["", "move"] = ""
    sort: Sort = "started"
    descending: bool = True
    offset: Annotated[int, Meta(ge=0, le=COUNTED)] = 0
    limit: Annotated[int, Meta(ge=1, le=200)] = 50

    def asked(self) -> Asked:
        """Convert to what the selectors take. Raises Refused naming a time that is none."""
        return Asked(
            symbol=self.symbol.strip(),
            exchanges=self.exchanges,
            kind=self.kind,
            filter_id=self.filter,
            min_peak_bps=self.min_peak,
            min_duration_ms=None if self.min_duration is None else self.min_duration * 1000,
            min_profit=self.min_profit,
            open_only=self.open,
            since=_moment("start", self.start),
            until=_moment("end", self.end),
        )


@api(*WHICH, "group", "sort", "descending", "offset", "limit")
async def listed(request: HttpRequest) -> HttpResponse:
    """`GET /api/opportunities`: a page of episodes, or of moves (`group=move`), and how many match."""
    query = await sync_to_async(_query)(request)
    answer: dict[str, Any] = await sync_to_async(_page_of_moves if query.group else _page)(query)
    return JsonResponse(answer)


@api(*WHICH, "zone")
async def distributed(request: HttpRequest) -> HttpResponse:
    """`GET /api/opportunities/distributions`: durations, peaks and hours of what matches."""
    query = await sync_to_async(_query)(request)
    zone, which = _zone(query.zone), query.asked()
    found: Distributions = await sync_to_async(distributions)(which, zone)
    return JsonResponse(
        {
            "considered": found.considered,
            "routes": found.routes,
            "durations": {"edges_ms": found.durations_ms.edges, "counts": found.durations_ms.counts},
            "peaks": {"edges_bps": found.peaks_bps.edges, "counts": found.peaks_bps.counts},
            "hours": found.hours,
            "zone": query.zone,
        }
    )


def _query(request: HttpRequest) -> EpisodeQuery:
    given: dict[str, Any] = request.GET.dict()
    if "exchanges" in given:
        texts = tuple(text.strip() for text in given["exchanges"].split(",") if text.strip())
        if given["exchanges"] and not texts:
            raise Refused(400, f"exchanges: {given['exchanges']!r} names none; leave it out for all of them")
        given["exchanges"] = texts
    query = asked(given, EpisodeQuery, "docs/api.md")
    since, until = _moment("start", query.start), _moment("end", query.end)
    if since is not None and until is not None and since >= until:
        raise Refused(400, "start: it must be before end")
    if query.filter is not None and not OpportunityFilter.objects.filter(pk=query.filter).exists():
        there = ", ".join(f"{row.pk} ({row})" for row in OpportunityFilter.objects.all())
        raise Refused(404, f"filter: there is no filter {query.filter}; there are: {there or 'none'}")
    if not query.exchanges:
        return query
    names = exchange_names().items()
    keys = tuple(dict.fromkeys(exchange_of(names, text, "exchanges") for text in query.exchanges))
    return structs.replace(query, exchanges=keys)


def _moment(name: str, text: str) -> datetime.datetime | None:
    if not text:
        return None
    try:
        return _EPOCH + datetime.timedelta(microseconds=asked_time(text))
    except ValueError as problem:
        raise Refused(400, f"{name}: {problem}") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(400, f"zone: there is no time zone {name!r}; one is Europe/Berlin") from None


def _page(query: EpisodeQuery) -> dict[str, Any]:
    found = episodes(query.asked())
    rows = in_order(found, query.sort, query.descending)[query.offset : query.offset + query.limit]
    matches = found.order_by()[: COUNTED + 1].count()
    return {
        "matches": min(matches, COUNTED),
        "more": matches > COUNTED,
        "episodes": [_row(row) for row in rows],
        "time": time.time(),
    }


def _page_of_moves(query: EpisodeQuery) -> dict[str, Any]:
    asked = query.asked()
    ordered = moves_in_order(asked, query.sort, query.descending)
    found = list(ordered[query.offset : query.offset + query.limit])
    routes = routes_of(asked, [move["of"] for move in found])
    matches, of_routes = counted(asked, COUNTED + 1)
    return {
        "matches": min(matches, COUNTED),
        "routes": min(of_routes, COUNTED),
        "more": max(matches, of_routes) > COUNTED,
        "moves": [_move(move, routes[move["of"]]) for move in found if move["of"] in routes],
        "time": time.time(),
    }


def _move(move: dict[str, Any], routes: list[OpportunityEpisode]) -> dict[str, Any]:
    """A move as its best route; the routes share one book level, so that profits are never added up."""
    best, going = routes[0], move["going"] > 0
    return {
        "id": str(move["of"]),
        "symbol": best.symbol,
        "moved_on": best.moved_on,
        "moved_side": best.moved_side,
        "open": going,
        "started": move["started"].timestamp(),
        "closed": None if going else move["last_close"].timestamp(),
        "duration_ms": _so_far_ms(move["started"]) if going else round(move["lasted"] / _MS),
        "peak_edge_bps": move["highest"],
        "profit": best.peak_edge_bps / 1e4 * best.peak_size,
        "best": _row(best),
        "route_count": len(routes),
        "routes": [_row(row) for row in routes],
    }


def _row(row: OpportunityEpisode) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "symbol": row.symbol,
        "exchange1": row.exchange1,
        "exchange2": row.exchange2,
        "buy_on": row.buy_on,
        "sell_on": row.sell_on,
        "filter": row.filter_name,
        "filter_id": row.filter_id,
        "open": row.is_open,
        "started": row.started_at.timestamp(),
        "closed": None if row.closed_at is None else row.closed_at.timestamp(),
        "duration_ms": _so_far_ms(row.started_at) if row.duration_ms is None else row.duration_ms,
        "peak_edge_bps": row.peak_edge_bps,
        "mean_edge_bps": row.mean_edge_bps,
        "open_edge_bps": row.open_edge_bps,
        "close_edge_bps": row.close_edge_bps,
        "peak_size": row.peak_size,
        "depth": _depth(row),
        "gates": row.gates,
        "reason": row.reason,
        "move": None if row.move is None else str(row.move),
        "moved_on": row.moved_on,
        "moved_side": row.moved_side,
    }


def _depth(row: OpportunityEpisode) -> dict[str, float | None] | None:
    """Depth at the peak, in USDT; None where a book was not followed or not known."""
    if row.peak_best_size is None:
        return None
    return {
        "profit_100": row.peak_profit_100,
        "profit_1000": row.peak_profit_1000,
        "profit_10000": row.peak_profit_10000,
        "best_size": row.peak_best_size,
        "best_profit": row.peak_best_profit,
        "my_edge_bps": row.peak_my_edge_bps,
        "my_profit": row.peak_my_profit,
    }


def _so_far_ms(started_at: datetime.datetime) -> int | None:
    """Duration so far of an open episode; None: it began by a clock that was ahead of now."""
    old_s = age_s((timezone.now() - started_at).total_seconds())
    return None if old_s is None else round(old_s * 1e3)
