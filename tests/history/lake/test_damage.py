"""Every kind of the lake's files in every kind of ruin: one damaged file costs that file, and is named."""

import datetime
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone
from msgspec import structs
from polars.exceptions import ComputeError
from pytest_django import Settings

from core.health.findings import Finding
from history.lake.standing import lake_tables
from history.lake.tables import Lake
from history.maintenance import compaction, retention
from history.models import Kind, State
from history.read import ndjson
from history.read.reader import LakeReader
from history.read.reading import Answer as Reading
from history.services import look_after
from history.write import appending
from history.write import sink as sink_module
from history.write.appending import Appender
from history.write.buffer import Buffer
from markets.events import Trade
from monitoring.health.assess import assess
from monitoring.health.observed import Answer, Limits, Observed
from tests.support.lakes.lake import bids, lake_sink, quote, rows

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = [float(number) for number in range(1, 9)]
NEWEST, EARLIER = f"_delta_log/{8:020}.json", f"_delta_log/{7:020}.json"
CHECKPOINT, HINT = f"_delta_log/{5:020}.checkpoint.parquet", "_delta_log/_last_checkpoint"
FIRST = f"_delta_log/{0:020}.json"
DATA = "the newest data file"
LATER = datetime.timedelta(hours=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "FLUSH_S", 0.02)
    monkeypatch.setattr(appending, "CHECKPOINT_EVERY", 5)


@cache
def made_in(folder: Path, hour: int) -> Path:
    """Eight quotes in eight commits with a checkpoint, and a trade; all of this hour."""
    lake = Lake(str(folder / f"lake-of-hour-{hour}"))
    appender = Appender(lake, "quotes", "sink-before")
    for number in range(1, 9):
        appender.append(table_of(quote(number)), number)
        appender.checkpoint_if_due()
    Appender(lake, "trades", "sink-before").append(trade(), 1)
    return Path(lake.url)


@pytest.fixture
def lake(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, settings: Settings) -> Lake:
    """A copy of what is made once."""
    settings.LAKE_URL = str(tmp_path / "lake")
    shutil.copytree(made_in(tmp_path_factory.getbasetemp(), int(time.time() // 3600)), settings.LAKE_URL)
    return Lake(settings.LAKE_URL)


def table_of(*events: object) -> pa.Table:
    buffer = Buffer()
    buffer.add(events)  # type: ignore[arg-type]
    (table,) = buffer.tables().values()
    return table


def trade() -> pa.Table:
    return table_of(Trade("binance", "BTC/USDT", 1.0, 1.0, "buy", "1", None, time.time_ns() // 1000))


def path_of(lake: Lake, file: str) -> Path:
    table = Path(lake.uri("quotes"))
    return next(table.glob("date=*/hour=*/sink-before-8.parquet")) if file == DATA else table / file


# --- ruin ----------------------------------------------------------------------------------------


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def cut_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def zero_pages(path: Path) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:20] + bytes(middle - 20) + content[middle:])


def nul_tail(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(4096))


def other_text(path: Path) -> None:
    path.write_text("<html>404</html>")


def bad_utf8(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:30] + b"\xff\xfe\xfa" + content[33:])


def half_line(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'\n{"add":{"path":"da')


def other_json(path: Path) -> None:
    path.write_text("{}")


def a_list(path: Path) -> None:
    path.write_text("[1, 2]")


def wrong_types(path: Path) -> None:
    path.write_text('{"commitInfo":{"timestamp":1}}\n{"add":{"path":7,"size":"big"}}')


ABOUT = '{"commitInfo":{"timestamp":1}}\n'


def outside(path: Path) -> None:
    """A file of another table, of no partition: the library would read nothing any more."""
    add = {"path": "../trades/x.parquet", "partitionValues": {}, "size": 1, "modificationTime": 1}
    path.write_text(ABOUT + json.dumps({"add": add | {"dataChange": True}}))


def odd_remove(path: Path) -> None:
    path.write_text(ABOUT + '{"remove":{"path":"a.parquet","dataChange":true,"deletionTimestamp":"x"}}')


def deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def loop(path: Path) -> None:
    """A link to itself, in which no directory can be walked."""
    path.unlink()
    path.symlink_to(path.name)


def missing(path: Path) -> None:
    path.unlink()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def other_schema(path: Path) -> None:
    pl.DataFrame({"exchange": [1, 2], "price": ["a", "b"]}).write_parquet(path)


def other_rows(path: Path) -> None:
    shutil.copy(next(path.parent.glob("sink-before-1.parquet")), path)
    frame = pl.read_parquet(path)
    pl.concat([frame, frame]).write_parquet(path)


def dangling(path: Path) -> None:
    path.write_text('{"version":99999,"size":3}')


ANY: tuple[Callable[[Path], None], ...] = (
    cut, cut_the_end, empty, zero, nul_tail, other_text, bad_utf8, directory, missing
)  # fmt: skip
ENTRY = (*ANY, half_line, other_json, a_list, wrong_types)
PARQUET = (*ANY, zero_pages, other_schema)
SILENT = {(NEWEST, missing), (HINT, missing), (HINT, cut_the_end), (HINT, nul_tail), (HINT, half_line)}
"""Nothing shows that there ever was more, or what is left says the same. The first entry is summed up."""

MATRIX = [
    *((file, ruin) for file in (NEWEST, EARLIER, FIRST) for ruin in ENTRY),
    *((CHECKPOINT, ruin) for ruin in PARQUET),
    *((HINT, ruin) for ruin in (*ANY, other_json, a_list, dangling)),
    *((DATA, ruin) for ruin in (*PARQUET, other_rows)),
    *((NEWEST, ruin) for ruin in (outside, odd_remove, deep, loop)),
    (HINT, deep),
    (DATA, loop),
]


@pytest.mark.parametrize(
    ("file", "ruin"), MATRIX, ids=[f"{file[-24:]} {ruin.__name__}" for file, ruin in MATRIX]
)
def test_one_damaged_file_costs_that_file(lake: Lake, file: str, ruin: Callable[[Path], None]) -> None:
    damaged = path_of(lake, file)
    ruin(damaged)
    expected = ROWS[:-1] if file == DATA else ROWS

    async_to_sync(everything_is_written)()

    reader = LakeReader(lake)
    assert sorted(reader.scan("quotes").collect()["bid"]) == [*expected, 100.0, 101.0]
    assert [b["bid"].to_pylist() for b in reader.batches("quotes")] == [[*expected, 100.0, 101.0]]
    assert len(rows(lake, "trades")) == 2
    if file == DATA:
        assert [words for words in reader.left_out_words() if damaged.name in words]

    for table in ("quotes", "trades"):
        for step in compaction.plan(lake, table, timezone.now() + LATER):
            step.work()
    assert bids(lake) == [*expected, 100.0, 101.0]
    retention.create_policies()
    for kind in (Kind.RETAIN, Kind.CLEAN):
        run = look_after(kind, lake, "quotes")
        assert run.state == State.DONE, run.error
    assert bids(lake) == [*expected, 100.0, 101.0]
    if (file, ruin) not in SILENT and file != FIRST:
        (words,) = [finding.words for finding in findings(lake) if "quotes" in finding.subject]
        assert "quotes" in words
        assert damaged.name in words


async def everything_is_written() -> None:
    """By a sink that starts over what is damaged."""
    async with lake_sink() as writing:
        writing.quotes(2, first=100)
        writing.channel.put(Trade("okx", "BTC/USDT", 2.0, 1.0, None, None, None, time.time_ns() // 1000))
        await writing.until_written(2)
        await writing.until_written(1, "trades")
        assert not writing.sink.stats()["problem"]


def findings(lake: Lake) -> list[Finding]:
    """Findings of the monitor about the lake."""
    missing: list[str] = []
    measured = tuple(lake_tables({}, missing))
    assert not missing
    now = Observed(at_us=1, redis=Answer(True), database=Answer(True), lake=measured)
    return [f for f in assess(now, Limits()) if f.kind == "lake_write"]


def test_readers_do_without_what_is_damaged_before_anybody_writes(lake: Lake) -> None:
    """Between the crash and the next collector, the pages read as well."""
    for ruin, file in ((zero, NEWEST), (cut, CHECKPOINT), (other_text, HINT)):
        ruin(path_of(lake, file))
    ruin_of_data = path_of(lake, DATA)
    zero_pages(ruin_of_data)
    reader = LakeReader(lake)
    assert sorted(reader.scan("quotes").collect()["bid"]) == ROWS[:-1]
    assert reader.symbols("quotes") == ["BTC/USDT"]
    assert reader.range("quotes") is not None


def test_a_damaged_entry_leaves_a_gap_row_that_names_table_and_file(lake: Lake) -> None:
    cut(path_of(lake, NEWEST))
    Appender(lake, "quotes", "sink-after").append(table_of(quote(9)), 1)
    (gap,) = rows(lake, "stream_states").to_dicts()
    assert (gap["exchange"], gap["symbol"], gap["state"]) == ("", "", "gap")
    assert "quotes" in gap["reason"]
    assert NEWEST in gap["reason"]
    assert gap["since_us"] <= gap["received_ts_us"]


def test_what_is_set_aside_is_kept_as_it_was(lake: Lake) -> None:
    path = path_of(lake, NEWEST)
    cut(path)
    content = path.read_bytes()
    Appender(lake, "quotes", "sink-after").append(table_of(quote(9)), 1)
    quarantine = Path(lake.uri("quotes")) / "_quarantine"
    (kept,) = [each for each in quarantine.iterdir() if "note" not in each.name]
    assert kept.read_bytes() == content
    assert kept.name.endswith(path.name)


def test_two_that_mend_at_once_bring_each_row_back_once(lake: Lake) -> None:
    for version in (6, 7, 8):
        zero(path_of(lake, f"_delta_log/{version:020}.json"))
    with ThreadPoolExecutor(4) as pool:
        writers = [Appender(lake, "quotes", f"sink-{number}") for number in range(4)]
        jobs = [pool.submit(w.append, table_of(quote(100 + n)), 1) for n, w in enumerate(writers)]
        for job in jobs:
            job.result()
    assert bids(lake) == [*ROWS, 100, 101, 102, 103]


def test_a_flush_over_two_hours_whose_entry_is_lost_comes_back_whole(lake: Lake) -> None:
    early = structs.replace(quote(200), received_ts_us=quote(1).received_ts_us - 3_600_000_000)
    Appender(lake, "quotes", "sink-two").append(table_of(early, quote(201)), 1)
    zero(path_of(lake, f"_delta_log/{9:020}.json"))
    Appender(lake, "quotes", "sink-after").append(table_of(quote(9)), 1)
    assert bids(lake) == [*ROWS, 9, 200, 201]


def displaced(table: Path) -> Callable[[], None]:
    """A file in a table's place, until what is returned is called."""
    aside = table.rename(table.with_name("aside"))
    table.write_text("no directory")

    def come_back() -> None:
        table.unlink()
        aside.rename(table)

    return come_back


async def test_a_table_that_cannot_be_mended_holds_up_no_other(lake: Lake) -> None:
    """Whatever is in its place: the others go on, the problem names it, and its rows wait."""
    come_back = displaced(Path(lake.uri("quotes")))
    async with lake_sink() as writing:
        for number in range(1, 4):
            writing.quotes(1, first=1000 + number)
            writing.channel.put(Trade("okx", "BTC/USDT", 2.0, 1.0, None, None, None, time.time_ns() // 1000))
            await writing.until_written(number, "trades")
        await writing.until(lambda stats: "quotes" in stats["problem"])
        come_back()
        await writing.until_written(3)
        await writing.until(lambda stats: not stats["problem"])
    assert bids(lake) == [*ROWS, 1001, 1002, 1003]


async def test_rows_of_a_table_that_stays_broken_give_way_and_are_counted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "FLUSH_ROWS", 50)
    come_back = displaced(Path(lake.uri("quotes")))
    async with lake_sink() as writing:
        for number in range(1, 30):
            writing.quotes(10, first=1000 + number)
            writing.channel.put(Trade("okx", "BTC/USDT", 2.0, 1.0, None, None, None, time.time_ns() // 1000))
            await writing.until_written(number, "trades")
        stats = writing.sink.stats()
        assert stats["events_lost"] > 0
        assert stats["pending_rows"] <= 200
        come_back()
        await writing.until(lambda stats: not stats["problem"])
    gaps = rows(lake, "stream_states").filter(pl.col("state") == "gap", pl.col("dropped") > 0)
    assert gaps.height
    assert gaps["since_us"].null_count() == 0


class TestAnswers:
    """Answers to requests from a damaged lake."""

    async def test_one_that_breaks_half_way_ends_with_an_error(self) -> None:
        def pieces() -> Iterator[bytes]:
            yield b'{"a":1}\n'
            raise ComputeError("parquet: page is corrupt")

        answer = Reading(pieces())
        await answer.begins()
        found = [json.loads(line) async for line in answer]
        assert found[0] == {"a": 1}
        assert "unfinished" in found[1]["error"]
        assert len(found) == 2

    def test_one_that_leaves_something_out_names_it_in_its_last_line(self, lake: Lake) -> None:
        damaged = path_of(lake, DATA)
        empty(damaged)
        reader = LakeReader(lake)
        frames = reader.snapshot("quotes").frames()
        found = [
            json.loads(line)
            for piece in ndjson.warned(ndjson.encoded(frames, {"bid": pl.col("bid")}), reader)
            for line in piece.splitlines()
        ]
        assert [line["bid"] for line in found[:-1]] == ROWS[:-1]
        assert f"quotes/{damaged.relative_to(lake.uri('quotes'))}" in found[-1]["warning"]
