"""A flipped bit, a stray copy, a lost directory: it costs the file it is in, and is named."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from asgiref.sync import sync_to_async
from deltalake import DeltaTable
from django.utils import timezone

from history import compaction, quarantine, retention
from history.appending import Appender
from history.lake import Lake
from history.models import Kind, State
from history.reader import LakeReader
from history.services import look_after
from markets.events import Trade
from tests import test_lake_damage as damage
from tests.lake import bids, lake_sink, quote, rows
from tests.test_lake_damage import CHECKPOINT, DATA, EARLIER, FIRST, HINT, LATER, NEWEST, ROWS, path_of

pytestmark = pytest.mark.django_db(transaction=True)
lake, quick = damage.lake, damage.quick
FLIPS = 12
"""Of each kind of file, at places that the seed says."""


def flip(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def replace(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


async def is_written(expected: list[float], first: int = 100) -> None:
    """By a sink that starts over what is damaged, a table beside it as well."""
    async with lake_sink() as writing:
        writing.quotes(1, first=first)
        writing.channel.put(Trade("okx", "BTC/USDT", 2.0, 1.0, None, None, None, time.time_ns() // 1000))
        await writing.until_written(1)
        await writing.until_written(1, "trades")
        assert not writing.sink.stats()["problem"]
    assert await sync_to_async(read)(expected) == [*expected, first]


def read(expected: list[float]) -> list[float]:
    """By our reader; where every file is expected, the library alone must read the same."""
    here = Lake.from_settings()
    found = sorted(LakeReader(here).scan("quotes").collect()["bid"])
    if expected == ROWS:
        assert sorted(DeltaTable(here.uri("quotes")).to_pyarrow_table()["bid"].to_pylist()) == found
    return found


def clean(lake: Lake) -> None:
    retention.create_policies()
    for kind in (Kind.RETAIN, Kind.CLEAN):
        run = look_after(kind, lake, "quotes")
        assert run.state == State.DONE, run.error


class TestOneBit:
    @pytest.mark.parametrize("file", [NEWEST, EARLIER, FIRST, CHECKPOINT, HINT])
    @pytest.mark.parametrize("seed", range(FLIPS))
    async def test_of_the_log_costs_nothing(self, lake: Lake, file: str, seed: int) -> None:
        flip(path_of(lake, file), seed)
        await is_written(ROWS)

    @pytest.mark.parametrize(
        ("file", "old", "new"),
        [
            (NEWEST, b'\\"bid\\":', b'\\"b\xe9d\\":'),  # not UTF-8 where only the library looks
            (NEWEST, b'"hour":', b'"howr":'),
            (NEWEST, b'"add":', b'"aed":'),
            (NEWEST, b'"dataChange":true', b'"dataChange":tsue'),
            (NEWEST, b'"txn":', b'"tyn":'),
            (NEWEST, b"sink-before-8.parquet", b"sink-befoze-8.parquet"),
            (CHECKPOINT, b'"type":"integer"', b'"tyte":"integer"'),
            (CHECKPOINT, b"provider", b"providgr"),
        ],
    )
    async def test_that_the_library_alone_would_refuse_or_misread(
        self, lake: Lake, file: str, old: bytes, new: bytes
    ) -> None:
        replace(path_of(lake, file), old, new)
        await is_written(ROWS)

    @pytest.mark.parametrize("seed", range(FLIPS))
    async def test_of_a_data_file_costs_the_file_at_most(self, lake: Lake, seed: int) -> None:
        """And is found by the compaction at the latest, which holds every page against its checksum."""
        damaged = path_of(lake, DATA)
        before = pl.read_parquet(damaged).to_dicts()
        flip(damaged, seed)
        async with lake_sink() as writing:
            writing.quotes(1, first=100)
            await writing.until_written(1)

        def after_compaction() -> None:
            LakeReader(lake).scan("quotes").collect()  # whatever it gives, it does not fail
            for step in compaction.plan(lake, "quotes", timezone.now() + LATER):
                step.work()
            kept = rows(lake, "quotes").filter(pl.col("bid") != 100)
            assert kept.filter(pl.col("bid") < 8)["bid"].to_list() == ROWS[:-1]
            rest = kept.filter(~pl.col("bid").is_in(ROWS[:-1])).drop("date", "hour").to_dicts()
            assert rest in ([], before)
            if not rest:
                assert any(damaged.name in f.words for f in damage.findings(lake))

        await sync_to_async(after_compaction)()

    async def test_in_a_page_is_taken_out_by_the_compaction(self, lake: Lake) -> None:
        """A changed price that decodes: nothing else would ever show it."""
        damaged = path_of(lake, DATA)
        parquet = pa.parquet.ParquetFile(damaged)
        column = parquet.metadata.row_group(0).column(2)
        parquet.close()
        content = bytearray(damaged.read_bytes())
        content[column.data_page_offset + column.total_compressed_size - 6] ^= 1
        damaged.write_bytes(content)

        def compact() -> None:
            for step in compaction.plan(lake, "quotes", timezone.now() + LATER):
                step.work()
            assert bids(lake) == ROWS[:-1]
            assert any(damaged.name in f.words for f in damage.findings(lake))

        await sync_to_async(compact)()


def dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere/at-all")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize("file", [NEWEST, EARLIER, CHECKPOINT])
@pytest.mark.parametrize("ruin", [damage.other_json, damage.missing, dead_link, link_to_itself])
async def test_while_the_sink_runs(lake: Lake, file: str, ruin: Callable[[Path], None]) -> None:
    """It has the newest number in mind, and meets the damage at its next checkpoint at the latest."""
    async with lake_sink() as writing:
        writing.quotes(1, first=50)
        await writing.until_written(1)
        ruin(path_of(lake, file))
        for number in range(1, 8):
            writing.quotes(1, first=100 + number)
            await writing.until_written(1 + number)
    assert await sync_to_async(bids)(lake) == [*ROWS, 50, *range(101, 108)]


@pytest.mark.parametrize("ruin", [damage.cut, damage.zero, damage.missing, damage.other_text])
async def test_a_table_that_rests_does_not_hang_on_one_checkpoint(
    lake: Lake, ruin: Callable[[Path], None]
) -> None:
    """Hours after its last row the cleaning has been there several times."""
    log = Path(lake.uri("quotes")) / "_delta_log"

    def rest() -> None:
        clean(lake)
        old = time.time() - 4 * 3600
        for file in [*log.iterdir(), *log.parent.glob("date=*/hour=*/*")]:
            os.utime(file, (old, old))
        clean(lake)
        clean(lake)
        ruin(max(log.glob("*.checkpoint.parquet")))
        assert bids(lake) == ROWS

    await sync_to_async(rest)()
    await is_written(ROWS)


def a_file(folder: Path) -> None:
    folder.write_text("no folder")


def a_damaged_note(folder: Path) -> None:
    folder.mkdir()
    (folder / "5-x.note.json").write_bytes(bytes(9))


def a_directory_for_a_note(folder: Path) -> None:
    (folder / "5-x.note.json").mkdir(parents=True)


@pytest.mark.parametrize("ruin", [a_file, dead_link, a_damaged_note, a_directory_for_a_note])
async def test_the_quarantine_itself(lake: Lake, ruin: Callable[[Path], None]) -> None:
    folder = Path(lake.uri("quotes")) / "_quarantine"
    if ruin is dead_link:
        folder.touch()
    ruin(folder)
    damage.zero(path_of(lake, NEWEST))
    await is_written(ROWS)
    assert any(NEWEST in f.words for f in await sync_to_async(damage.findings)(lake))


class TestAWholeLog:
    """Everything that says what belongs to the table is gone; the data files are not."""

    async def test_lost_while_nobody_writes(self, lake: Lake) -> None:
        shutil.rmtree(Path(lake.uri("quotes")) / "_delta_log")
        await is_written(ROWS)

    async def test_lost_after_a_compaction_keeps_what_was_compacted_apart(self, lake: Lake) -> None:
        """Files that it replaced lie beside it for two hours: none of these rows may come twice."""
        (Path(lake.uri("quotes")) / "date=2026-11-20" / "hour=7").mkdir(parents=True)
        compacted = "date=2026-11-20/hour=7/sorted-5a3c2f7e-0000-4000-8000-123456789012.parquet"
        content = path_of(lake, DATA).read_bytes()
        (Path(lake.uri("quotes")) / compacted).write_bytes(content)
        shutil.rmtree(Path(lake.uri("quotes")) / "_delta_log")
        await is_written(ROWS)
        (kept,) = (Path(lake.uri("quotes")) / "_quarantine").glob("*sorted-*.parquet")
        assert kept.read_bytes() == content

    async def test_lost_under_a_writer(self, lake: Lake) -> None:
        async with lake_sink() as writing:
            writing.quotes(1, first=50)
            await writing.until_written(1)
            shutil.rmtree(Path(lake.uri("quotes")) / "_delta_log")
            writing.quotes(1, first=51)
            await writing.until_written(2)
        assert await sync_to_async(bids)(lake) == [*ROWS, 50, 51]


class TestCopies:
    async def test_of_a_data_file_double_no_row(self, lake: Lake) -> None:
        data = path_of(lake, DATA)
        for name in ("sink-copy-8.parquet", "sink-before-8-1.parquet", "sink-before-8 (copy).parquet"):
            shutil.copy(data, data.with_name(name))
        await is_written(ROWS)
        await sync_to_async(clean)(lake)
        assert await sync_to_async(bids)(lake) == [*ROWS, 100]

    @pytest.mark.parametrize("version", [7, 9, 20])
    async def test_of_an_entry_double_no_row(self, lake: Lake, version: int) -> None:
        shutil.copy(path_of(lake, NEWEST), path_of(lake, f"_delta_log/{version:020}.json"))
        await is_written(ROWS)

    async def test_of_a_checkpoint_in_an_entry_s_place(self, lake: Lake) -> None:
        shutil.copy(path_of(lake, CHECKPOINT), path_of(lake, NEWEST))
        await is_written(ROWS)

    async def test_entries_in_each_other_s_place(self, lake: Lake) -> None:
        one, other = path_of(lake, NEWEST), path_of(lake, EARLIER)
        content = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(content)
        await is_written(ROWS)


async def test_a_file_where_an_hour_belongs_holds_nothing_up(lake: Lake) -> None:
    hour = path_of(lake, DATA).parent
    shutil.rmtree(hour)
    hour.write_text("no directory")
    async with lake_sink() as writing:
        writing.channel.put(quote(100))
        writing.channel.put(Trade("okx", "BTC/USDT", 2.0, 1.0, None, None, None, time.time_ns() // 1000))
        await writing.until_written(1, "trades")
        await writing.until_written(1)
    assert await sync_to_async(read)([]) == [100.0]


def test_damage_between_the_plan_and_the_work_of_a_compaction(lake: Lake) -> None:
    steps = compaction.plan(lake, "quotes", timezone.now() + LATER)
    damage.zero_pages(path_of(lake, DATA))
    damage.cut(path_of(lake, NEWEST))
    for step in steps:
        step.work()
    assert bids(lake) == ROWS[:-1]


def test_damage_while_a_reader_streams(lake: Lake) -> None:
    frames = LakeReader(lake).snapshot("quotes").frames()
    damage.zero(path_of(lake, DATA))
    damage.zero(path_of(lake, NEWEST))
    assert sum(len(frame) for frame in frames) == len(ROWS) - 1


def test_a_damaged_file_is_noted_once_however_many_processes_read(lake: Lake) -> None:
    """Each run of `export` and each web process is a reader: a nightly job would leave a note a night."""
    damage.cut(path_of(lake, DATA))
    script = "from history.lake import Lake; from history.reader import LakeReader; import sys\n"
    script += "print(LakeReader(Lake(sys.argv[1])).scan('quotes').collect().height)"
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script, lake.url], check=False, capture_output=True, text=True
        )
        assert done.stdout.strip() == str(len(ROWS) - 1), done.stderr
    (note,) = quarantine.notes(lake, "quotes")
    assert path_of(lake, DATA) == Path(lake.uri("quotes")) / note.file


def test_a_log_of_an_older_desk_has_no_checksums_and_is_read_as_before(lake: Lake) -> None:
    for entry in (Path(lake.uri("quotes")) / "_delta_log").glob("*.json"):
        content = entry.read_text()
        entry.write_text(_bare(content))
    Appender(lake, "quotes", "sink-after").append(damage.table_of(quote(9)), 1)
    assert bids(lake) == [*ROWS, 9]
    assert not (Path(lake.uri("quotes")) / "_quarantine").exists()


def _bare(content: str) -> str:
    """An entry without its checksum."""
    before, _, after = content.partition(',"crc32":')
    return before + after.lstrip("0123456789")
