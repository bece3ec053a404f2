"""The HTTP API of what reads the lake for opportunities: statistics, ranking, an episode's ticks."""

import json
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

import msgspec
import polars as pl
from asgiref.sync import sync_to_async
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts.access.guard import api
from core.web.refused import Refused
from engine.deviation import PEAK_EDGES_PCT, DeviationTerms
from history.read import ndjson
from history.read.answers import lake_reader, limited, streamed
from history.read.asked import Range, asked_points, asked_range, pair_terms, swaps_named
from history.read.reading import in_thread
from history.read.thinning import thinned
from markets.selectors import load_config
from opportunities.models import OpportunityEpisode
from opportunities.pages import AROUND
from opportunities.statistics import Judged, Ranked, Ranking, judge, verdict_terms
from opportunities.ticks import ticks as episode_ticks
from opportunities.verdicts import reasons

MAX_HOURS: Final = 24
"""Longest range of statistics."""

TICKS: Final = 5_000
"""Points of an episode's chart, at most."""

MAX_TICKS_S: Final = 6 * 3600
"""Of an episode that lasts longer its first hours are drawn."""

_HOUR_US: Final = 3_600_000_000


@api("symbol", "exchange1", "exchange2", "start", "end", "points")
@limited
async def statistics(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/opportunities/statistics`: one pair over one range; `points` asks for its line, too."""
    query = request.GET.dict()
    within, points = _judged_range(query), asked_points(query)
    also = swaps_named(query.get("symbol"), query.get("exchange1"), query.get("exchange2"))
    config = await sync_to_async(load_config)(also)
    terms = await sync_to_async(verdict_terms)()
    pair = await in_thread(lambda: pair_terms(config, lake_reader(), query))
    found = await in_thread(lambda: judge(lake_reader(), pair, within, terms))
    return JsonResponse(
        {
            "symbol": pair.symbol,
            "exchange1": pair.exchange1,
            "exchange2": pair.exchange2,
            "start": within.start_us / 1e6,
            "end": within.end_us / 1e6,
            "sources": found.sources,
            "statistics": msgspec.to_builtins(found.statistics),
            "reasons": msgspec.to_builtins(reasons(found.statistics, terms)),
            "terms": msgspec.to_builtins(terms),
            "peak_edges_pct": PEAK_EDGES_PCT,
        }
        | ({"line": _line(found, points, within)} if points else {})
    )


@api("start", "end")
@limited
async def ranking(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/opportunities/ranking`: a line that says how many pairs there are, then a line for each."""
    within = _judged_range(request.GET.dict())
    terms = await sync_to_async(verdict_terms)()
    return await streamed(_ranking_lines(within, terms))


@api("id")
@limited
async def ticks(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/opportunities/ticks?id=`: an episode's edge and spread, a minute before to a minute after."""
    row = await sync_to_async(_episode)(request.GET.get("id", ""))
    config = await sync_to_async(load_config)()
    known = {exchange.key for exchange in config.exchanges}
    if missing := {row.exchange1, row.exchange2} - known:
        raise Refused(404, f"id: {', '.join(sorted(missing))} is no exchange of this desk any more")
    start_us = int((row.started_at - AROUND).timestamp() * 1e6)
    end_us = int(((row.closed_at or timezone.now()) + AROUND).timestamp() * 1e6)
    end_us = min(max(end_us, start_us + 1), start_us + MAX_TICKS_S * 1_000_000)
    reader = lake_reader()
    frames = episode_ticks(reader, config, row, start_us, end_us)
    thin = thinned(frames, TICKS, start_us, end_us, clock="ts_us", values=("edge", "spread"))
    return await streamed(ndjson.warned(ndjson.encoded(thin, _TICK), reader))


_TICK: Final[ndjson.Lines] = {
    "timestamp": pl.col("ts_us") / 1e6,
    "edge": pl.col("edge").round(4),
    "spread": pl.col("spread").round(6),
    "size": pl.col("size").round(4),
}


def _episode(text: str) -> OpportunityEpisode:
    try:
        id = UUID(text)
    except ValueError:
        raise Refused(400, f"id: {text!r} is none; GET /api/opportunities lists them") from None
    row = OpportunityEpisode.objects.filter(pk=id).first()
    if row is None:
        raise Refused(404, f"id: there is no opportunity {text}; old ones are deleted after EPISODE_DAYS")
    return row


def _judged_range(query: dict[str, str]) -> Range:
    within = asked_range(query)
    if within.end_us - within.start_us > MAX_HOURS * _HOUR_US:
        raise Refused(400, f"start: statistics cover {MAX_HOURS} h at most; ask for a shorter range")
    return within


def _line(found: Judged, points: int, within: Range) -> dict[str, list[Any]]:
    """The deviation thinned to what a chart shows: times in seconds, percent, null in gaps."""
    frame = pl.DataFrame({"ts_us": found.ts_us, "deviation": found.deviation}, nan_to_null=True)
    frame = frame.with_columns(pl.col("ts_us").cast(pl.Int64), pl.col("deviation").fill_nan(None))
    frames = thinned([frame], points, within.start_us, within.end_us, clock="ts_us", values=("deviation",))
    shown = pl.concat([frame.clear(), *frames])
    return {
        "timestamps": (shown["ts_us"] / 1e6).to_list(),
        "deviation_pct": shown["deviation"].round(6).to_list(),
    }


def _ranking_lines(within: Range, terms: DeviationTerms) -> Iterator[bytes]:
    found = Ranking(lake_reader(), within, terms)
    head = {"pairs": len(found.pairs), "left_out": found.left_out}
    yield _json_line(head | {"start": within.start_us / 1e6, "end": within.end_us / 1e6})
    for batch in found:
        yield b"".join(_json_line(_ranked(row, terms)) for row in batch)


def _ranked(row: Ranked, terms: DeviationTerms) -> dict[str, Any]:
    pair = {"symbol": row.symbol, "exchange1": row.exchange1, "exchange2": row.exchange2}
    figures: dict[str, Any] = msgspec.to_builtins(row.statistics)
    return pair | figures | {"reasons": [reason.words for reason in reasons(row.statistics, terms)]}


def _json_line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
