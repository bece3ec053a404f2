"""An episode tick by tick: its edge and spread, from the recorded quotes of both its legs.

The pairs that only the scanner compares have no stored spreads, so both legs' quotes are paired
anew: each leg's last quote counts while its line lives, as it does for the scanner.
"""

from collections.abc import Iterator
from typing import Final

import polars as pl
from msgspec import Struct

from history.pairing import Pairing, Terms
from history.reader import LakeReader
from history.schema import started_shard
from markets.config import ListingConfig, MarketConfig
from markets.fee_book import Fees
from markets.selection import listed
from realtime.gates import quote_of
from realtime.models import OpportunityEpisode

LOOK_BACK_US: Final = 300_000_000
"""How far back each leg's last quote before the range is sought."""

_QUOTE_COLUMNS: Final = (
    "exchange", "bid", "bid_size", "ask", "ask_size", "received_ts_us", "received_mono_ns",
)  # fmt: skip
_STATE_COLUMNS: Final = ("exchange", "state", "reason", "received_ts_us", "received_mono_ns")


class Leg(Struct, frozen=True):
    """A side as its exchange lists it; a price times `scale` is one in the episode's symbol.

    `price` is its bid at the opening, in terms of the symbol: it tells the rate of a leg in another currency.
    """

    exchange: str
    symbol: str
    multiplier: float
    converted: bool
    price: float


def legs_of(config: MarketConfig, row: OpportunityEpisode) -> tuple[Leg, Leg]:
    """Where the episode's quotes are recorded: exchange1's, exchange2's."""
    opened = row.opened
    prices = {leg.exchange: leg.bid for leg in (opened.buy, opened.sell)}
    one, two = (_leg(config, row.symbol, key, prices[key]) for key in (row.exchange1, row.exchange2))
    return one, two


def _leg(config: MarketConfig, symbol: str, exchange: str, price: float) -> Leg:
    listing: ListingConfig | None = listed(config).get(symbol, {}).get(exchange)
    if listing is None:
        return Leg(exchange, symbol, 1.0, False, price)
    return Leg(exchange, listing.symbol, listing.multiplier, listing.quote != quote_of(symbol), price)


def ticks(
    reader: LakeReader, config: MarketConfig, row: OpportunityEpisode, start_us: int, end_us: int
) -> Iterator[pl.DataFrame]:
    """`ts_us`, `edge` (bps), `spread` (percent), `size`; null in gaps. Fees are those of today."""
    fees, known = Fees(config), {exchange.key for exchange in config.exchanges}
    one, two = legs_of(config, row)
    fee1, fee2 = (
        fees.taker(key, row.symbol) if key in known else 0.0 for key in (row.exchange1, row.exchange2)
    )
    terms = Terms(row.symbol, row.exchange1, row.exchange2, None, fee1, fee2)
    way = "12" if row.sell_on == row.exchange1 else "21"
    opened_us = row.opened.ts_us
    quotes = pl.concat([_quotes(reader, leg, opened_us, start_us, end_us) for leg in (one, two)])
    pairing = Pairing(terms)
    points = [pairing.feed(quotes, _states(reader, row.symbol, (one, two), start_us, end_us))]
    points.append(pairing.end(end_us))
    line = pl.concat(points, how="diagonal").select(
        "ts_us", "spread", edge=pl.col(f"edge{way}"), size=pl.col(f"size{way}")
    )
    before = line.filter(pl.col("ts_us") < start_us).tail(1).with_columns(ts_us=pl.lit(start_us, pl.Int64))
    yield pl.concat([before, line.filter(pl.col("ts_us") >= start_us)])


def _quotes(reader: LakeReader, leg: Leg, opened_us: int, start_us: int, end_us: int) -> pl.DataFrame:
    scan = reader.scan(
        "quotes",
        columns=_QUOTE_COLUMNS,
        symbol=leg.symbol,
        exchange=leg.exchange,
        start_us=start_us - LOOK_BACK_US,
        end_us=end_us,
    )
    quotes = scan.sort("received_ts_us", maintain_order=True).collect()
    scale = 1 / leg.multiplier
    if leg.converted:
        known = quotes.filter(pl.col("received_ts_us") <= opened_us)["bid"]
        scale = leg.price / known[-1] if len(known) else scale
    prices, sizes = pl.col("bid", "ask") * scale, pl.col("bid_size", "ask_size") * leg.multiplier
    return quotes.with_columns(prices, sizes)


def _states(
    reader: LakeReader, symbol: str, legs: tuple[Leg, Leg], start_us: int, end_us: int
) -> pl.DataFrame:
    """What interrupted the legs; where a collector began, what was known before counts no more."""
    scan = reader.scan(
        "stream_states",
        columns=_STATE_COLUMNS,
        symbol=sorted({leg.symbol for leg in legs} | {""}),
        exchange=[*(leg.exchange for leg in legs), ""],
        start_us=start_us - LOOK_BACK_US,
        end_us=end_us,
    )
    states = scan.sort("received_ts_us", maintain_order=True).collect()
    shards = [started_shard(reason) for reason in states["reason"]]
    begins = pl.Series([shard is not None for shard in shards], dtype=pl.Boolean)
    ours = pl.Series([shard is None or shard.owns(symbol) for shard in shards], dtype=pl.Boolean)
    states = states.with_columns(state=pl.when(begins).then(pl.lit("gap")).otherwise("state"))
    return states.filter(ours).drop("reason")
