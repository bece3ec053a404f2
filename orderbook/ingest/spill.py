"""Batches that wait on disk while the database is away: segments of records, replayed in their order.

A record is a batch: its length, its CRC-32, how many events, and the events as MessagePack. It is on the
disk (fsync) before `append` returns. A segment whose end is torn is read up to its last whole record, and
what is left of it counted. Every process locks the segments it will replay; those of a process that is gone
are adopted by the next one, whatever its shard.
"""

import fcntl
import logging
import os
import time
import uuid
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from struct import Struct as Layout
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct, structs

from markets.events import BookUpdate, Quote, Trade
from orderbook.ingest.events import StoreEvent, Top5

logger = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 8 * 2**20
"""So much is dropped at once when there is no more room."""

_HEAD: Final = Layout(">III")  # bytes, CRC-32 and events of a record
_TYPES: Final = (Quote, Trade, BookUpdate, Top5)
_KINDS: Final[dict[str, type[StoreEvent]]] = {each.__name__: each for each in _TYPES}
_SUFFIX: Final = ".spill"


class _Segment(Struct):
    file: BinaryIO
    path: Path
    bytes: int = 0
    events: int = 0
    read: int = 0  # up to where it was replayed


class Spill:
    """A queue of batches on disk, at most `most_bytes` of it; beyond them the oldest segment is dropped.

    One thread at a time; its counters may be asked from any. `dropped` counts events, `torn_bytes` what no
    whole record can be made of.
    Raises OSError where the disk does not take or give what it should.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.dropped = 0
        self.torn_bytes = 0
        self._directory = directory
        self._segments: deque[_Segment] = deque()
        self._appending: _Segment | None = None
        self._next: list[tuple[list[StoreEvent], int]] = []

    def adopt(self) -> None:
        """Take over what processes that are gone have left."""
        with suppress(FileNotFoundError):
            for path in sorted(self._directory.iterdir()):
                if path.suffix == _SUFFIX and path not in {each.path for each in self._segments}:
                    self._adopt(path)

    def _adopt(self, path: Path) -> None:
        try:
            file = path.open("rb+")
        except FileNotFoundError:
            return
        if not _is_locked(file):
            file.close()
            return
        segment = _Segment(file, path)
        for head, _body in _records(file, bodies=False):
            segment.bytes += _HEAD.size + head[0]
            segment.events += head[2]
        torn = os.fstat(file.fileno()).st_size - segment.bytes
        logger.warning(
            "store: %s with %d events is taken over; %d bytes of it are torn", path, segment.events, torn
        )
        self.torn_bytes += torn
        self._segments.append(segment)
        self._segments = deque(sorted(self._segments, key=lambda each: each.path.name))

    def __bool__(self) -> bool:
        return bool(self._segments)

    @property
    def size_bytes(self) -> int:
        """Bytes that wait."""
        return sum(each.bytes - each.read for each in tuple(self._segments))

    @property
    def since_us(self) -> int | None:
        """When the oldest that waits began to, µs since the epoch."""
        return next((_begun_ns(each.path) // 1000 for each in tuple(self._segments)), None)

    @property
    def events(self) -> int:
        """How many events wait."""
        return sum(each.events for each in tuple(self._segments))

    def append(self, events: Sequence[StoreEvent]) -> None:
        """Keep a batch; on the disk when this returns.

        Raises OSError, and TypeError, ValueError or OverflowError for what cannot be kept.
        """
        record = _record(events)
        segment = self._appending
        if segment is None or segment.bytes + len(record) > SEGMENT_BYTES:
            segment = self._begin()
        self._make_room(len(record))
        try:
            segment.file.seek(segment.bytes)
            segment.file.write(record)
            segment.file.flush()
            os.fsync(segment.file.fileno())
        except OSError:
            with suppress(OSError):
                segment.file.truncate(segment.bytes)
            raise
        segment.bytes += len(record)
        segment.events += len(events)

    def oldest(self, most: int) -> list[StoreEvent]:
        """The oldest batches, together at most `most` events or one batch; `replayed` lets go of them."""
        self._next = []
        while self._segments and not self._next:
            segment = self._segments[0]
            segment.file.seek(segment.read)
            count = 0
            for (length, _crc, events), body in _records(segment.file):
                if self._next and count + events > most:
                    break
                count += events
                self._next.append((self._decoded(body), _HEAD.size + length))
            if not self._next:  # damaged since
                self.torn_bytes += segment.bytes - segment.read
                self._remove(segment)
        return [event for events, _length in self._next for event in events]

    def _decoded(self, body: bytes) -> list[StoreEvent]:
        try:
            return _events(body)
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:  # of another version
            logger.error("store: %d bytes on disk cannot be read: %r", len(body), error)
            self.torn_bytes += len(body)
            return []

    def replayed(self) -> None:
        """Let go of what `oldest` has returned last."""
        if not self._next or not self._segments:
            return
        segment = self._segments[0]
        segment.read += sum(length for _events, length in self._next)
        segment.events = max(0, segment.events - sum(len(events) for events, _length in self._next))
        self._next = []
        if segment.read >= segment.bytes:
            self._remove(segment)

    def close(self) -> None:
        """Leave what waits to the next process."""
        for segment in self._segments:
            segment.file.close()
        self._segments.clear()
        self._appending = None

    def _begin(self) -> _Segment:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
        file = path.open("xb+")
        if not _is_locked(file):
            raise OSError(f"{path} is locked by another process")
        _keep_name(self._directory)
        self._appending = segment = _Segment(file, path)
        self._segments.append(segment)
        return segment

    def _make_room(self, wanted: int) -> None:
        while self.size_bytes + wanted > self.most_bytes and len(self._segments) > 1:
            oldest = self._segments[0]
            self.dropped += oldest.events
            logger.error(
                "store: the disk keeps no more than %d MB: %d events since %s were dropped",
                self.most_bytes // 10**6, oldest.events, _in_words(_begun_ns(oldest.path)),
            )  # fmt: skip
            self._remove(oldest)

    def _remove(self, segment: _Segment) -> None:
        self._segments.remove(segment)
        if segment is self._appending:
            self._appending = None
        segment.path.unlink(missing_ok=True)
        segment.file.close()


def _is_locked(file: BinaryIO) -> bool:
    """Lock a segment for as long as it is open; false where another process has it, or has replayed it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(file.fileno()).st_nlink > 0


def _keep_name(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _record(events: Sequence[StoreEvent]) -> bytes:
    runs = [(kind.__name__, list(map(structs.astuple, run))) for kind, run in groupby(events, type)]
    body = msgspec.msgpack.encode(runs)
    return _HEAD.pack(len(body), _crc(body, len(events)), len(events)) + body


def _crc(body: bytes, events: int) -> int:
    return zlib.crc32(body, events)


def _events(body: bytes) -> list[StoreEvent]:
    runs: list[tuple[str, list[list[Any]]]] = msgspec.msgpack.decode(body)
    return [_KINDS[name](*fields) for name, run in runs for fields in run]


def _records(file: BinaryIO, *, bodies: bool = True) -> Iterator[tuple[tuple[int, int, int], bytes]]:
    """Whole records from where the file stands, their bodies only where they are wanted."""
    while len(head := file.read(_HEAD.size)) == _HEAD.size:
        length, crc, events = _HEAD.unpack(head)
        body = file.read(length)
        if len(body) < length or _crc(body, events) != crc:
            return
        yield (length, crc, events), body if bodies else b""


def _begun_ns(path: Path) -> int:
    """When a segment was begun, ns since the epoch."""
    begun = path.name.partition("-")[0]
    return int(begun) if begun.isdecimal() else 0


def _in_words(ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ns // 10**9))
