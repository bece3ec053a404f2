"""Funding as it was recorded: of one swap, and the difference of two, in the terms of 8 h."""

from collections.abc import Iterator
from typing import Final

import polars as pl
from msgspec import Struct

from accounts.access.guard import symbol_of
from core.names.market_keys import SWAP, coin_symbol, exchange_of, market_key
from core.web.refused import Refused
from engine.funding.rates import per_8h
from history.read.asked import Range, exchange_named, names_near
from history.read.reader import HOUR_US, LakeReader
from markets.config import MarketConfig

HOLDS_US: Final = HOUR_US + 600_000_000
"""How long a row stands: the next is written with the first event of the next hour (history.write.swaps)."""

_KNOWN: Final = pl.col("rate_of") == "next"
"""A rate received right after a settlement may be the old one: unknown for the new interval."""

_VALUE: Final = pl.when(_KNOWN).then(per_8h(pl.col("rate"), pl.col("interval_s")))


class Swap(Struct, frozen=True):
    """A swap as the lake names it: its market's key and full symbol; `coin` is what it counts as."""

    exchange: str
    symbol: str
    coin: str


def swap_named(config: MarketConfig, reader: LakeReader, symbol: str, exchange: str, parameter: str) -> Swap:
    """The swap that a request names, by its own symbol or its coin's. Raises Refused naming the parameter.

    Reads the newest hour of funding and of marks for what is not configured.
    """
    at = market_key(exchange_of(exchange_named(config, exchange_of(exchange), parameter)), SWAP)
    own = [listing for listing in config.listings if listing.exchange == at]
    names = {each.counts_as: each.symbol for each in own} | {each.symbol: each.symbol for each in own}
    if (found := symbol_of(names, symbol)) is None:
        recorded = _recorded_of_late(reader, at)
        names |= {coin_symbol(each): each for each in recorded} | {each: each for each in recorded}
        found = symbol_of(names, symbol)
    if found is None:
        near = names_near(symbol, names)
        raise Refused(404, f"symbol: no swap of {symbol!r} on {at} is listed or was recorded; {near}")
    coins = {each.symbol: each.counts_as for each in own}
    return Swap(at, names[found], coins.get(names[found]) or coin_symbol(names[found]))


def funding_rows(
    reader: LakeReader, swap: Swap, within: Range, points: int | None = None
) -> Iterator[pl.DataFrame]:
    """The lake's rows and `per_8h`, oldest first; the first, with its own older time, stood at the start.

    `per_8h` is null where the rate of the coming settlement is unknown. With `points` at most so many rows.
    """
    found = _read(reader, swap, within)
    before = found.filter(pl.col("received_ts_us") < within.start_us).tail(1)
    inside = found.filter(pl.col("received_ts_us") >= within.start_us)
    yield pl.concat([before, thinned(inside, points, within, "received_ts_us", "per_8h")])


def funding_spread(
    reader: LakeReader, one: Swap, other: Swap, within: Range, points: int | None = None
) -> Iterator[pl.DataFrame]:
    """`ts_us`, `per_8h1`, `per_8h2` and their difference `spread`, at the start and whenever one changes.

    Each is as it was known then; null where it was not, or where nothing was received for HOLDS_US.
    """
    swaps = one, other
    legs = [_read(reader, swap, within).select(ts_us="received_ts_us", value="per_8h") for swap in swaps]
    ts = pl.col("ts_us")
    times = [leg.select(ts + after) for leg in legs for after in (0, HOLDS_US + 1)]
    at = pl.concat([pl.DataFrame({"ts_us": [within.start_us]}), *times]).unique().sort("ts_us")
    at = at.filter(ts.is_between(within.start_us, within.end_us, closed="left"))
    for name, leg in zip(("per_8h1", "per_8h2"), legs, strict=True):
        at = at.join_asof(leg.rename({"value": name}), on="ts_us", tolerance=HOLDS_US)
    values = pl.struct("per_8h1", "per_8h2")
    changed = at.filter(values.ne_missing(values.shift()).fill_null(True) | (pl.int_range(pl.len()) == 0))
    spread = changed.with_columns(spread=pl.col("per_8h1") - pl.col("per_8h2"))
    yield thinned(spread, points, within, "ts_us", "spread")


def thinned(rows: pl.DataFrame, points: int | None, within: Range, clock: str, value: str) -> pl.DataFrame:
    """At most so many rows: of each equal stretch the lowest, the highest, the first unknown and the last."""
    if points is None or len(rows) <= points:
        return rows
    stretch = (pl.col(clock) - within.start_us) * (points // 4) // (within.end_us - within.start_us)
    place, known = pl.int_range(pl.len()), pl.col(value).is_not_null()
    kept = rows.with_columns(stretch.alias("stretch"), place.alias("place"))
    places = kept.group_by("stretch").agg(
        lowest=pl.col("place").get(pl.col(value).arg_min()),
        highest=pl.col("place").get(pl.col(value).arg_max()),
        unknown=pl.col("place").filter(~known).first(),
        last=pl.col("place").last(),
    )
    chosen = pl.concat([places[name] for name in ("lowest", "highest", "unknown", "last")]).drop_nulls()
    return rows[chosen.unique().sort()]


def _read(reader: LakeReader, swap: Swap, within: Range) -> pl.DataFrame:
    """The swap's rows, from those that may stand at the start on."""
    scan = reader.scan(
        "funding",
        symbol=swap.symbol,
        exchange=swap.exchange,
        start_us=within.start_us - HOLDS_US,
        end_us=within.end_us,
    )
    return scan.sort("received_ts_us", "received_mono_ns").with_columns(per_8h=_VALUE).collect()


def _recorded_of_late(reader: LakeReader, exchange: str) -> set[str]:
    found: set[str] = set()
    for table in ("funding", "marks"):
        snapshot = reader.snapshot(table)
        if newest_us := snapshot.files["max.clock"].max():
            found.update(snapshot.symbols(exchange=exchange, start_us=int(newest_us) - HOUR_US))  # type: ignore[arg-type]
    return found
