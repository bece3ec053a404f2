"""A lake that cannot be written: the collector goes on, drops its oldest, and says later what it lost."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from history.write import sink as sink_module
from tests.support.lakes.lake import SYMBOLS, Writing, bids, lake_sink, rows

CAPACITY = 1000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushes and retries in a hurry, and small."""
    monkeypatch.setattr(sink_module, "FLUSH_S", 0.02)
    monkeypatch.setattr(sink_module, "FLUSH_ROWS", CAPACITY)
    monkeypatch.setattr(sink_module, "RETRY_CEILING_S", 0.25)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes; needs the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a disk of its own cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def lake(small_disk: Path, settings: Settings) -> Path:
    settings.LAKE_URL = str(small_disk / "lake")
    return small_disk / "lake"


def fill(lake: Path) -> Callable[[], None]:
    """No byte more fits on the disk."""
    filler = lake.parent / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65536, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler.unlink


def make_read_only(lake: Path) -> Callable[[], None]:
    """Make a directory read-only, as a disk becomes when its file system finds an error."""

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(lake.parent)], check=True)

    remount("ro")
    return lambda: remount("rw")


def put_a_file_in_its_place(lake: Path) -> Callable[[], None]:
    """Not even root can write below a file."""
    aside = lake.with_name("aside")
    lake.rename(aside)
    lake.write_text("not a directory")

    def bring_back() -> None:
        lake.unlink()
        aside.rename(lake)

    return bring_back


async def overflow(writing: Writing, first: int) -> int:
    """Send until the channel has dropped; returns the last number sent."""
    last = first - 1
    while not writing.channel.dropped:
        writing.quotes(100, first=last + 1)
        last += 100
        await writing.until(lambda stats: stats["pending_rows"])
    return last


async def loses_and_says_so(lake: Path, break_it: Callable[[Path], Callable[[], None]]) -> None:
    """The whole story, whatever the trouble."""
    async with lake_sink(capacity=CAPACITY) as writing:
        writing.quotes(10)
        await writing.until_written(10)
        mend = break_it(lake)
        last = await overflow(writing, first=11)
        await writing.until(lambda stats: stats["problem"])
        stats = writing.sink.stats()
        assert stats["failures"] > 0
        assert stats["pending_rows"] <= 2 * CAPACITY + sink_module.EVENTS_PER_TURN
        mend()
        await writing.until(lambda stats: not stats["problem"])
        writing.quotes(1, first=last + 1)
        stats = await writing.finish()
    there = bids(lake)
    lost = stats["events_lost"]
    assert lost == writing.channel.dropped > 0
    assert len(there) == len(set(there)) == last + 1 - lost
    assert there[:10] == list(range(1, 11))
    assert there[-1] == last + 1
    gaps = [state for state in rows(lake, "stream_states").to_dicts() if state["state"] == "gap"]
    assert {gap["symbol"] for gap in gaps} == set(SYMBOLS)
    assert sum(gap["dropped"] for gap in gaps) == lost * len(SYMBOLS)


class TestDisk:
    async def test_full(self, lake: Path, caplog: pytest.LogCaptureFixture) -> None:
        await loses_and_says_so(lake, fill)
        said = [record.getMessage() for record in caplog.records if record.name == "history.write.sink"]
        assert len(said) == 2
        assert "cannot be written, trying again" in said[0]
        assert "No space left on device" in said[0]
        assert "is written again" in said[1]

    async def test_read_only(self, lake: Path) -> None:
        await loses_and_says_so(lake, make_read_only)

    async def test_gone(self, tmp_path: Path, settings: Settings) -> None:
        settings.LAKE_URL = str(tmp_path / "lake")
        await loses_and_says_so(tmp_path / "lake", put_a_file_in_its_place)

    async def test_never_there(self, tmp_path: Path, settings: Settings) -> None:
        """A start without a lake waits for it as a running collector does."""
        settings.LAKE_URL = str(tmp_path / "lake")
        (tmp_path / "lake").write_text("not a directory")
        async with lake_sink(capacity=CAPACITY) as writing:
            writing.quotes(5)
            await writing.until(lambda stats: stats["problem"])
            (tmp_path / "lake").unlink()
            await writing.until_written(5)
        assert bids(tmp_path / "lake") == [1, 2, 3, 4, 5]


async def test_rows_that_could_not_be_written_by_the_end_are_named(
    tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.LAKE_URL = str(tmp_path / "lake")
    (tmp_path / "lake").write_text("not a directory")
    async with lake_sink() as writing:
        writing.quotes(5)
        await writing.until(lambda stats: stats["problem"])
    # the quotes, and the row that says that a collector started
    assert "lake: 6 rows not written" in caplog.text
