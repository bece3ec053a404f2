"""The JSON APIs of the realtime room. Errors are `{"error": "…"}`: which parameter, and what to do."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse

from accounts.access.guard import api, exchange_of, symbol_of
from core.names.plain_names import isolated
from core.web.refused import Refused
from engine.charts.points import no_points
from markets.config import FilterConfig, MarketConfig, Opportunity
from markets.selectors import load_config
from realtime.charts import wire
from realtime.charts.hub import process_hub
from realtime.charts.pins import pinned_ids

CHARTS_A_READ: Final = 20
PINNED: Final = {"id": "pinned", "name": "pinned"}
"""What stands for a filter where the user's pins are meant."""


@api("filter")
async def charts(request: HttpRequest) -> HttpResponse:
    """`GET /api/charts?filter=ID`: the filters there are, and the charts of one of them.

    `filter=pinned` names the charts that the user pinned.
    """
    config = await sync_to_async(load_config)()
    pinned = set(await sync_to_async(pinned_ids)(await request.auser()))  # type: ignore[arg-type]
    mine = [o for o in config.opportunities if o.id in pinned]
    wants_mine = request.GET.get("filter") == PINNED["id"]
    chosen = None if wants_mine else named_filter(config, request.GET.get("filter"))
    named = None if chosen is None else {"id": chosen.id, "name": chosen.name}
    return JsonResponse(
        {
            "filter": PINNED if wants_mine else named,
            "filters": [_filter_row(config, f) for f in config.filters if f.charted],
            "charts": [_chart_row(o) for o in (mine if wants_mine else charts_of(config, chosen))],
            "pinned": len(mine),
            "revision": config.revision,
            "min_spread_pct": None if chosen is None else chosen.min_spread_pct,
            "min_edge_bps": None if chosen is None else chosen.min_edge_bps,
        }
    )


@api("symbol", "exchange1", "exchange2", "filter")
async def rolling_window_data(request: HttpRequest) -> StreamingHttpResponse:
    """`GET /api/rolling_window_data`: the last 15 minutes, one chart object per line (NDJSON).

    `symbol`, `exchange1` and `exchange2` each narrow the charts down; `filter` names another filter
    than the first enabled one. With a symbol or an exchange all enabled filters are searched. A pair that is
    kept the other way round is answered as it is kept, and the header `X-Pair-Kept-As` says so.
    """
    config = await sync_to_async(load_config)()
    chosen, turned = _wanted(config, request)
    first = await _lines(chosen[:CHARTS_A_READ])  # before the answer begins: a failure is still a 503
    lines = _stream(first, chosen[CHARTS_A_READ:])
    headers = {"X-Pair-Kept-As": turned} if turned else {}
    return StreamingHttpResponse(lines, content_type="application/x-ndjson", headers=headers)


# --- which charts --------------------------------------------------------------------------------


def named_filter(config: MarketConfig, text: str | None) -> FilterConfig | None:
    """The filter a request names, the first one with charts where it names none. Raises Refused."""
    if not text:
        return next((row for row in config.filters if row.charted), None)
    for row in config.filters:
        if str(row.id) == text:
            return row
    there = ", ".join(f"{row.id} ({isolated(row.name)})" for row in config.filters)
    known = there or "none; enable one in the admin"
    raise Refused(404, f"filter: there is no enabled filter {text!r}; there are: {known}")


def _wanted(config: MarketConfig, request: HttpRequest) -> tuple[list[Opportunity], str]:
    """The charts a request asks for, and how their pair is kept where it was asked for the other way round.

    Raises Refused naming the parameter and what exists.
    """
    asked = {name: request.GET.get(name, "").strip() for name in ("symbol", "exchange1", "exchange2")}
    if request.GET.get("filter") or not any(asked.values()):
        found = charts_of(config, named_filter(config, request.GET.get("filter")))
    else:
        found = list(config.opportunities)
    for name in ("exchange1", "exchange2"):
        asked[name] = _key(config, asked[name], name)
    kept = _as_kept(found, asked)
    for name, text in kept.items():
        if text:
            found = _narrowed(found, name, text)
    turned = f"exchange1={kept['exchange1']}&exchange2={kept['exchange2']}" if kept != asked else ""
    return found, turned


def _key(config: MarketConfig, text: str, name: str) -> str:
    """The key of an exchange that is named as people call it; another text as it is."""
    if not text:
        return text
    try:
        return exchange_of(((row.key, row.name) for row in config.exchanges), text, name)
    except Refused as refused:
        if refused.status == 404:  # what charts there are says more
            return text
        raise


def _narrowed(found: list[Opportunity], name: str, text: str) -> list[Opportunity]:
    named = {getattr(o, name) for o in found}
    meant = symbol_of(named, text, name)
    if meant is not None:
        return [o for o in found if getattr(o, name) == meant]
    there = ", ".join(sorted({getattr(o, name) for o in found})) or "none: no enabled filter selects a chart"
    raise Refused(404, f"{name}: no chart has {text!r} here; there are: {there}")


def _as_kept(found: list[Opportunity], asked: dict[str, str]) -> dict[str, str]:
    """Query with a pair's exchanges as it is kept: its numbers have the sign of that way."""
    pairs = {(o.exchange1, o.exchange2) for o in found}
    one, two = asked["exchange1"], asked["exchange2"]
    if (one, two) in pairs or (two, one) not in pairs:
        return asked
    return asked | {"exchange1": two, "exchange2": one}


def charts_of(config: MarketConfig, chosen: FilterConfig | None) -> list[Opportunity]:
    return [o for o in config.opportunities if chosen is not None and chosen.id in o.filters]


def _filter_row(config: MarketConfig, row: FilterConfig) -> dict[str, Any]:
    return {"id": row.id, "name": row.name, "charts": len(charts_of(config, row))}


def _chart_row(o: Opportunity) -> dict[str, Any]:
    return {
        "id": o.id,
        "symbol": o.symbol,
        "exchange1": o.exchange1,
        "exchange2": o.exchange2,
        "tolerance_ms": o.tolerance_ms,
    }


# --- their points --------------------------------------------------------------------------------


async def _stream(first: bytes, rest: Sequence[Opportunity]) -> AsyncIterator[bytes]:
    yield first
    for start in range(0, len(rest), CHARTS_A_READ):
        yield await _lines(rest[start : start + CHARTS_A_READ])


async def _lines(chosen: Sequence[Opportunity]) -> bytes:
    """These charts as NDJSON, with the state the hub gives them."""
    hub = process_hub()
    stored = await hub.recent.read([o.id for o in chosen])
    found = []
    for o in chosen:
        known = stored.charts.get(o.id)
        points = known.points() if known else no_points()
        found.append(wire.chart_json(hub.book.chart(o.id, points)) + b"\n")
    return b"".join(found)
