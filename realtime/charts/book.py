"""The chart book of a web process: what is known of each chart now, by what batches and the store said."""

from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from core.names.chart_ids import parts_of
from engine.charts.points import SET_BACK_US, ChartState, Points, later_us, no_points
from realtime.charts.backlog import Backlog
from realtime.charts.recent import Snapshot
from realtime.charts.shards import Shards, Step
from realtime.charts.wire import Batch, ChartMessage, unpack
from realtime.shard_view import SILENT_AFTER_S


class KnownChart(Struct):
    """A chart's newest state, the shard that said so, and its last seconds once batches brought some."""

    shard: str
    state: ChartState
    reason: str
    backlog: Backlog | None = None
    newest_us: float = 0.0
    quoted1_us: int = 0
    quoted2_us: int = 0


class ChartBook:
    """Every known chart by its id, and the shards they come from."""

    def __init__(self) -> None:
        self.shards = Shards()
        self._charts: dict[str, KnownChart] = {}

    def __len__(self) -> int:
        return len(self._charts)

    # --- what is applied -------------------------------------------------------------------------

    def follow(self, batch: Batch) -> Step:
        """Note that this batch came, and end what does not go on with it; `apply` it after that."""
        step = self.shards.follow(batch)
        if not batch.previous_ts_us:  # a new process speaks for the shard: the old one's states are no more
            for id in self.of(batch.shard):
                known = self._charts[id]
                known.state, known.reason = "stale", f"waiting for collector {batch.shard}"
        if step.is_break:
            for id in self.of(batch.shard):
                self._charts[id].backlog = None
        return step

    def apply(self, batch: Batch) -> list[ChartMessage]:
        """Note what its charts are now; returns them, without points that do not rise."""
        return [self._apply(batch, unpack(packed)) for packed in batch.charts]

    def _apply(self, batch: Batch, delta: ChartMessage) -> ChartMessage:
        known = self._charts.get(delta.id)
        if known is None:
            known = self._charts[delta.id] = KnownChart(batch.shard, delta.state, delta.reason)
        known.shard, known.state, known.reason = batch.shard, delta.state, delta.reason
        known.quoted1_us = later_us(known.quoted1_us, delta.quoted1_us)
        known.quoted2_us = later_us(known.quoted2_us, delta.quoted2_us)
        if known.backlog is None:
            # A new process's first flush has none before it: what is older is in the store.
            known.backlog = Backlog(min(batch.previous_ts_us or batch.flush_ts_us, batch.flush_ts_us - 1))
        if len(delta.points):
            if delta.points[-1, 0] < known.newest_us - SET_BACK_US:
                known.newest_us = 0.0
            delta.points = delta.points[np.searchsorted(delta.points[:, 0], known.newest_us, side="right") :]
            known.newest_us = max([known.newest_us, *delta.points[-1:, 0]])
        known.backlog.add(batch.flush_ts_us, delta.points)
        delta.ahead_s = self._ahead_s(known)
        return delta

    def learn(self, snapshot: Snapshot) -> None:
        """Take from the store what no batch has brought yet."""
        self.shards.learn(snapshot.flushed)
        for id, stored in snapshot.charts.items():
            tail = stored.tail
            known = KnownChart(tail.shard, tail.state, tail.reason)
            known.quoted1_us, known.quoted2_us = tail.quoted1_us, tail.quoted2_us
            self._charts.setdefault(id, known)

    def keep(self, ids: Iterable[str]) -> None:
        """Forget all other charts."""
        self._charts = {id: self._charts[id] for id in ids if id in self._charts}

    # --- what is known ---------------------------------------------------------------------------

    def of(self, shard: str) -> set[str]:
        """The charts that come from this shard."""
        return {id for id, known in self._charts.items() if known.shard == shard}

    def chart(self, id: str, points: Points | None = None) -> ChartMessage:
        """A chart's present state, in words, with these points."""
        symbol, exchange1, exchange2 = parts_of(id)
        known = self._charts.get(id)
        state, reason = self._state(known)
        rows = no_points() if points is None else points
        quoted = (known.quoted1_us, known.quoted2_us) if known else (0, 0)
        ahead_s = self._ahead_s(known) if known else 0.0
        return ChartMessage(id, symbol, exchange1, exchange2, state, reason, rows, *quoted, ahead_s)

    def flushed_us(self, id: str) -> int:
        """The newest flush received of the chart's shard; 0 while none was."""
        known = self._charts.get(id)
        shard = None if known is None else self.shards.get(known.shard)
        return 0 if shard is None else shard.flush_ts_us

    def is_silent(self, id: str) -> bool:
        """Whether nothing comes from the chart's shard now."""
        known = self._charts.get(id)
        return known is None or self._is_silent(known)

    def backlog(self, id: str) -> Backlog | None:
        """The chart's last seconds."""
        known = self._charts.get(id)
        return None if known is None else known.backlog

    def _state(self, known: KnownChart | None) -> tuple[ChartState, str]:
        if known is None:
            return "stale", "waiting for the collector"
        if self._is_silent(known):
            return "stale", f"no data from collector {known.shard} for {SILENT_AFTER_S:g} s"
        return known.state, known.reason

    def _is_silent(self, known: KnownChart) -> bool:
        shard = self.shards.get(known.shard)
        return shard is None or shard.silent

    def _ahead_s(self, known: KnownChart) -> float:
        shard = self.shards.get(known.shard)
        return 0.0 if shard is None else shard.ahead_s()
