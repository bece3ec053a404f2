"""A made market: quotes and trades of two symbols on three exchanges, in the store and in a lake."""

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from django.db import connection as django_connection
from psycopg.conninfo import make_conninfo

from history.lake.schema import SCHEMAS
from history.lake.tables import Lake
from markets.events import Quote, Side, Trade
from orderbook.ingest.events import Top5
from orderbook.ingest.writer import Writer
from orderbook.store.choice import engine_of
from tests.support.lakes.lake_data import write

KEYS = [(symbol, exchange) for symbol in ("BTC/USDT", "ETH/USDT") for exchange in ("bybit", "gate", "okx")]
Events = list[Quote | Trade | Top5]


def dsn() -> str:
    """The suite's database, as libpq reads it."""
    known = django_connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    return make_conninfo(**{name: known[name] for name in names if known.get(name)})


def walk(start: datetime, seconds: int, seed: int = 1, quiet: Sequence[range] = ()) -> Events:
    """Random walks, sorted by time; nobody quotes in the seconds of `quiet`, counted from the start."""
    chance = random.Random(seed)
    start_us = int(start.timestamp()) * 1_000_000
    fair = dict.fromkeys(("BTC/USDT", "ETH/USDT"), 1000.0)
    offset = dict.fromkeys(KEYS, 0.0)
    events: Events = []
    for second in range(seconds):
        for symbol in fair:
            fair[symbol] += chance.choice((-0.25, 0.0, 0.25))
        if any(second in each for each in quiet):
            continue
        for key in KEYS:
            offset[key] = 0.9 * offset[key] + chance.gauss(0, 0.2)
            mid = fair[key[0]] + offset[key]
            events += _second(chance, key, start_us + second * 1_000_000, mid)
    return sorted(events, key=lambda event: event.received_ts_us)


def _second(chance: random.Random, key: tuple[str, str], start_us: int, mid: float) -> Iterator[Any]:
    symbol, exchange = key
    times = sorted(chance.randrange(1_000_000) for _ in range(chance.randrange(4)))
    for at_us in times:
        half = chance.choice((0.05, 0.1, 0.15))
        sizes = [chance.expovariate(1) + 0.001 for _ in range(10)]
        at = start_us + at_us
        yield Quote(exchange, symbol, mid - half, sizes[0], mid + half, sizes[1], at - 900, at)
        if chance.random() < 0.3:
            side: Side | None = chance.choice(("buy", "sell", None))
            yield Trade(exchange, symbol, mid, sizes[2], side, str(at), at - 900, at)
        if exchange == "okx":
            prices = [mid + half + n for n in range(5)]
            yield Top5(
                exchange, symbol, tuple(prices), tuple(sizes[:5]), tuple(prices), tuple(sizes[5:]), None, at
            )


def store_events(store: psycopg.Connection[Any], events: Events, *, roll_up: bool = True) -> None:
    """Write events as ingest does; second bars are renewed if asked."""
    Writer(engine_of(store)).write(store, events)
    if roll_up:
        for table in ("book_ticker", "trades"):
            while engine_of(store).roll_up(store, table, 1000):
                pass


def lake_of(place: Path, events: Events) -> Lake:
    """A lake with the quotes and trades of these events."""
    lake = Lake(str(place / "lake"))
    for table, kind in (("quotes", Quote), ("trades", Trade)):
        rows = [event for event in events if isinstance(event, kind)]
        names = [name for name in SCHEMAS[table].names if name not in ("date", "hour")]
        write(lake, table, {name: [getattr(row, name) for row in rows] for name in names})
    return lake
