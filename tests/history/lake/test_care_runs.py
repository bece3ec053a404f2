"""Runs of maintenance: one at a time per table, stopped between steps, always on record; the commands."""

import datetime
import io
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone
from redis import Redis

from history import tasks
from history.lake.inventory import TableSize, files_of, size_of
from history.lake.schema import SCHEMAS
from history.lake.tables import Lake
from history.maintenance import runs as maintenance
from history.maintenance.compaction import GRACE
from history.maintenance.retention import VACUUM_HOURS, keeps_from
from history.maintenance.runs import RUNS_KEPT, TableBusyError, maintain
from history.maintenance.steps import Step
from history.models import Kind, MaintenanceRun, RetentionPolicy, State
from history.services import look_after, steps_of
from tests.support.lakes.lake_data import write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_redis")]

DAY = datetime.timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The lake of the settings, empty."""
    monkeypatch.setattr(settings, "LAKE_URL", str(tmp_path / "lake"))
    return Lake.from_settings()


def record(lake: Lake, age: datetime.timedelta, rows: int = 10, table: str = "trades") -> None:
    """Trades of one moment in the past, in one file."""
    moment = int((timezone.now() - age).timestamp() * 1e6)
    write(
        lake,
        table,
        {
            "exchange": ["okx"] * rows, "symbol": ["BTC/USDT"] * rows, "price": [1.0] * rows,
            "size": [2.0] * rows, "received_ts_us": [moment + i for i in range(rows)],
        },
    )  # fmt: skip


def run(work: Callable[[], int], *more: Callable[[], int], **options: Any) -> MaintenanceRun:
    steps = [Step(f"step {number}", each) for number, each in enumerate((work, *more), 1)]
    return maintain(Kind.COMPACT, Lake.from_settings(), "trades", lambda: steps, **options)


def test_every_table_has_a_policy_from_the_first_migrate_on() -> None:
    days = dict(RetentionPolicy.objects.values_list("table", "days"))

    assert days == {
        "quotes": 30, "trades": 30, "funding": 90, "marks": 30,
        "stream_states": 90, "spreads": 90, "opportunities": 90,
    }  # fmt: skip
    assert set(days) == set(SCHEMAS)


def test_a_run_is_recorded_with_files_and_bytes_before_and_after(lake: Lake) -> None:
    for _ in range(3):
        record(lake, DAY)
    before = files_of(lake, "trades")

    look_after(Kind.COMPACT, lake, "trades")

    done = MaintenanceRun.objects.get()
    after = files_of(lake, "trades")
    assert (done.kind, done.table, done.state, done.error) == ("compact", "trades", State.DONE, "")
    assert done.rows == 30
    assert (done.files_before, done.bytes_before) == (3, before["bytes"].sum())
    assert (done.files_after, done.bytes_after) == (1, after["bytes"].sum())
    assert done.ended is not None
    assert done.started <= done.ended
    assert "(3 files)" in done.remark


def test_a_table_nobody_wrote_to_is_nothing_to_do(lake: Lake) -> None:
    for kind in Kind:
        assert look_after(kind, lake, "spreads").state == State.DONE


def test_a_run_out_of_time_stops_between_steps_and_says_what_is_left(lake: Lake) -> None:
    stopped = run(lambda: 5, lambda: 6, budget_s=0.0)
    assert (stopped.state, stopped.rows) == (State.STOPPED, 0)
    assert stopped.remark == "Out of time; left for the next run: step 1, step 2."

    def slow() -> int:
        time.sleep(0.05)
        return 5

    partly = run(slow, lambda: 6, budget_s=0.05)
    assert (partly.state, partly.rows) == (State.STOPPED, 5)
    assert partly.remark == "Out of time; left for the next run: step 2."


def test_what_a_stopped_compaction_left_is_done_by_the_next_one(lake: Lake) -> None:
    for hours in (30, 29, 28):
        record(lake, datetime.timedelta(hours=hours))
        record(lake, datetime.timedelta(hours=hours))
    [first, *_] = steps_of(Kind.COMPACT, lake, "trades")
    first.work()

    rest = look_after(Kind.COMPACT, lake, "trades")

    assert rest.rows == 40
    assert len(files_of(lake, "trades")) == 3


def test_a_failure_is_recorded_with_its_error_and_frees_the_table(lake: Lake) -> None:
    def broken() -> int:
        raise OSError("no space left")

    failed = run(lambda: 5, broken)

    assert MaintenanceRun.objects.get() == failed
    assert (failed.state, failed.error, failed.rows) == (State.FAILED, "OSError: no space left", 5)
    assert failed.ended is not None
    assert run(lambda: 1).state == State.DONE


def test_an_interrupted_run_is_recorded_and_goes_on_its_way(lake: Lake) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(interrupted)

    assert MaintenanceRun.objects.get().state == State.STOPPED
    assert run(lambda: 1).state == State.DONE


def test_maintenance_of_one_table_runs_one_at_a_time_and_of_another_beside_it(lake: Lake) -> None:
    def inner() -> int:
        with pytest.raises(TableBusyError, match="trades"):
            look_after(Kind.RETAIN, lake, "trades")
        return int(look_after(Kind.RETAIN, lake, "quotes").state == State.DONE)

    assert run(inner).rows == 1


def test_who_may_wait_gets_the_table_when_it_is_free(lake: Lake, empty_redis: Redis) -> None:
    empty_redis.set("lake:trades", "somebody", px=600)

    assert run(lambda: 1, wait_s=5.0).state == State.DONE


def test_a_lock_that_lapsed_ends_the_run_before_its_next_step(lake: Lake, empty_redis: Redis) -> None:
    def lapses() -> int:
        empty_redis.set("lake:trades", "somebody else")
        return 1

    failed = run(lapses, lambda: 1)

    assert (failed.state, failed.rows) == (State.FAILED, 1)
    assert "Lock" in failed.error
    assert empty_redis.get("lake:trades") == b"somebody else"  # theirs is not released


def test_a_run_whose_process_died_is_marked_by_the_next_one(lake: Lake) -> None:
    dead = MaintenanceRun.objects.create(kind=Kind.CLEAN, table="trades", started=timezone.now() - DAY)
    other = MaintenanceRun.objects.create(kind=Kind.CLEAN, table="quotes", started=timezone.now())

    run(lambda: 1)

    dead.refresh_from_db()
    other.refresh_from_db()
    assert (dead.state, dead.ended is not None) == (State.DIED, True)
    assert other.state == State.RUNNING  # another table: it may be alive


def test_only_the_newest_runs_are_kept(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "RUNS_KEPT", 3)
    assert RUNS_KEPT >= 144  # a day of compactions

    kept = [run(lambda: 1).pk for _ in range(5)][-3:]

    assert sorted(MaintenanceRun.objects.values_list("pk", flat=True)) == kept


def test_retention_deletes_whole_days_that_are_too_old_and_nothing_else(lake: Lake) -> None:
    today = timezone.now().date()
    for days in (0, 1, 29, 30, 31, 45):
        record(lake, days * DAY)

    done = look_after(Kind.RETAIN, lake, "trades")

    kept = {str(today - days * DAY) for days in (0, 1, 29, 30)}
    assert set(files_of(lake, "trades")["date"]) == kept
    assert (done.rows, done.files_before, done.files_after) == (20, 6, 4)
    assert keeps_from(30, today) == str(today - 30 * DAY)
    assert steps_of(Kind.RETAIN, lake, "trades") == []


def test_an_empty_policy_keeps_everything(lake: Lake) -> None:
    RetentionPolicy.objects.filter(table="trades").update(days=None)
    record(lake, 4000 * DAY)

    assert steps_of(Kind.RETAIN, lake, "trades") == []


def test_cleaning_keeps_files_for_readers_that_opened_the_table_before(lake: Lake) -> None:
    for _ in range(3):
        record(lake, DAY)
    reader = lake.open("trades")
    assert reader is not None
    look_after(Kind.COMPACT, lake, "trades")

    look_after(Kind.CLEAN, lake, "trades")

    assert reader.to_pyarrow_table().num_rows == 30
    assert len(_parquet(lake)) == 4


def test_cleaning_deletes_what_no_reader_needs(lake: Lake) -> None:
    for _ in range(3):
        record(lake, DAY)
    look_after(Kind.COMPACT, lake, "trades")
    orphan = Path(lake.uri("trades"), "date=2026-01-01", "hour=0", "of-a-writer-that-died.parquet")
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half a file")
    _age(lake, datetime.timedelta(hours=VACUUM_HOURS, minutes=5))

    done = look_after(Kind.CLEAN, lake, "trades")

    assert done.state == State.DONE, done.error
    assert len(_parquet(lake)) == 1
    assert not orphan.exists()


def test_cleaning_sums_the_log_up_and_deletes_what_is_old_and_summed_up(lake: Lake) -> None:
    log = Path(lake.uri("trades"), "_delta_log")
    record(lake, DAY)
    look_after(Kind.CLEAN, lake, "trades")
    assert list(log.glob("*.checkpoint.parquet"))
    _age(lake, datetime.timedelta(hours=VACUUM_HOURS, minutes=5))
    record(lake, DAY)

    look_after(Kind.CLEAN, lake, "trades")

    assert not (log / f"{0:020}.json").exists()
    opened = lake.open("trades")
    assert opened is not None
    assert opened.to_pyarrow_table().num_rows == 20


def _parquet(lake: Lake) -> list[Path]:
    return list(Path(lake.uri("trades")).glob("date=*/**/*.parquet"))


def _age(lake: Lake, by: datetime.timedelta) -> None:
    """Make everything that was done to the table look that much longer ago."""
    past_ms = (time.time_ns() // 1_000_000) - int(by.total_seconds() * 1000)
    table = Path(lake.uri("trades"))
    for entry in (table / "_delta_log").glob("*.json"):
        aged = re.sub(r'("(?:timestamp|deletionTimestamp)":)\d+', rf"\g<1>{past_ms}", entry.read_text())
        entry.write_text(aged)
    for file in table.rglob("*"):
        os.utime(file, (past_ms / 1000, past_ms / 1000))


def test_sizes_come_from_the_log_and_today_is_no_whole_day(lake: Lake) -> None:
    now = timezone.now()
    assert size_of(files_of(lake, "trades"), now.date()) == TableSize()
    for days in (0, 1, 1, 2):
        record(lake, days * DAY)
    files = files_of(lake, "trades")
    today = files.filter(pl.col("date") == str(now.date()))["bytes"].sum()

    size = size_of(files, now.date())

    assert (size.files, size.rows, size.bytes) == (4, 40, files["bytes"].sum())
    assert size.bytes_per_day == (size.bytes - today) // 2
    assert size.oldest_us is not None
    assert size.newest_us is not None
    assert size.newest_us - size.oldest_us == pytest.approx(2 * 86_400e6, abs=60e6)


def test_tasks_look_after_every_table_and_a_broken_one_does_not_stop_the_others(lake: Lake) -> None:
    for _ in range(2):
        record(lake, DAY)
    log = Path(lake.uri("quotes"), "_delta_log")
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("{nonsense")

    tasks.compact()
    tasks.retain()
    tasks.clean("trades")

    states = {(r.kind, r.table): r.state for r in MaintenanceRun.objects.all()}
    assert states["compact", "quotes"] == State.FAILED
    assert (
        states["compact", "trades"] == states["retain", "trades"] == states["clean", "trades"] == State.DONE
    )
    assert len(states) == 2 * len(SCHEMAS) + 1


def test_a_busy_table_is_skipped_by_the_schedule(lake: Lake, empty_redis: Redis) -> None:
    empty_redis.set("lake:trades", "somebody", ex=60)

    tasks.compact()

    assert set(MaintenanceRun.objects.values_list("table", flat=True)) == set(SCHEMAS) - {"trades"}


def test_the_schedule_forgets_a_task_before_its_next_turn_and_kills_it_before_its_lock_lapses() -> None:
    schedule: dict[str, Any] = settings.BEAT_SCHEDULE
    for name, period_s in (("compact", 600), ("retain", 86_400), ("clean", 3600)):
        entry = schedule[f"{name}-lake"]
        assert entry["task"] == f"history.tasks.{name}"
        assert entry["options"]["expires"] < period_s
    for task in tasks.TASKS.values():
        assert task.time_limit == tasks.TIME_LIMIT_S
    assert tasks.BUDGET_S < tasks.TIME_LIMIT_S < maintenance.LOCK_S


def command(name: str, *arguments: str) -> str:
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_compact_lake_says_what_it_did_in_a_line_per_table(lake: Lake) -> None:
    for _ in range(3):
        record(lake, DAY)

    said = command("compact_lake", "--table", "trades", "quotes")

    assert "trades: compact: done; 3 files of " in said
    assert " are now 1 of " in said
    assert "30 rows" in said
    assert "quotes: compact: done" in said
    assert MaintenanceRun.objects.count() == 2


def test_a_dry_run_does_nothing(lake: Lake) -> None:
    record(lake, DAY)
    record(lake, 40 * DAY)

    said = command("compact_lake", "--dry-run") + command("retain_lake", "--dry-run")

    assert "trades: would compact: 2" in said
    assert f"1 day before {keeps_from(30, timezone.now().date())}" in said
    assert "quotes: would compact: nothing to do" in said
    assert not MaintenanceRun.objects.exists()
    assert len(files_of(lake, "trades")) == 2


def test_retain_lake_deletes_and_cleans(lake: Lake) -> None:
    record(lake, DAY)
    record(lake, 40 * DAY)

    said = command("retain_lake", "--table", "trades")

    assert "10 rows" in said
    assert len(files_of(lake, "trades")) == 1
    assert {r.kind for r in MaintenanceRun.objects.all()} == {"retain", "clean"}


def test_a_command_fails_when_a_table_is_busy_and_does_the_others(lake: Lake, empty_redis: Redis) -> None:
    empty_redis.set("lake:trades", "somebody", ex=60)

    with pytest.raises(CommandError, match="1 of 7 did not succeed"):
        command("compact_lake")

    assert MaintenanceRun.objects.filter(state=State.DONE).count() == len(SCHEMAS) - 1


def test_a_table_that_is_none_is_named_with_those_there_are() -> None:
    with pytest.raises(CommandError, match=r"invalid choice: 'quote'.*quotes"):
        command("compact_lake", "--table", "quote")


def test_grace_is_longer_than_the_sinks_flush() -> None:
    assert datetime.timedelta(minutes=1) < GRACE < datetime.timedelta(minutes=10)
