"""Time and memory of a compaction, beside reading, sorting and writing the same files with pyarrow.

    python benchmarks/lake/compaction.py

1,000 files of 1,000 rows, as a quarter of an hour of one-second flushes leaves them. Ours is the
whole maintenance step: reading the log, sorting, writing statistics, committing. pyarrow gets the
file names, commits nothing, and runs twice: as one would write it (`dataset(…).to_table().sort_by(…)`)
and helped, with names turned into numbers before sorting, as we do. Wall time, medians of interleaved
rounds. Then the memory: a process compacts those files, another one ten times the rows, and both say
their peak. Takes about 40 s.
"""

import datetime
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from secrets import token_urlsafe
from statistics import median
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
os.environ["DJANGO_SETTINGS_MODULE"] = "arbsite.settings"
os.environ["SECRET_KEY"] = token_urlsafe(50)

import django
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from deltalake.transaction import AddAction, RemoveAction

from history.lake.inventory import files_of
from history.lake.parquet import delta_stats, encoding, file_schema
from history.lake.schema import PARTITIONS, SORT_ORDER
from history.lake.tables import Lake
from history.maintenance import compaction

ROUNDS: Final = 5
NOW: Final = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)
HOUR: Final = {"date": "2026-03-01", "hour": "9"}
FOLDER: Final = "date=2026-03-01/hour=9"
ORDER: Final = [(name, "ascending") for name in SORT_ORDER["quotes"]]
EXCHANGES: Final = np.array(["binance", "bybit", "mexc", "gate", "kucoin", "okx", "bitget", "bingx"])
TARGETS: Final = {"x_faster_than_pyarrow": 2.5, "peak_mb": 500}


def quotes(rng: np.random.Generator, rows: int, start_us: int, span_us: int) -> pa.Table:
    """Quotes of 100 symbols on 8 exchanges as they arrive in `span_us`."""
    symbol = rng.integers(0, 100, rows)
    received = start_us + np.sort(rng.integers(0, span_us, rows))
    bid = np.round(10.0 * (symbol + 1) * (1 + 0.01 * rng.standard_normal(rows)), 2)
    columns = {
        "exchange": EXCHANGES[rng.integers(0, 8, rows)],
        "symbol": np.array([f"C{number:02}/USDT" for number in range(100)])[symbol],
        "bid": bid,
        "bid_size": rng.integers(1, 3000, rows) / 1000,
        "ask": bid + 0.01,
        "ask_size": rng.integers(1, 3000, rows) / 1000,
        "exchange_ts_us": received - rng.integers(1_000, 90_000, rows),
        "received_ts_us": received,
        "received_mono_ns": (received - start_us) * 1000,
        "late_us": np.zeros(rows, np.int64),
    }
    return pa.table(columns, schema=file_schema("quotes"))


def fill(lake: Lake, files: int, rows: int) -> None:
    """An hour of `files` flushes, in one commit."""
    delta, schema, rng = lake.ensure("quotes"), file_schema("quotes"), np.random.default_rng(1)
    folder = Path(lake.uri("quotes"), FOLDER)
    folder.mkdir(parents=True)
    start, span = 1_772_355_600_000_000, 3_600_000_000 // files
    actions: list[AddAction | RemoveAction] = []
    for number in range(files):
        name = f"{uuid.uuid4()}.parquet"
        metadata: list[pq.FileMetaData] = []
        with pq.ParquetWriter(folder / name, schema, metadata_collector=metadata, **encoding(schema)) as file:
            file.write_table(quotes(rng, rows, start + number * span, span))
        size = (folder / name).stat().st_size
        actions.append(AddAction(f"{FOLDER}/{name}", size, HOUR, 0, True, delta_stats(metadata[0])))
    delta.create_write_transaction(actions, "append", delta.schema(), partition_by=list(PARTITIONS))


def ours(lake: Lake) -> None:
    """One compaction, as the schedule runs it."""
    for step in compaction.plan(lake, "quotes", NOW):
        step.work()


def _names(lake: Lake) -> list[str]:
    return sorted(map(str, Path(lake.uri("quotes"), FOLDER).glob("*.parquet")))


def pyarrow_plain(lake: Lake) -> None:
    """Read, sort, write."""
    rows = ds.dataset(_names(lake)).to_table().sort_by(ORDER)
    _write(rows, lake)


def pyarrow_helped(lake: Lake) -> None:
    """The same, sorting numbers in the place of names."""
    rows = ds.dataset(_names(lake)).to_table()
    keys = {}
    for name in SORT_ORDER["quotes"][:-1]:
        coded = pc.dictionary_encode(rows[name]).combine_chunks()
        rank = pc.rank(coded.dictionary)
        keys[name] = pc.take(rank, coded.indices)
    keys["time"] = rows[SORT_ORDER["quotes"][-1]].combine_chunks()
    order = pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys])
    _write(rows.take(order), lake)


def _write(rows: pa.Table, lake: Lake) -> None:
    pq.write_table(rows, Path(lake.url, "one.parquet"), compression="zstd", compression_level=3)


def seconds(work: Callable[[Lake], None], original: Path, copies: Path) -> tuple[float, float]:
    """Wall and CPU seconds of `work` on a lake of its own."""
    place = copies / uuid.uuid4().hex
    shutil.copytree(original, place)
    begin, begin_cpu = time.perf_counter(), time.process_time()
    work(Lake(str(place)))
    took = time.perf_counter() - begin, time.process_time() - begin_cpu
    shutil.rmtree(place)
    return took


def peak_mb(original: Path, copies: Path) -> float:
    """The largest resident size of a process that compacts a copy."""
    place = copies / uuid.uuid4().hex
    shutil.copytree(original, place)
    command = [sys.executable, __file__, "--compact", str(place)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert len(files_of(Lake(str(place)), "quotes")) == 1
    shutil.rmtree(place)
    return float(said.split()[-1])


def _high_water_mb() -> float:
    """Peak memory of this process since it was started; getrusage would count what its parent had."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) / 1024


def measure(home: Path) -> dict[str, float]:
    """All medians and peaks."""
    small, large = home / "small", home / "large"
    fill(Lake(str(small)), 1000, 1000)
    fill(Lake(str(large)), 200, 50_000)
    sides = {"ours": ours, "pyarrow": pyarrow_plain, "pyarrow helped": pyarrow_helped}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, work in sides.items():
            times[name].append(seconds(work, small, home))
    values = {name: median(wall for wall, _ in each) for name, each in times.items()}
    values |= {f"{name} cpu": median(cpu for _, cpu in each) for name, each in times.items()}
    return values | {"peak 1 M": peak_mb(small, home), "peak 10 M": peak_mb(large, home)}


def main() -> None:
    """Measure, print and, as the last line, give the figures as JSON."""
    django.setup()  # what a worker has loaded counts
    if sys.argv[1:2] == ["--compact"]:
        ours(Lake(sys.argv[2]))
        print(_high_water_mb())
        return
    print(f"1,000 files x 1,000 rows; pyarrow {pa.__version__}; medians of {ROUNDS} rounds")
    with tempfile.TemporaryDirectory() as directory:
        values = measure(Path(directory))
    for name in ("ours", "pyarrow", "pyarrow helped"):
        wall, cpu = values[name], values[f"{name} cpu"]
        times = f"{wall / values['ours']:.1f} x ours, CPU {cpu / values['ours cpu']:.1f} x"
        print(f"{name:15} {wall:6.2f} s, CPU {cpu:6.2f} s: {times}")
    print(f"peak resident size: 1 M rows {values['peak 1 M']:.0f} MB, 10 M rows {values['peak 10 M']:.0f} MB")
    faster = values["pyarrow"] / values["ours"]
    peak = max(values["peak 1 M"], values["peak 10 M"])
    figures = {
        "x_faster_than_pyarrow": {"value": round(faster, 2), "target": 2.5, "met": faster >= 2.5},
        "peak_mb": {"value": round(peak), "target": 500, "met": peak <= 500},
    }
    print(json.dumps({"benchmark": "lake_compaction", "figures": figures}))


if __name__ == "__main__":
    main()
