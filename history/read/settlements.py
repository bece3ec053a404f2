"""Settlements of a swap's funding that are over, and what they charged, as it was recorded."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from history.read.asked import Range
from history.read.funding import HOLDS_US, Swap
from history.read.reader import LakeReader

SAID_WITHIN_US: Final = 24 * 3_600_000_000
"""How long after a settlement it is sought what it charged: exchanges say it until the next one."""

_NEAR_US: Final = 60_000_000
"""Times of a settlement, announced and said afterwards, that are this near are the same one."""

_TIME: Final = "settled_ts_us"


def settlement_rows(reader: LakeReader, swap: Swap, within: Range, now_us: int) -> Iterator[pl.DataFrame]:
    """Each settlement in the range that is over: its time, `rate` and `published`, oldest first.

    `rate` is what was charged, null where the exchange did not say it; `published` the last rate that was
    said to form for it before, null where none was.
    """
    rows = (
        reader.scan(
            "funding",
            symbol=swap.symbol,
            exchange=swap.exchange,
            start_us=within.start_us - HOLDS_US,
            end_us=min(within.end_us + SAID_WITHIN_US, now_us),
        )
        .sort("received_ts_us", "received_mono_ns")
        .collect()
    )
    charged = rows.drop_nulls(["settled_rate", _TIME]).unique(_TIME, keep="last")
    charged = charged.select(_TIME, rate="settled_rate").sort(_TIME)
    passed = _passed(rows).filter(pl.col(_TIME) <= now_us)
    both = passed.join_asof(
        charged.with_columns(said=_TIME), on=_TIME, strategy="nearest", tolerance=_NEAR_US
    )
    others = charged.join(both.select(pl.col("said").alias(_TIME)), on=_TIME, how="anti")
    found = pl.concat([both.drop("said"), others], how="diagonal").sort(_TIME)
    yield found.filter(pl.col(_TIME).is_between(within.start_us, within.end_us, closed="left"))


def _passed(rows: pl.DataFrame) -> pl.DataFrame:
    """Settlements that were the next ones when their time came, with the rate that was said last before."""
    times = rows.select(pl.col("next_ts_us").alias(_TIME)).drop_nulls().unique().sort(_TIME)
    before = rows.select("received_ts_us", "next_ts_us", "rate", "rate_of")
    last = times.join_asof(
        before, left_on=_TIME, right_on="received_ts_us", allow_exact_matches=False, tolerance=HOLDS_US
    )
    is_of = pl.col("rate_of") == "next"
    return last.filter(pl.col("next_ts_us") == pl.col(_TIME)).select(
        _TIME, published=pl.when(is_of).then("rate")
    )
