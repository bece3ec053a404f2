"""The collector shards as a web process follows them: the newest flush of each, and which are silent."""

import logging
import time
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from engine.charts.points import SET_BACK_US
from realtime.charts.recent import WINDOW_S
from realtime.charts.wire import Batch
from realtime.shard_view import SAME_CLOCK_S, SILENT_AFTER_S, ShardView, all_until_s

logger = logging.getLogger(__name__)

FUTURE_SLACK_US: Final = 5_000_000
SEQ_SLACK_US: Final = 100_000  # messages between two flushes count on from the newest received


class Step(Struct):
    """How a flush follows the one before it of the same shard."""

    shard: ShardView
    last_us: int  # the newest flush received before
    is_missing: bool  # flushes between that and this one were lost
    is_set_back: bool  # the shard's clock was set back between them
    is_return: bool  # the shard was silent until now

    @property
    def is_break(self) -> bool:
        """Whether this flush does not go on where the last one ended."""
        return self.is_missing or self.is_set_back


class Shards:
    """Every shard a batch or the store named.

    `watermark` is the flush (µs) up to which every live shard was received; the newest when none is live.
    """

    def __init__(self) -> None:
        self.watermark = 0
        self._views: dict[str, ShardView] = {}

    def follow(self, batch: Batch) -> Step:
        """Note that this batch came."""
        shard = self._views.get(batch.shard)
        if shard is None:
            shard = self._views[batch.shard] = ShardView(batch.shard, 0, batch.previous_ts_us)
        step = Step(
            shard,
            shard.flush_ts_us,
            is_missing=batch.previous_ts_us > shard.flush_ts_us or not batch.previous_ts_us,
            is_set_back=batch.flush_ts_us < shard.flush_ts_us - SET_BACK_US,
            is_return=shard.silent,
        )
        shard.note_batch(batch.flush_ts_us, set_back=step.is_set_back)
        shard.silent = False
        self._move_watermark()
        if step.is_set_back:
            logger.warning("the clock of collector %s was set back", shard.name)
        if step.is_return:
            logger.info("collector %s is back", shard.name)
        return step

    def learn(self, flushed: Mapping[str, int]) -> None:
        """Take shards and their newest flushes (µs) from the store, where no batch came from them yet."""
        now, now_us = time.monotonic(), time.time_ns() // 1000
        for name, stamp in flushed.items():
            if name not in self._views:
                shard = self._views[name] = ShardView(name, now - max(0, now_us - stamp) / 1e6, stamp)
                shard.silent = shard.fell_silent(now)
        self._move_watermark()

    def turned(self) -> list[ShardView]:
        """Shards that fell silent since the last call, or whose clock was set, or ours."""
        now = time.monotonic()
        found = []
        for shard in self._views.values():
            is_silenced = shard.fell_silent(now)
            if is_silenced:
                logger.warning("no data from collector %s for %g s", shard.name, SILENT_AFTER_S)
                shard.silent = True
            if is_silenced or abs(shard.ahead_s() - shard.said_ahead_s) > SAME_CLOCK_S:
                shard.said_ahead_s = shard.ahead_s()
                found.append(shard)
        self._move_watermark()
        return found

    def get(self, name: str) -> ShardView | None:
        """A shard; None while nothing is known of it."""
        return self._views.get(name)

    def until_s(self, flush_us: int) -> float:
        """When everything up to a flush had been received, s by the wall clock here; 0 while nothing was."""
        until_s = all_until_s(self._views.values())
        return max(0.0, until_s - max(0, self.watermark - flush_us) / 1e6)

    def can_resume(self, seq: int) -> bool:
        """Whether points after it can be separated from those before: it is not beyond what was received."""
        now_us = time.time_ns() // 1000
        latest_us = self.watermark + SEQ_SLACK_US if self.watermark else now_us + FUTURE_SLACK_US
        return min(now_us, latest_us) - WINDOW_S * 1_000_000 < seq <= latest_us

    def stats(self) -> dict[str, int]:
        """Counters an operator can see, name -> value."""
        silent = sum(shard.silent for shard in self._views.values())
        return {"shards": len(self._views), "shards_silent": silent}

    def _move_watermark(self) -> None:
        live = [shard.flush_ts_us for shard in self._views.values() if not shard.silent]
        newest = max((shard.flush_ts_us for shard in self._views.values()), default=0)
        self.watermark = min(live, default=newest)
