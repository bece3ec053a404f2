"""An episode tick by tick: its edge and spread, from the recorded quotes of both its legs.

The pairs that only the scanner compares have no stored spreads, so both legs' quotes are paired
again: each leg's last quote counts while its line lives, as it does for the scanner.
"""

from collections.abc import Iterator
from typing import Final

import polars as pl

from engine.charts.batch import Pairing, Terms
from history.lake.schema import started_shard
from history.read.legs import RecordedRates
from history.read.reader import LakeReader
from markets.config import MarketConfig
from markets.events import Moment
from opportunities.models import OpportunityEpisode

LOOK_BACK_US: Final = 300_000_000
"""How far back each leg's last quote before the range is sought."""

_QUOTE_COLUMNS: Final = (
    "exchange", "bid", "bid_size", "ask", "ask_size", "received_ts_us", "received_mono_ns", "late_us",
)  # fmt: skip
_STATE_COLUMNS: Final = ("exchange", "state", "reason", "received_ts_us", "received_mono_ns")


def ticks(
    reader: LakeReader, config: MarketConfig, row: OpportunityEpisode, start_us: int, end_us: int
) -> Iterator[pl.DataFrame]:
    """`ts_us`, `edge` (bps), `spread` (percent) and `size` of the direction; null in gaps.

    Fees are those of the day (`markets.fees.schedules`), listings those of today.
    """
    terms = Terms.of(config, row.symbol, row.exchange1, row.exchange2, any_age=True)
    way = "12" if row.sell_on == row.exchange1 else "21"
    pairing = Pairing(terms)
    points = [pairing.feed(*_recorded(reader, terms, row.opened, start_us - LOOK_BACK_US, end_us))]
    points.append(pairing.end(end_us))
    spread = pl.col("spread") if way == "12" else (1 / (1 + pl.col("spread") / 100) - 1) * 100
    line = pl.concat(points, how="diagonal").select(
        "ts_us", spread.alias("spread"), edge=pl.col(f"edge{way}"), size=pl.col(f"size{way}")
    )
    before = line.filter(pl.col("ts_us") < start_us).tail(1).with_columns(ts_us=pl.lit(start_us, pl.Int64))
    yield pl.concat([before, line.filter(pl.col("ts_us") >= start_us)])


def _recorded(
    reader: LakeReader, terms: Terms, opened: Moment, start_us: int, end_us: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both legs' quotes in the terms of the symbol, and what interrupted them.

    Where a collector began, what was known before does not count any more.
    """
    symbols, exchanges = sorted({leg.symbol for leg in terms.legs}), [terms.exchange1, terms.exchange2]
    prices = {leg.exchange: leg.bid for leg in (opened.buy, opened.sell)}
    rates = RecordedRates(reader, terms.legs, start_us, end_us)
    scan = reader.scan("quotes", symbol=symbols, exchange=exchanges, start_us=start_us, end_us=end_us)
    for leg in terms.legs:
        if leg.needs is not None:  # what it was compared at then says the rate, where nobody recorded it
            before = scan.filter(leg.recorded, pl.col("received_ts_us") <= opened.ts_us)
            known = before.sort("received_ts_us").last().collect()["bid"]
            if len(known):
                rates.assume(leg, prices[leg.exchange] * leg.multiplier / known[0])
    quotes = rates.in_terms(scan.sort("received_ts_us", maintain_order=True), _QUOTE_COLUMNS)
    scan = reader.scan(
        "stream_states",
        columns=_STATE_COLUMNS,
        symbol=[*symbols, ""],
        exchange=[*exchanges, ""],
        start_us=start_us,
        end_us=end_us,
    )
    states = scan.collect()
    shards = [started_shard(reason) for reason in states["reason"]]
    begins = pl.Series([shard is not None for shard in shards], dtype=pl.Boolean)
    ours = pl.Series([shard is None or shard.owns(terms.symbol) for shard in shards], dtype=pl.Boolean)
    states = states.with_columns(state=pl.when(begins).then(pl.lit("gap")).otherwise("state")).filter(ours)
    gone = [rates.interruptions(leg) for leg in terms.legs]
    states = pl.concat([states.drop("reason"), *gone], how="diagonal")
    return quotes, states.sort("received_ts_us", maintain_order=True)
