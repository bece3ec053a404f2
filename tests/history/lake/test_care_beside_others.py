"""Maintenance beside writers and readers: every row is there exactly once, at every version."""

import datetime
import itertools
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from arbsite.environment import BASE_DIR
from history.lake.inventory import files_of
from history.lake.parquet import file_schema
from history.lake.tables import Lake
from history.maintenance import compaction, retention
from history.write.appending import Appender

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
LONG_AGO = NOON - datetime.timedelta(days=50)
NOW = NOON + datetime.timedelta(days=1)
ROWS = 50
ENOUGH = {"compacted": 4, "deleted": 3, "read": 5}
DEADLINE_S = 100.0
PAUSE_S = 0.1  # ten times a sink's pace


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def trades(name: str, at: datetime.datetime, rows: int = ROWS) -> pa.Table:
    """Trades within two hours, each with an id nobody else has."""
    first = int(at.timestamp()) * 1_000_000
    values = {
        "exchange": [("okx", "gate")[i % 2] for i in range(rows)],
        "symbol": [f"C{i % 3}/USDT" for i in range(rows)],
        "price": [1.0] * rows,
        "size": [1.0] * rows,
        "side": [None] * rows,
        "trade_id": [f"{name}-{i}" for i in range(rows)],
        "exchange_ts_us": [None] * rows,
        "received_ts_us": [first + i * 144_000_000 for i in range(rows)],
    }
    schema = file_schema("trades")
    return pa.table({field: values[field] for field in schema.names}, schema=schema)


class Desk:
    """Two writers, a compaction, a retention and a reader, all at once on one table."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.acknowledged: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.over = threading.Event()
        self.lock = threading.Lock()  # as Redis holds it for `history.maintenance.runs`

    def write(self, name: str) -> None:
        """Append to hours that are over; what came back without an error is acknowledged."""
        appender = Appender(self.lake, "trades", name)
        until = time.monotonic() + DEADLINE_S
        for number in itertools.count():
            if all(self.counts[what] >= times for what, times in ENOUGH.items()):
                return
            assert time.monotonic() < until, f"not enough came of it: {self.counts}"
            rows = trades(f"{name}.{number}", NOON)
            appender.append(rows, number)
            appender.checkpoint_if_due()
            self.acknowledged |= set(rows["trade_id"].to_pylist())
            time.sleep(PAUSE_S)

    def compact(self) -> None:
        while not self.over.is_set():
            with self.lock, self.unless_others_were_faster():
                for step in compaction.plan(self.lake, "trades", NOW):
                    self.counts["compacted"] += step.work() > 0

    @contextmanager
    def unless_others_were_faster(self) -> Iterator[None]:
        """Maintenance gives up where each of its tries met another append; the next run does the work."""
        try:
            yield
        except CommitFailedError:
            self.counts["given up"] += 1

    def retain(self) -> None:
        """Days long ago keep coming, as from an import, and keep going."""
        appender = Appender(self.lake, "trades", "import")
        for number in itertools.takewhile(lambda _: not self.over.is_set(), itertools.count()):
            appender.append(trades(f"old{number}", LONG_AGO), number)
            appender.checkpoint_if_due()
            with self.lock, self.unless_others_were_faster():
                self.counts["deleted"] += retention.delete_before(self.lake, "trades", "2026-02-01") > 0

    def read(self) -> None:
        while not self.over.is_set():
            due = set(self.acknowledged)
            delta = self.lake.open("trades")
            assert delta is not None
            ids = delta.to_pyarrow_table(columns=["trade_id"])["trade_id"].to_pylist()
            assert len(ids) == len(set(ids)), "a row twice"
            assert due <= set(ids), "an acknowledged row is missing"
            self.counts["read"] += 1


def test_readers_see_each_row_once_while_two_writers_compaction_and_retention_run(lake: Lake) -> None:
    lake.ensure("trades")
    desk = Desk(lake)
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(work) for work in (desk.compact, desk.retain, desk.read)]
        writers = [pool.submit(desk.write, name) for name in ("one", "two")]
        try:
            for writer in writers:
                writer.result()
        finally:
            desk.over.set()
        for other in others:
            other.result()

    for step in compaction.plan(lake, "trades", NOW):
        step.work()
    retention.delete_before(lake, "trades", "2026-02-01")
    delta = lake.open("trades")
    assert delta is not None
    ids = delta.to_pyarrow_table()["trade_id"].to_pylist()
    assert sorted(ids) == sorted(desk.acknowledged)
    assert len(files_of(lake, "trades")) == 2  # its two hours


COMPACTOR = """
import datetime, sys, django
django.setup()
from history.maintenance import compaction
from history.lake.tables import Lake
lake, now = Lake(sys.argv[1]), datetime.datetime.fromisoformat(sys.argv[2])
compaction.plan(lake, "trades", now)
print("ready", flush=True)
for step in compaction.plan(lake, "trades", now):
    step.work()
"""


def test_a_compaction_killed_at_any_moment_loses_nothing_and_is_finished_by_the_next(lake: Lake) -> None:
    appender = Appender(lake, "trades", "writer")
    for number in range(24):
        appender.append(trades(str(number), NOON + datetime.timedelta(hours=2 * (number % 6))), number)
    rng = random.Random(1)

    for _ in range(3):
        command = [sys.executable, "-c", COMPACTOR, lake.url, (NOW + datetime.timedelta(days=1)).isoformat()]
        with subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(rng.random() * 0.2)
            process.kill()
        delta = lake.open("trades")
        assert delta is not None
        ids = delta.to_pyarrow_table()["trade_id"].to_pylist()
        assert len(ids) == len(set(ids)) == 24 * ROWS

    for step in compaction.plan(lake, "trades", NOW + datetime.timedelta(days=1)):
        step.work()
    delta = lake.open("trades")
    assert delta is not None
    assert delta.to_pyarrow_table().num_rows == 24 * ROWS
    assert len(files_of(lake, "trades")) == 12
