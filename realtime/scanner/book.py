"""The scanner's book: the table of all pairs, and the collector shards whose legs are in it."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from core.clock.clocks import JUMP_S
from markets.config import MarketConfig
from markets.follow.fundings import Snapshot
from realtime.depth.book import DepthBook
from realtime.scanner.table import NEVER_S, Match, ScanTable
from realtime.scanner.wire import Frame, ShardScan, on_the_way_s
from realtime.shard_view import SILENT_AFTER_S

GONE_AFTER_S: Final = 60.0
NOTHING: Final = MarketConfig(0, (), frozenset(), ())


class FollowedShard:
    """A shard as it is followed, and where its rows go in the present table."""

    def __init__(self, scan: ShardScan, match: Match) -> None:
        self.scan = scan
        self.match = match
        self.since_s = NEVER_S  # when it spoke again, after a silence
        self._was_silent = False

    def turn(self, now_s: float) -> None:
        """Note when a silence ends."""
        silent = self.silent(now_s)
        if self._was_silent and not silent:
            self.since_s = now_s
        self._was_silent = silent

    def silent(self, now_s: float) -> bool:
        """Whether nothing has been received of it lately."""
        return now_s - self.scan.received_s > SILENT_AFTER_S


def _wall_us() -> int:
    """Lead of the wall clock over the monotonic one, µs."""
    return time.time_ns() // 1000 - time.monotonic_ns() // 1000


class ScanBook:
    """Frames and states are applied to the shards; a refresh brings their legs into the table."""

    def __init__(self) -> None:
        self.table = ScanTable(NOTHING)
        self.stale: set[str] = set()  # shards that frames were missed of: their states are to be read
        self.depth = DepthBook()
        self.now_s = 0.0  # the newest refresh; whole µs, so that `now_us` less it is always the same
        self._shards: dict[str, FollowedShard] = {}
        self._counts: dict[str, int] | None = None
        self._funding: Sequence[Snapshot] = ()
        self._wall_us = _wall_us()

    def clear(self) -> None:
        """Forget everything: nobody looks any more."""
        self.table = ScanTable(NOTHING)
        self._counts = None
        self._funding = ()
        self.depth.clear()
        self._shards.clear()

    # --- what collectors say ---------------------------------------------------------------------

    def apply(self, frame: Frame) -> None:
        """Apply a frame, or note that its shard's state has to be read."""
        shard = self._shards.get(frame.shard)
        if shard is None or not shard.scan.apply(frame, time.monotonic()):
            self.stale.add(frame.shard)

    def learn(self, scans: Mapping[str, ShardScan]) -> None:
        """Take over from states what no frame has said better."""
        for name, scan in scans.items():
            shard = self._shards.get(name)
            if shard is None or shard.scan.layout != scan.layout:
                shard = self._follow(name, scan, shard)
            else:
                shard.scan.merge(scan)
            self.table.take_evidence(shard.scan, shard.match)

    def _follow(self, name: str, scan: ShardScan, old: FollowedShard | None) -> FollowedShard:
        """Follow a shard by this state's layout, unless that is an earlier one than its frames have now.

        Layouts rise. One that does not is a collector's whose clock was set back while Redis was emptied:
        it is followed as soon as the one before it says nothing any more.
        """
        now_s = time.monotonic()
        if old is not None and scan.layout < old.scan.layout and not old.silent(now_s):
            return old
        # A state says nothing about how lately its writer lived: frames do.
        scan.received_s = now_s - on_the_way_s(scan.ts_us, time.time_ns() // 1000)
        if old is not None:
            scan.received_s = max(scan.received_s, old.scan.received_s)
            scan.succeed(old.scan)
        shard = self._shards[name] = FollowedShard(scan, self.table.match(scan))
        return shard

    def drop_gone(self) -> None:
        """Forget shards that have been silent for long."""
        now_s = time.monotonic()
        for name, shard in list(self._shards.items()):
            if now_s - shard.scan.received_s >= GONE_AFTER_S:
                self.table.lose(shard.match)
                del self._shards[name]

    # --- the table -------------------------------------------------------------------------------

    def adopt(self, table: ScanTable) -> None:
        """Go on with a table of another configuration."""
        table.count_hour(self._counts)
        table.funding.learn(self._funding)
        self.table = table
        for shard in self._shards.values():
            shard.match = table.match(shard.scan)
            table.take_evidence(shard.scan, shard.match)

    def count_hour(self, counts: dict[str, int] | None) -> None:
        """Take over how many opportunities each pair had in the last hour; None: unknown."""
        self._counts = counts
        self.table.count_hour(counts)

    def learn_funding(self, snapshots: Sequence[Snapshot]) -> None:
        """Take over what the shards that are not silent say of funding."""
        self._funding = snapshots
        self.table.funding.learn(snapshots)

    def refresh(self) -> None:
        """Compute the table as of now."""
        self.now_s = now_s = time.monotonic_ns() // 1000 / 1e6
        if abs((wall_us := _wall_us()) - self._wall_us) > JUMP_S * 1e6:  # it was set; all rows go along
            self._wall_us = wall_us
        self.table.now_s, self.table.now_us = now_s, self.now_us()
        # The split may have changed: a shard that lives goes over one that does not.
        for shard in sorted(self._shards.values(), key=lambda each: each.scan.received_s):
            shard.turn(now_s)
            self.table.take(shard.scan, shard.match, now_s, shard.silent(now_s), shard.since_s)
        self.table.funding.turn(self.now_us())
        self.table.learn_depth(self.depth.all())
        self.table.refresh()

    def now_us(self) -> int:
        """The time of the newest refresh, by a clock that jumps only where the wall clock was set."""
        return self._wall_us + round(self.now_s * 1e6)

    def collectors(self) -> int:
        """How many collector shards are not silent."""
        return sum(not shard.silent(self.now_s) for shard in self._shards.values())
