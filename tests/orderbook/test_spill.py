"""Batches that wait on disk: in their order, within their room, whatever became of process or disk."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.events import BookUpdate
from orderbook.ingest import spill as module
from orderbook.ingest.events import StoreEvent, Top5
from orderbook.ingest.rows import rows_of
from orderbook.ingest.spill import Spill
from tests.orderbook.test_store import NOON_US, quote, trade

ROOM = 10**9


def drained(spill: Spill, most: int = 1) -> list[list[StoreEvent]]:
    """Batches as they are replayed."""
    found = []
    while spill:
        found.append(spill.oldest(most))
        spill.replayed()
    return found


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spill"))


def test_every_kind_of_event_comes_back_as_it_was(tmp_path: Path) -> None:
    update = BookUpdate("okx", "BTC/USDT", "delta", [(1.0, 2.0)], [], 4, 5, 3, 7, None, 1, NOON_US, 9)
    top = Top5("okx", "A/B", (1.0,), (2.0,), (), (), None, NOON_US)
    batch: list[StoreEvent] = [quote(1), trade(2, 1.5, 2.5, side=None), quote(3), update, top]
    spill = Spill(tmp_path / "new", ROOM)
    assert not spill
    spill.append(batch)
    (back,) = drained(spill)
    assert back[:3] == batch[:3]
    assert [str(rows.columns) for rows in rows_of(back)] == [str(rows.columns) for rows in rows_of(batch)]
    assert not segments(tmp_path / "new")


def test_batches_are_replayed_in_their_order_several_at_a_time(tmp_path: Path) -> None:
    spill = Spill(tmp_path, ROOM)
    for at in range(0, 10, 2):
        spill.append([quote(at), quote(at + 1)])
    assert spill.events == 10
    assert spill.oldest(5) == spill.oldest(5) == [quote(at) for at in range(4)]  # until it is replayed
    spill.replayed()
    spill.append([quote(10)])
    assert drained(spill) == [[quote(at), quote(at + 1)] for at in (4, 6, 8)] + [[quote(10)]]
    assert (spill.events, spill.size_bytes) == (0, 0)


def test_the_oldest_are_dropped_and_counted_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 400)
    spill = Spill(tmp_path, 2_000)
    for at in range(100):
        spill.append([quote(at)])
        assert sum(path.stat().st_size for path in segments(tmp_path)) <= 2_000
    left = [event for batch in drained(spill) for event in batch]
    assert left == [quote(at) for at in range(100 - len(left), 100)]
    assert 5 < len(left) < 100
    assert spill.dropped == 100 - len(left)
    assert "were dropped" in caplog.text


def test_what_a_process_that_is_gone_has_left_is_adopted_by_one_other(tmp_path: Path) -> None:
    first, second, third = (Spill(tmp_path, ROOM) for _ in range(3))
    first.append([quote(1)])
    first.append([quote(2)])
    second.adopt()
    assert not second  # the first one lives
    first.close()
    second.adopt()
    third.adopt()
    assert not third
    second.append([quote(3)])
    assert drained(second) == [[quote(1)], [quote(2)], [quote(3)]]
    assert not segments(tmp_path)


@given(st.data())
def test_a_torn_segment_is_read_up_to_its_last_whole_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut or flip it anywhere: what is read is a beginning of what was written, and the rest is counted."""
    directory = tmp_path_factory.mktemp("torn")
    spill = Spill(directory, ROOM)
    ends = [0]
    for at in range(4):
        spill.append([quote(at)])
        ends.append(spill.size_bytes)
    spill.close()
    (path,) = segments(directory)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    flip = data.draw(st.booleans())
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :] if flip else whole[:at])
    again = Spill(directory, ROOM)
    again.adopt()
    read = [event for batch in drained(again) for event in batch]
    sound = sum(end <= at for end in ends[1:])
    assert read == [quote(number) for number in range(sound)]
    assert again.torn_bytes == (len(whole) if flip else at) - ends[sound]
    assert not segments(directory)


@pytest.mark.parametrize("content", [b"", b"\0" * 50])
def test_a_segment_without_a_whole_record_is_counted_and_goes(tmp_path: Path, content: bytes) -> None:
    spill = Spill(tmp_path, ROOM)
    spill.append([quote(1)])
    spill.close()
    segments(tmp_path)[0].write_bytes(content)
    again = Spill(tmp_path, ROOM)
    again.adopt()
    again.append([quote(2)])
    assert [batch for batch in drained(again) if batch] == [[quote(2)]]
    assert not segments(tmp_path)
