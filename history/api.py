"""The HTTP API of the lake: NDJSON, streamed. Errors are `{"error": "…"}`; the tables are in docs/api.md."""

import time
from collections.abc import Iterator
from functools import wraps
from typing import Final

import numpy as np
import polars as pl
from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from msgspec import structs

from history import ndjson
from history.asked import Range, asked_points, asked_range, exchange_named, required, symbol_named
from history.lake import Lake
from history.pairing import Terms
from history.places import place_to_read
from history.reader import LakeReader, Where
from history.reading import Answer, in_thread
from history.spreads import chart_points, turned
from history.thinning import thinned
from history.times import shown_time
from history.volume import summed
from markets.config import MarketConfig
from markets.redis_client import redis_client
from markets.selectors import load_config
from realtime import wire
from realtime.api import charts_of, named_filter
from realtime.guard import Refused, View, api
from realtime.hub import process_hub
from realtime.points import POINT_COLUMNS, ChartDelta, no_points

CHART_POINTS: Final = 1000
"""Points of each chart when all of a filter are asked for."""

POINT_VALUES: Final = ("spread", "edge12", "edge21")
"""What of a chart's points keeps its extremes where they are thinned: what money hangs on."""

_DAY_US: Final = 86_400_000_000


def limited(view: View) -> View:
    """So many requests a minute of a user (HISTORY_REQUESTS_PER_MINUTE), and a few at once; else 429."""

    @wraps(view)
    async def counted(request: HttpRequest) -> HttpResponseBase:
        user = await request.auser()
        now = time.time()
        limit = settings.HISTORY_REQUESTS_PER_MINUTE
        if await in_thread(lambda: _count(f"history:asked:{user.pk}:{int(now // 60)}")) > limit:
            raise Refused(429, f"more than {limit} requests in a minute", 60 - int(now % 60))
        place = await place_to_read(int(user.pk or 0))
        try:
            response = await view(request)
        except BaseException:
            place.leave()
            raise
        if response.streaming:
            response._resource_closers.append(place.leave)  # type: ignore[attr-defined]  # as of a file
        else:
            place.leave()
        return response

    return counted


def _count(key: str) -> int:
    with redis_client().pipeline() as pipe:
        pipe.incr(key)
        pipe.expire(key, 120)
        return int(pipe.execute()[0])


@api("symbol", "exchange1", "exchange2", "filter", "start", "end", "points")
@limited
async def dashboard_data(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/dashboard_data`: points of one chart, or all charts of a filter, one per line."""
    query = request.GET.dict()
    within, points = asked_range(query), asked_points(query)
    config = await sync_to_async(load_config)()
    if query.get("symbol", "").strip():
        return await _one_chart(config, query, within, points)
    for name in ("exchange1", "exchange2"):
        if query.get(name):
            raise Refused(400, f"{name}: it goes with symbol; this takes symbol, exchange1, exchange2")
    chosen = charts_of(config, named_filter(config, query.get("filter")))
    hub = process_hub()
    charts = [hub.chart(o.id, no_points()) for o in chosen]
    return await _streamed(_chart_lines(config, charts, within, points or CHART_POINTS), {})


@api("symbol", "exchange", "start", "end", "points")
@limited
async def trades(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/trades`: a symbol's trades; `points` sums them per side and stretch."""
    query = request.GET.dict()
    required(query, "symbol", "exchange")
    within, points = asked_range(query), asked_points(query)
    where = await _instrument(query, within)
    reader = _reader()
    frames = reader.snapshot("trades").frames(**where)
    if points:
        frames = summed(frames, points, within.start_us, within.end_us)
    return await _streamed(ndjson.warned(ndjson.encoded(frames, ndjson.TRADES), reader), {})


@api("symbol", "exchange", "start", "end")
@limited
async def states(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/states`: what happened to the streams of a symbol, and how they stood before."""
    query = request.GET.dict()
    required(query, "symbol")
    within = asked_range(query)
    where = await _instrument(query, within)
    reader = _reader()
    pieces = ndjson.encoded(_states(reader, where, within), ndjson.STATES)
    return await _streamed(ndjson.warned(pieces, reader), {})


@api("symbol", "exchange1", "exchange2", "start", "end")
@limited
async def opportunities(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/opportunities`: when a chart began and ceased to pass a filter."""
    query = request.GET.dict()
    required(query, "symbol", "exchange1", "exchange2")
    where = await _instrument(query, asked_range(query))
    if where["exchange1"] == where["exchange2"]:
        raise Refused(400, "exchange2: it is the same as exchange1; an opportunity needs two")
    reader = _reader()
    pieces = ndjson.encoded(_events(reader, where), ndjson.OPPORTUNITIES)
    return await _streamed(ndjson.warned(pieces, reader), {})


# --- one chart -----------------------------------------------------------------------------------


async def _one_chart(
    config: MarketConfig, query: dict[str, str], within: Range, points: int | None
) -> HttpResponseBase:
    terms = await in_thread(lambda: pair_terms(config, query))
    reader = _reader()
    found = await in_thread(lambda: chart_points(reader, terms, within.start_us, within.end_us))
    sources, frames = found
    if points:
        frames = _thin(frames, points, within)
    answer = Answer(ndjson.warned(ndjson.encoded(frames, ndjson.POINTS), reader))
    if not await answer.begins():
        raise Refused(404, await in_thread(lambda: _what_there_is(reader, terms, within)))
    return _response(answer, {"X-History-Source": ", ".join(sources)})


def pair_terms(config: MarketConfig, query: dict[str, str]) -> Terms:
    """The chart a query names. Raises Refused; reads the lake for what is not configured."""
    symbol, first, second = required(query, "symbol", "exchange1", "exchange2")
    exchange1 = exchange_named(config, first, "exchange1")
    exchange2 = exchange_named(config, second, "exchange2")
    if exchange1 == exchange2:
        raise Refused(400, "exchange2: it is the same as exchange1; a spread needs two")
    return Terms.of(config, symbol_named(config, _reader(), symbol), exchange1, exchange2)


def _what_there_is(reader: LakeReader, terms: Terms, within: Range) -> str:
    chart = f"{terms.symbol} on {terms.exchange1} and {terms.exchange2}"
    asked = f"from {shown_time(within.start_us)} to {shown_time(within.end_us)}"
    there = [
        f"quotes of {exchange} {_shown(reader.range('quotes', symbol=terms.symbol, exchange=exchange))}"
        for exchange in (terms.exchange1, terms.exchange2)
    ]
    return f"nothing was recorded of {chart} {asked}; there are {', '.join(there)}"


def _shown(found: tuple[int, int] | None) -> str:
    return "at no time" if found is None else f"from {shown_time(found[0])} to {shown_time(found[1])}"


# --- all charts of a filter ----------------------------------------------------------------------


def _chart_lines(
    config: MarketConfig, charts: list[ChartDelta], within: Range, points: int
) -> Iterator[bytes]:
    """A line per chart, as in a snapshot of docs/messages.md, with the state of now."""
    reader = _reader()
    for chart in charts:
        terms = Terms.of(config, chart.symbol, chart.exchange1, chart.exchange2)
        _sources, frames = chart_points(reader, terms, within.start_us, within.end_us)
        thin = _thin(frames, points, within)
        rows = [no_points(), *(f.select(POINT_COLUMNS).to_numpy() for f in thin)]
        yield wire.chart_json(structs.replace(chart, points=np.concatenate(rows))) + b"\n"
    yield from ndjson.warned((), reader)


def _thin(frames: Iterator[pl.DataFrame], points: int, within: Range) -> Iterator[pl.DataFrame]:
    return thinned(frames, points, within.start_us, within.end_us, clock="ts_us", values=POINT_VALUES)


# --- what they share -----------------------------------------------------------------------------


def _reader() -> LakeReader:
    return LakeReader(Lake.from_settings())


async def _instrument(query: dict[str, str], within: Range) -> Where:
    """The names and the range of a query, as the lake spells them."""
    config = await sync_to_async(load_config)()
    where: Where = {"start_us": within.start_us, "end_us": within.end_us}
    for name in ("exchange", "exchange1", "exchange2"):
        if query.get(name):
            where[name] = exchange_named(config, query[name], name)
    where["symbol"] = await in_thread(lambda: symbol_named(config, _reader(), query["symbol"]))
    return where


def _states(reader: LakeReader, where: Where, within: Range) -> Iterator[pl.DataFrame]:
    """Each exchange's last state before the range, and the states in it."""
    snapshot = reader.snapshot("stream_states")
    names: Where = {"symbol": [str(where["symbol"]), ""]}
    if exchange := where.get("exchange"):
        names["exchange"] = [str(exchange), ""]
    earlier: Where = {"start_us": within.start_us - _DAY_US, "end_us": within.start_us}
    before = snapshot.scan(**(names | earlier))
    standing = before.filter(pl.col("state") != "gap").sort("received_ts_us").group_by("exchange").last()
    yield standing.sort("received_ts_us").collect()
    yield from snapshot.frames(**(names | {"start_us": within.start_us, "end_us": within.end_us}))


def _events(reader: LakeReader, where: Where) -> Iterator[pl.DataFrame]:
    """A pair's events, whichever way round they were kept, in terms of the way round that is asked for."""
    exchange1 = str(where["exchange1"])
    pair = [exchange1, str(where["exchange2"])]
    for rows in reader.snapshot("opportunities").frames(**(where | {"exchange1": pair, "exchange2": pair})):
        others = turned(rows.filter(pl.col("exchange1") != exchange1))
        yield pl.concat([rows.filter(exchange1=exchange1), others]).sort("ts_us", maintain_order=True)


async def _streamed(pieces: Iterator[bytes], headers: dict[str, str]) -> StreamingHttpResponse:
    answer = Answer(pieces)
    await answer.begins()  # a failure is still a 503
    return _response(answer, headers)


def _response(answer: Answer, headers: dict[str, str]) -> StreamingHttpResponse:
    return StreamingHttpResponse(answer, content_type="application/x-ndjson", headers=headers)
