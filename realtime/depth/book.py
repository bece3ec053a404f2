"""The ladders of all shards as a web process follows them: of each book the newest, with its age.

Plain Python, no Django. Frames and states come by two ways, so either may be late: `seq` says of every
ladder which is newer. Ages count on by the reader's own monotonic clock.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from realtime.depth.wire import Frame, Key, Ladder, State
from realtime.scanner.wire import on_the_way_s
from realtime.shard_view import SILENT_AFTER_S

GONE_AFTER_S: Final = 60.0


class Held(Struct, frozen=True):
    """A ladder, the message that said it, and when its book was updated last, s of the reader's clock."""

    ladder: Ladder
    seq: int
    born_s: float | None


class Depth(Struct, frozen=True):
    """Knowledge of one book now; `problem` says in words why its levels are not, empty: they are known.

    `born_s` is when it was updated last, s of the reader's monotonic clock; None: never.
    """

    ladder: Ladder
    problem: str
    born_s: float | None


class ShardDepth:
    """One shard's ladders."""

    def __init__(self, shard: str, now_s: float) -> None:
        self.shard = shard
        self.received_s = now_s
        self.seq = 0
        self.ladders: dict[Key, Held] = {}
        self._dropped: dict[Key, int] = {}  # by which message a book ceased to be followed
        self._state_seq = 0
        self._behind_until = 0

    @property
    def is_behind(self) -> bool:
        """Whether a frame is missing that no state has made up for yet."""
        return self._behind_until > 0

    def apply(self, frame: Frame, now_s: float) -> bool:
        """Apply a frame received at `now_s`; false when one is missing: read a state."""
        self.received_s = max(self.received_s, now_s)
        if frame.seq <= self._state_seq:  # a state has said all of it
            return not self.is_behind
        if frame.previous > self.seq:
            self._behind_until = max(self._behind_until, frame.previous)
        self.seq = max(self.seq, frame.seq)
        for ladder in frame.ladders:
            self._put(ladder, frame.seq, now_s)
        for key in frame.gone:
            self._drop(key, frame.seq)
        return not self.is_behind

    def merge(self, state: State, now_us: int, now_s: float) -> None:
        """Take over what a state knows better, and nothing that frames said since."""
        made_s = now_s - on_the_way_s(state.ts_us, now_us)
        self.received_s = max(self.received_s, made_s)
        if state.seq < self._state_seq:
            return
        for ladder in state.ladders:
            self._put(ladder, state.seq, made_s)
        kept = {ladder.key for ladder in state.ladders}
        for key in [key for key in self.ladders if key not in kept]:
            self._drop(key, state.seq)
        self._dropped = {key: seq for key, seq in self._dropped.items() if seq > state.seq}
        self.seq, self._state_seq = max(self.seq, state.seq), state.seq
        if state.seq >= self._behind_until:
            self._behind_until = 0

    def is_silent(self, now_s: float) -> bool:
        """Whether nothing has been received of it lately."""
        return now_s - self.received_s > SILENT_AFTER_S

    def _put(self, ladder: Ladder, seq: int, made_s: float) -> None:
        held = self.ladders.get(ladder.key)
        if seq <= self._dropped.get(ladder.key, 0) or (held is not None and held.seq >= seq):
            return
        born_s = None if ladder.age_ms is None else made_s - ladder.age_ms / 1e3
        self.ladders[ladder.key] = Held(ladder, seq, born_s)

    def _drop(self, key: Key, seq: int) -> None:
        held = self.ladders.get(key)
        if held is None or held.seq <= seq:
            self.ladders.pop(key, None)
            self._dropped[key] = max(seq, self._dropped.get(key, 0))


class DepthBook:
    """All shards' ladders."""

    def __init__(self) -> None:
        self.stale: set[str] = set()  # shards that frames were missed of: their states are to be read
        self._shards: dict[str, ShardDepth] = {}

    def clear(self) -> None:
        """Forget everything: nobody looks any more."""
        self.stale.clear()
        self._shards.clear()

    def apply(self, frame: Frame) -> None:
        """Apply a frame, or note that its shard's state has to be read."""
        shard = self._shards.get(frame.shard)
        if shard is None or not shard.apply(frame, time.monotonic()):
            self.stale.add(frame.shard)

    def learn(self, states: Mapping[str, State]) -> None:
        """Take over from states what no frame has said better."""
        now_us, now_s = time.time_ns() // 1000, time.monotonic()
        for name, state in states.items():
            if name not in self._shards:
                self._shards[name] = ShardDepth(name, now_s - on_the_way_s(state.ts_us, now_us))
            self._shards[name].merge(state, now_us, now_s)

    def drop_gone(self) -> None:
        """Forget shards that have been silent for long."""
        now_s = time.monotonic()
        for name, shard in list(self._shards.items()):
            if now_s - shard.received_s >= GONE_AFTER_S:
                del self._shards[name]

    def get(self, key: Key) -> Depth | None:
        """Return what is known of a book; None: no collector follows it."""
        now_s = time.monotonic()
        for shard in self._newest_first():
            if (held := shard.ladders.get(key)) is not None:
                return _depth(held, shard, now_s)
        return None

    def all(self) -> Iterator[tuple[Key, Depth]]:
        """Return every book that is followed; of one that two shards know, what the newer says."""
        now_s, seen = time.monotonic(), set[Key]()
        for shard in self._newest_first():
            for key, held in shard.ladders.items():
                if key not in seen:
                    seen.add(key)
                    yield key, _depth(held, shard, now_s)

    def _newest_first(self) -> list[ShardDepth]:
        return sorted(self._shards.values(), key=lambda shard: shard.received_s, reverse=True)

    def __len__(self) -> int:
        return sum(len(shard.ladders) for shard in self._shards.values())


def _depth(held: Held, shard: ShardDepth, now_s: float) -> Depth:
    problem = held.ladder.problem
    if shard.is_silent(now_s):
        problem = f"no data from collector {shard.shard} for {now_s - shard.received_s:.0f} s"
    return Depth(held.ladder, problem, held.born_s)
