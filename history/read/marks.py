"""Mark and index price of one swap as they were recorded, and the distance of the two."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from history.read.asked import Range
from history.read.funding import HOLDS_US, Swap, thinned
from history.read.reader import LakeReader
from history.read.unseen import unseen_of

_BOTH: Final = (pl.col("mark") > 0) & (pl.col("index") > 0)
_COLUMNS: Final = ("received_ts_us", "mark", "index", "mark_index_pct")


def mark_rows(
    reader: LakeReader, swap: Swap, within: Range, points: int | None = None
) -> Iterator[pl.DataFrame]:
    """`received_ts_us`, `mark`, `index` and `mark_index_pct` (mark ÷ index − 1, per cent), oldest first.

    A row stands until the next one; the first, with its own older time, stood at the start. Null is unknown:
    what was not said, and from when a stream was down, something was lost or nobody collected until the next
    row. With `points` at most so many rows and one.
    """
    scan = reader.scan(
        "marks",
        columns=["mark", "index", "received_ts_us"],
        symbol=swap.symbol,
        exchange=swap.exchange,
        start_us=within.start_us - HOLDS_US,
        end_us=within.end_us,
    )
    distance = pl.when(_BOTH).then((pl.col("mark") / pl.col("index") - 1) * 100)
    said = scan.sort("received_ts_us").with_columns(mark_index_pct=distance).select(_COLUMNS).collect()
    breaks = pl.DataFrame({"received_ts_us": _breaks(reader, swap, within, said)})
    found = pl.concat([said, breaks], how="diagonal").sort("received_ts_us", maintain_order=True)
    at = pl.col("received_ts_us")
    before = found.filter(at < within.start_us).tail(1).drop_nulls("mark_index_pct")
    inside = found.filter(at.is_between(within.start_us, within.end_us, closed="left"))
    yield pl.concat([before, thinned(inside, points, within, "received_ts_us", "mark_index_pct")])


def _breaks(reader: LakeReader, swap: Swap, within: Range, said: pl.DataFrame) -> pl.Series:
    """Times from which on a row before them no longer stands."""
    at = pl.col("received_ts_us")
    start_us, end_us = within.start_us - HOLDS_US, within.end_us
    states = reader.scan(
        "stream_states",
        columns=["state", "received_ts_us"],
        symbol=[swap.symbol, ""],
        exchange=swap.exchange,
        start_us=start_us,
        end_us=end_us,
    )
    down = states.filter(pl.col("state") == "down").select(since=at, until=at).collect()
    lost = unseen_of(reader, swap.coin, [(swap.exchange, swap.symbol)], start_us, end_us)
    stretches = pl.concat([down, pl.DataFrame(lost, schema=down.schema, orient="row")]).sort("until")
    times = said.select("received_ts_us", last="received_ts_us").set_sorted("received_ts_us")
    ended = stretches.join_asof(
        times, left_on="until", right_on="received_ts_us", allow_exact_matches=False
    ).drop_nulls("last")
    broken = ended.select(pl.max_horizontal("since", pl.col("last") + 1)).to_series()
    last_us = said["received_ts_us"]
    old = last_us.filter((last_us.shift(-1) - last_us > HOLDS_US).fill_null(True)) + HOLDS_US
    return pl.concat([broken.cast(pl.Int64), old])
