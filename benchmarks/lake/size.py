"""Cost of a row on disk after compaction, and of writing it, beside pyarrow's own defaults.

    python benchmarks/lake/size.py

The rows are the real recordings in ../shared/recordings when they are there (six exchanges, ten
symbols, 33 minutes), which have no receive clock: one is made of the exchange's plus a latency of 1 to
90 ms. Otherwise they are invented, and the last line says so. Both sides write the same sorted polars frame:
pyarrow with zstd level 3 and else its defaults, and the file a compaction writes. Takes about 20 s.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.store import LocalStore

from arbsite.environment import BASE_DIR
from history.lake.parquet import file_schema
from history.lake.schema import SORT_ORDER
from history.write.sorted_files import SortedFile

ROUNDS: Final = 21
RECORDINGS: Final = BASE_DIR.parent / "shared" / "recordings" / "xex_perp_20250727"
COLUMNS: Final = (
    "timestamp", "exchange", "symbol", "bid1_price", "bid1_volume", "ask1_price", "ask1_volume",
)  # fmt: skip
FLOATS: Final = dict.fromkeys(COLUMNS[3:], pl.Float64)
TARGETS: Final = {"bytes_ratio": 0.78, "speed_ratio": 1.3}


def recorded() -> pl.DataFrame | None:
    """Quotes of the recordings, None where there are none."""
    files = sorted(RECORDINGS.glob("*/*.csv.gz"))
    if not files:
        return None
    rows = pl.concat(pl.read_csv(file, columns=COLUMNS, schema_overrides=FLOATS) for file in files)
    return rows.select(
        exchange=pl.col("exchange").str.to_lowercase(),
        symbol=pl.col("symbol").str.split(":").list.first(),
        bid="bid1_price",
        bid_size="bid1_volume",
        ask="ask1_price",
        ask_size="ask1_volume",
        exchange_ts_us=pl.col("timestamp") * 1000,
    )


def invented(count: int = 500_000) -> pl.DataFrame:
    """Quotes of ten symbols on six exchanges whose prices walk in ticks."""
    rng = np.random.default_rng(1)
    symbol, exchange = rng.integers(0, 10, count), rng.integers(0, 6, count)
    bid = np.round(100 * (symbol + 1) + np.cumsum(rng.integers(-1, 2, count)) / 100, 2)
    start = 1_772_000_000_000
    return pl.DataFrame(
        {
            "exchange": np.array(["binance", "bitget", "bybit", "gate", "mexc", "okx"])[exchange],
            "symbol": [f"C{number}/USDT" for number in symbol],
            "bid": bid,
            "bid_size": rng.integers(1, 3000, count) / 10,
            "ask": np.round(bid + 0.01, 2),
            "ask_size": rng.integers(1, 3000, count) / 10,
            "exchange_ts_us": (start + np.sort(rng.integers(0, 2_000_000, count))) * 1000,
        }
    )


def received(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with our two clocks, in the order compaction sorts."""
    rng = np.random.default_rng(2)
    latency_us = rng.integers(1_000, 90_000, len(rows))
    rows = rows.with_columns(received_ts_us=pl.col("exchange_ts_us") + latency_us)
    mono = (pl.col("received_ts_us") - pl.col("received_ts_us").min()) * 1000 + rng.integers(
        0, 1000, len(rows)
    )
    return rows.with_columns(received_mono_ns=mono, late_us=pl.lit(0, pl.Int64)).sort(SORT_ORDER["quotes"])


def ours(rows: pl.DataFrame, path: str) -> None:
    """Write as a compaction does."""
    file = SortedFile("quotes", LocalStore(str(Path(path).parent)), Path(path).name)
    file.write(rows)
    file.close()


def theirs(rows: pl.DataFrame, path: str) -> None:
    """Write as pyarrow does by itself."""
    pq.write_table(rows.to_arrow(), path, compression="zstd", compression_level=3)


def seconds(work: Callable[[], None]) -> float:
    """CPU seconds: a busy machine does not count."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    """Measure, print and, as the last line, give the figures as JSON."""
    found = recorded()
    rows = received(invented() if found is None else found)
    rows = rows.select(file_schema("quotes").names)
    data = "invented" if found is None else "recorded"
    print(f"{len(rows):,} quotes, {data}; pyarrow {pa.__version__}; CPU time, medians of {ROUNDS} rounds")
    times: dict[str, list[float]] = {"ours": [], "pyarrow": []}
    with tempfile.TemporaryDirectory() as directory:
        paths = {name: str(Path(directory, name)) for name in times}
        for _ in range(ROUNDS):
            times["ours"].append(seconds(lambda: ours(rows, paths["ours"])))
            times["pyarrow"].append(seconds(lambda: theirs(rows, paths["pyarrow"])))
        sizes = {name: Path(path).stat().st_size for name, path in paths.items()}
    for name, taken in times.items():
        speed = len(rows) / median(taken) / 1e6
        print(f"{name:8} {sizes[name] / len(rows):6.2f} bytes/row  {speed:6.2f} M rows/s")
    values = {
        "bytes_ratio": sizes["ours"] / sizes["pyarrow"],
        "speed_ratio": median(times["pyarrow"]) / median(times["ours"]),
    }
    figures = {
        name: {
            "value": round(value, 3),
            "target": TARGETS[name],
            "met": value <= TARGETS[name] if name == "bytes_ratio" else value >= TARGETS[name],
        }
        for name, value in values.items()
    }
    print(json.dumps({"benchmark": "lake_size", "data": data, "figures": figures}))


if __name__ == "__main__":
    main()
