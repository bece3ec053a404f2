"""The HTTP API of the lake: NDJSON, streamed. Errors are `{"error": "…"}`; the tables are in docs/api.md."""

import time
from collections.abc import Iterator
from typing import Final

import polars as pl
from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.access.guard import api
from core.names.market_keys import SWAP, exchange_of, key_of, market_of_symbol
from core.web.refused import Refused
from engine.charts.batch import Leg, leg_of
from history.read import ndjson
from history.read.answers import lake_reader, limited, streamed
from history.read.asked import Range, asked_points, asked_range, exchange_named, required, symbol_named
from history.read.funding import Swap, funding_rows, funding_spread, swap_named
from history.read.marks import mark_rows
from history.read.reader import LakeReader, Where
from history.read.reading import in_thread
from history.read.settlements import settlement_rows
from history.read.spreads import turned
from history.read.volume import summed
from markets.config import MarketConfig
from markets.selectors import load_config

_DAY_US: Final = 86_400_000_000


@api("symbol", "exchange", "start", "end", "points")
@limited
async def trades(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/trades`: a symbol's trades; `points` sums them per side and stretch."""
    query = request.GET.dict()
    required(query, "symbol", "exchange")
    within, points = asked_range(query), asked_points(query)
    config, where = await _named(query, within)
    (leg,) = _legs(config, where)
    reader = lake_reader()
    frames = reader.snapshot("trades").frames(**(where | {"symbol": leg.symbol, "exchange": leg.exchange}))
    if points:
        frames = summed(frames, points, within.start_us, within.end_us)
    return await streamed(ndjson.warned(ndjson.encoded(frames, ndjson.TRADES), reader))


@api("symbol", "exchange", "start", "end")
@limited
async def states(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/states`: what happened to the streams of a symbol, and how they stood before."""
    query = request.GET.dict()
    required(query, "symbol")
    within = asked_range(query)
    config, where = await _named(query, within)
    reader = lake_reader()
    pieces = ndjson.encoded(_states(reader, _legs(config, where), within), ndjson.STATES)
    return await streamed(ndjson.warned(pieces, reader))


@api("symbol", "exchange1", "exchange2", "start", "end")
@limited
async def opportunities(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/opportunities`: when a chart began and ceased to pass a filter."""
    query = request.GET.dict()
    required(query, "symbol", "exchange1", "exchange2")
    _config, where = await _named(query, asked_range(query))
    if where["exchange1"] == where["exchange2"]:
        raise Refused(400, "exchange2: it is the same as exchange1; an opportunity needs two")
    reader = lake_reader()
    pieces = ndjson.encoded(_events(reader, where), ndjson.OPPORTUNITIES)
    return await streamed(ndjson.warned(pieces, reader))


@api("symbol", "exchange", "start", "end", "points")
@limited
async def funding(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/funding`: a swap's funding whenever it changed, and how it stood before."""
    query = request.GET.dict()
    required(query, "symbol", "exchange")
    within, points = asked_range(query), asked_points(query)
    (swap,) = await _swaps(query, "exchange")
    reader = lake_reader()
    pieces = ndjson.encoded(funding_rows(reader, swap, within, points), ndjson.FUNDING)
    return await streamed(ndjson.warned(pieces, reader))


@api("symbol", "exchange1", "exchange2", "start", "end", "points")
@limited
async def spread_of_funding(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/funding_spread`: the difference of two swaps' funding per 8 h."""
    query = request.GET.dict()
    required(query, "symbol", "exchange1", "exchange2")
    within, points = asked_range(query), asked_points(query)
    one, other = await _swaps(query, "exchange1", "exchange2")
    if one == other:
        raise Refused(400, "exchange2: it is the same as exchange1; a spread needs two")
    reader = lake_reader()
    frames = funding_spread(reader, one, other, within, points)
    return await streamed(ndjson.warned(ndjson.encoded(frames, ndjson.FUNDING_SPREAD), reader))


@api("symbol", "exchange", "start", "end", "points")
@limited
async def marks(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/marks`: a swap's mark and index price whenever they changed, and how they stood
    before."""
    query = request.GET.dict()
    required(query, "symbol", "exchange")
    within, points = asked_range(query), asked_points(query)
    (swap,) = await _swaps(query, "exchange")
    reader = lake_reader()
    pieces = ndjson.encoded(mark_rows(reader, swap, within, points), ndjson.MARKS)
    return await streamed(ndjson.warned(pieces, reader))


@api("symbol", "exchange", "start", "end")
@limited
async def settlements(request: HttpRequest) -> HttpResponseBase:
    """`GET /api/history/settlements`: a swap's settlements that are over, and what they charged."""
    query = request.GET.dict()
    required(query, "symbol", "exchange")
    within = asked_range(query)
    (swap,) = await _swaps(query, "exchange")
    reader = lake_reader()
    rows = settlement_rows(reader, swap, within, time.time_ns() // 1000)
    return await streamed(ndjson.warned(ndjson.encoded(rows, ndjson.SETTLEMENTS), reader))


# --- what they share -----------------------------------------------------------------------------


async def _named(query: dict[str, str], within: Range) -> tuple[MarketConfig, Where]:
    """The names and the range of a query, as the lake spells them."""
    config = await sync_to_async(load_config)()
    where: Where = {"start_us": within.start_us, "end_us": within.end_us}
    for name in ("exchange", "exchange1", "exchange2"):
        if query.get(name):
            where[name] = exchange_named(config, query[name], name)
    where["symbol"] = await in_thread(lambda: symbol_named(config, lake_reader(), query["symbol"]))
    return config, where


def _legs(config: MarketConfig, where: Where) -> list[Leg]:
    """Names of a symbol on the exchange that is asked for, or on each."""
    symbol, exchange = str(where["symbol"]), where.get("exchange")
    keys = [str(exchange)] if exchange else [row.key for row in config.exchanges]
    if market_of_symbol(symbol) == SWAP:  # it is a swap's own name
        return [Leg(key, symbol) for key in {key_of(exchange_of(key), symbol) for key in keys}]
    return [leg_of(config, symbol, key) for key in keys]


async def _swaps(query: dict[str, str], *exchanges: str) -> list[Swap]:
    """The swaps of a query, one per exchange that it names."""
    config = await sync_to_async(load_config)()

    def named() -> list[Swap]:
        reader = lake_reader()
        return [swap_named(config, reader, query["symbol"], query[name], name) for name in exchanges]

    return await in_thread(named)


def _states(reader: LakeReader, legs: list[Leg], within: Range) -> Iterator[pl.DataFrame]:
    """Each exchange's last state before the range, and the states in it."""
    snapshot = reader.snapshot("stream_states")
    names: Where = {
        "symbol": [*sorted({leg.symbol for leg in legs}), ""],
        "exchange": [*(leg.exchange for leg in legs), ""],
    }
    of_all = (pl.col("symbol") == "") | (pl.col("exchange") == "")
    ours = pl.any_horizontal(of_all, *(leg.recorded for leg in legs))
    earlier: Where = {"start_us": within.start_us - _DAY_US, "end_us": within.start_us}
    before = snapshot.scan(**(names | earlier)).filter(ours)
    standing = before.filter(pl.col("state") != "gap").sort("received_ts_us").group_by("exchange").last()
    yield standing.sort("received_ts_us").collect()
    inside: Where = {"start_us": within.start_us, "end_us": within.end_us}
    for frame in snapshot.frames(**(names | inside)):
        yield frame.filter(ours)


def _events(reader: LakeReader, where: Where) -> Iterator[pl.DataFrame]:
    """A pair's events, whichever way round they were kept, in terms of the way round that is asked for."""
    exchange1 = str(where["exchange1"])
    pair = [exchange1, str(where["exchange2"])]
    for rows in reader.snapshot("opportunities").frames(**(where | {"exchange1": pair, "exchange2": pair})):
        others = turned(rows.filter(pl.col("exchange1") != exchange1))
        yield pl.concat([rows.filter(exchange1=exchange1), others]).sort("ts_us", maintain_order=True)
