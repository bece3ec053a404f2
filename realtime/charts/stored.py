"""`/api/dashboard_data`: the stored points of one chart, or of all charts of a filter as they stand now."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl
from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from msgspec import structs

from accounts.access.guard import api
from core.clock.times import shown_time
from core.web.refused import Refused
from engine.charts.batch import Terms
from engine.charts.points import POINT_COLUMNS, ChartDelta, no_points
from history.read import ndjson
from history.read.answers import lake_reader, limited, response, streamed
from history.read.asked import Range, asked_points, asked_range, pair_terms, swaps_named
from history.read.reader import LakeReader
from history.read.reading import Answer, in_thread
from history.read.spreads import chart_points
from history.read.thinning import thinned
from markets.config import MarketConfig
from markets.selectors import load_config
from realtime.charts import wire
from realtime.charts.api import charts_of, named_filter
from realtime.charts.hub import process_hub

CHART_POINTS: Final = 1000
"""Points of each chart when all of a filter are asked for."""

POINT_VALUES: Final = ("spread", "edge12", "edge21")
"""What of a chart's points keeps its extremes where they are thinned: what money hangs on."""


@api("symbol", "exchange1", "exchange2", "filter", "start", "end", "points")
@limited
async def dashboard_data(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/dashboard_data`: points of one chart, or all charts of a filter, one per line."""
    query = request.GET.dict()
    within, points = asked_range(query), asked_points(query)
    also = swaps_named(query.get("symbol"), query.get("exchange1"), query.get("exchange2"))
    config = await sync_to_async(load_config)(also)
    if query.get("symbol", "").strip():
        return await _one_chart(config, query, within, points)
    for name in ("exchange1", "exchange2"):
        if query.get(name):
            raise Refused(400, f"{name}: it goes with symbol; this takes symbol, exchange1, exchange2")
    chosen = charts_of(config, named_filter(config, query.get("filter")))
    book = process_hub().book
    charts: list[ChartDelta] = [book.chart(o.id) for o in chosen]
    return await streamed(_chart_lines(config, charts, within, points or CHART_POINTS))


# --- one chart -----------------------------------------------------------------------------------


async def _one_chart(
    config: MarketConfig, query: dict[str, str], within: Range, points: int | None
) -> HttpResponseBase:
    terms = await in_thread(lambda: pair_terms(config, lake_reader(), query))
    reader = lake_reader()
    found = await in_thread(lambda: chart_points(reader, terms, within.start_us, within.end_us))
    sources, frames = found
    if points:
        frames = _thin(frames, points, within)
    answer = Answer(ndjson.warned(ndjson.encoded(frames, ndjson.POINTS), reader))
    if not await answer.begins():
        raise Refused(404, await in_thread(lambda: _what_there_is(config, reader, terms, within)))
    return response(answer, {"X-History-Source": ", ".join(sources)})


def _what_there_is(config: MarketConfig, reader: LakeReader, terms: Terms, within: Range) -> str:
    names = {row.key: row.name for row in config.exchanges}
    one, two = (names[leg.exchange] for leg in terms.legs)
    chart = f"{terms.symbol} on {one} and {two}"
    asked = f"from {shown_time(within.start_us)} to {shown_time(within.end_us)}"
    there = [
        f"quotes of {name} {_shown(reader.range('quotes', symbol=leg.symbol, exchange=leg.exchange))}"
        for leg, name in zip(terms.legs, (one, two), strict=True)
    ]
    return f"nothing was recorded of {chart} {asked}; there are {', '.join(there)}"


def _shown(found: tuple[int, int] | None) -> str:
    return "at no time" if found is None else f"from {shown_time(found[0])} to {shown_time(found[1])}"


# --- all charts of a filter ----------------------------------------------------------------------


def _chart_lines(
    config: MarketConfig, charts: list[ChartDelta], within: Range, points: int
) -> Iterator[bytes]:
    """A line per chart, as in a snapshot of docs/messages.md, with the state of now."""
    reader = lake_reader()
    for chart in charts:
        terms = Terms.of(config, chart.symbol, chart.exchange1, chart.exchange2)
        _sources, frames = chart_points(reader, terms, within.start_us, within.end_us)
        thin = _thin(frames, points, within)
        rows = [no_points(), *(f.select(POINT_COLUMNS).to_numpy() for f in thin)]
        yield wire.chart_json(structs.replace(chart, points=np.concatenate(rows))) + b"\n"
    yield from ndjson.warned((), reader)


def _thin(frames: Iterator[pl.DataFrame], points: int, within: Range) -> Iterator[pl.DataFrame]:
    return thinned(frames, points, within.start_us, within.end_us, clock="ts_us", values=POINT_VALUES)
