"""Cost of reading the lake, against scripts written by hand; all in one interleaved run.

    python benchmarks/lake/read.py [--rows 10000000]

A day of quotes is made (50 instruments, hourly files as compaction leaves them), of which one chart's
two legs are a twenty-fifth. Three things are measured, medians of 5 rounds:

* the chart's day computed from the quotes, bands included (`history.read.spreads.computed_points`), against
  a polars script over one perfectly sorted file that holds these rows and nothing else;
* the time until the first NDJSON piece of that day, computed and stored;
* NDJSON per row against `json.dumps`.

The day takes half a minute to make and read. The ratios are the point: absolute times are the machine's.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "arbsite.settings")

import numpy as np
import polars as pl

from engine.charts.batch import Terms
from engine.charts.points import POINT_COLUMNS
from history.lake.tables import Lake
from history.read import ndjson
from history.read.reader import LakeReader
from history.read.spreads import chart_points, computed_points
from tests.support.lakes.lake_data import write

DAY_US: Final = 1_760_054_400_000_000  # 2025-10-10
HOUR_US: Final = 3_600_000_000
SYMBOLS: Final = tuple(f"C{number:02}/USDT" for number in range(25))
EXCHANGES: Final = ("binance", "bybit")
TERMS: Final = Terms(SYMBOLS[12], *EXCHANGES, 1000, 0.001, 0.001)
ROUNDS: Final = 5
TARGETS: Final = {"x_of_script": 2.0, "first_byte_ms": 300.0, "x_faster_than_json_dumps": 8.0}


def make_day(lake: Lake, rows: int) -> pl.DataFrame:
    """A day of quotes in hourly files; returns the chart's own rows."""
    rng = np.random.default_rng(7)
    own = []
    for hour in range(24):
        count = rows // 24
        us = DAY_US + hour * HOUR_US + rng.integers(0, HOUR_US, count)
        bid = 100 + np.cumsum(rng.integers(-1, 2, count)) / 10_000
        quotes = pl.DataFrame(
            {
                "symbol": pl.Series(rng.integers(0, 25, count).astype("u4")).cat.to(pl.Enum(SYMBOLS)),
                "exchange": pl.Series(rng.integers(0, 2, count).astype("u4")).cat.to(pl.Enum(EXCHANGES)),
                "bid": bid.round(4), "bid_size": rng.integers(1, 900, count) / 100,
                "ask": (bid + 0.01).round(4), "ask_size": rng.integers(1, 900, count) / 100,
                "exchange_ts_us": us - 20_000, "received_ts_us": us, "received_mono_ns": us * 1000,
                "late_us": 0,
            }
        )  # fmt: skip
        quotes = quotes.sort("symbol", "exchange", "received_ts_us")
        write(lake, "quotes", quotes.with_columns(pl.col("symbol", "exchange").cast(pl.String)))
        own.append(quotes.filter(pl.col("symbol") == TERMS.symbol).drop("symbol"))
    return pl.concat(own).sort("received_ts_us")


def store_points(lake: Lake) -> int:
    """The chart's points as a collector would have stored them."""
    names = [pl.lit(TERMS.symbol).alias("symbol")]
    names += [pl.lit(name).alias(f"exchange{n}") for n, name in enumerate(EXCHANGES, start=1)]
    count = 0
    for frame in computed_points(LakeReader(lake), TERMS, DAY_US, DAY_US + 24 * HOUR_US):
        write(lake, "spreads", frame.with_columns(*names))
        count += len(frame)
    return count


def by_hand(path: Path) -> int:
    """The script somebody would write for just this: points with bands, gaps left out."""
    quotes = pl.scan_parquet(path)
    sides = [
        quotes.filter(pl.col("exchange") == name)
        .select(at="received_ts_us", **{f"at{n}": "received_ts_us"}, **{f"{c}{n}": c for c in _PRICES})
        .set_sorted("at")
        for n, name in enumerate(EXCHANGES, start=1)
    ]
    options = {"on": "at", "strategy": "backward", "tolerance": 1_000_000}
    first = sides[0].join_asof(sides[1], **options)  # type: ignore[arg-type]
    second = sides[1].join_asof(sides[0], **options)  # type: ignore[arg-type]
    both = pl.concat([first, second], how="diagonal").drop_nulls().sort("at")
    spread, f = pl.col("spread"), 0.999 / 1.001 * 10_000
    points = both.with_columns(
        spread=(pl.col("bid1") / pl.col("bid2") - 1) * 100,
        edge12=pl.col("bid1") / pl.col("ask2") * f - 10_000,
        edge21=pl.col("bid2") / pl.col("ask1") * f - 10_000,
        size12=pl.min_horizontal("bid_size1", "ask_size2") * pl.col("ask2"),
        size21=pl.min_horizontal("bid_size2", "ask_size1") * pl.col("ask1"),
        age1_ms=(pl.col("at") - pl.col("at1")) / 1000,
        age2_ms=(pl.col("at") - pl.col("at2")) / 1000,
    ).with_columns(
        upper=spread.rolling_quantile(0.97, "linear", window_size=200, min_samples=1),
        lower=spread.rolling_quantile(0.03, "linear", window_size=200, min_samples=1),
    )
    return len(points.rename({"at": "ts_us"}).select(POINT_COLUMNS).collect())


_PRICES: Final = ("bid", "bid_size", "ask", "ask_size")


def whole_day(lake: Lake) -> int:
    """The same through the product."""
    frames = computed_points(LakeReader(lake), TERMS, DAY_US, DAY_US + 24 * HOUR_US)
    return sum(len(frame) for frame in frames)


def first_piece(lake: Lake) -> int:
    """Time until the first NDJSON piece of the day."""
    _sources, frames = chart_points(LakeReader(lake), TERMS, DAY_US, DAY_US + 24 * HOUR_US)
    return len(next(ndjson.encoded(frames, ndjson.POINTS)))


def seconds(work: Callable[[], int]) -> float:
    """How long it takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def interleaved(*works: Callable[[], int]) -> list[float]:
    """Median seconds of each, taken in turn."""
    taken = [[seconds(work) for work in works] for _ in range(ROUNDS + 1)][1:]
    return [median(column) for column in zip(*taken, strict=True)]


def encoders() -> tuple[float, float]:
    """Seconds per row of the product's NDJSON and of json.dumps, over the same rows."""
    rng = np.random.default_rng(1)
    points = pl.DataFrame({name: rng.normal(size=50_000) for name in POINT_COLUMNS})
    points = points.with_columns(ts_us=DAY_US + pl.int_range(pl.len()) * 10_000)
    rows = points.select(**ndjson.POINTS).to_dicts()
    ours, theirs = interleaved(
        lambda: sum(map(len, ndjson.encoded([points], ndjson.POINTS))),
        lambda: sum(len(json.dumps(row)) + 1 for row in rows),
    )
    return ours / len(points), theirs / len(points)


def _misses(name: str, value: float) -> bool:
    return value < TARGETS[name] if name.startswith("x_faster") else value > TARGETS[name]


def main() -> None:
    """Measure, print and, as the last line, give the figures as JSON."""
    parser = argparse.ArgumentParser(description="Reading the lake against scripts written by hand.")
    parser.add_argument("--rows", type=int, default=50_000_000, help="quotes of the day (default 50 million)")
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory(prefix="arbdesk-bench-") as directory:
        lake, path = Lake(f"{directory}/lake"), Path(directory) / "own.parquet"
        own = make_day(lake, rows)
        own.write_parquet(path, compression="zstd", row_group_size=122_880)
        ours, script = interleaved(lambda: whole_day(lake), lambda: by_hand(path))
        (computed,) = interleaved(lambda: first_piece(lake))
        count = store_points(lake)
        (stored,) = interleaved(lambda: first_piece(lake))
    row, dumps = encoders()
    print(f"a day of {rows:,} quotes, of which the chart's {len(own):,} make {count:,} points and gaps")
    print(f"computed with bands   {ours * 1000:8.0f} ms   by hand, its own file {script * 1000:.0f} ms")
    print(f"first NDJSON piece    {computed * 1000:8.0f} ms computed, {stored * 1000:.0f} ms stored")
    print(f"NDJSON per row        {row * 1e6:8.2f} us   json.dumps {dumps * 1e6:.2f} us")
    found = {
        "x_of_script": ours / script,
        "first_byte_ms": max(computed, stored) * 1000,
        "x_faster_than_json_dumps": dumps / row,
    }
    figures = {
        name: {"value": round(value, 2), "target": TARGETS[name], "met": not _misses(name, value)}
        for name, value in found.items()
    }
    print(json.dumps({"benchmark": "lake_read", "rows": rows, "figures": figures}))


if __name__ == "__main__":
    main()
