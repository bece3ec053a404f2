"""One hub per web process: receives every batch, applies it to the chart book, and delivers it to viewers.

It never waits for a socket. A shard that falls silent turns its charts stale; one batch of it
brings them back.
"""

import asyncio
import logging
from collections import Counter
from contextvars import Context
from typing import Final

import msgspec

from core.layer import get_channel_layer
from core.process.per_loop import PerLoop
from core.redis_client import async_redis
from core.supervised import end, supervise
from core.web.closing import Closed
from core.web.reports import register
from realtime.charts import wire
from realtime.charts.book import ChartBook
from realtime.charts.reader import RecentReader
from realtime.charts.seats import Seats
from realtime.charts.shards import Step
from realtime.charts.shared_reads import SharedReads
from realtime.charts.viewer import Viewer
from realtime.shard_view import ShardView

logger = logging.getLogger(__name__)

WATCH_EVERY_S: Final = 0.25


class Hub:
    """From batches to viewers. All of it runs on one event loop, so nothing is locked."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._redis = async_redis()
        self._receiving = asyncio.Event()
        self.book = ChartBook()
        self.recent = RecentReader(self.book, self._redis, self._receiving)
        self.reads = SharedReads(self.book, self.recent.read)
        self.seats = Seats(self.book)
        self._tasks: list[asyncio.Task[None]] = []

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start listening; a part that fails is restarted until `stop`."""
        for name, part in (
            ("hub receive", self._receive),
            ("hub watch", self._watch),
            ("hub configuration", self.seats.selection.follow),
        ):
            # A context of their own: that of a request that happened to come first ends with it.
            work = supervise(name, part, logger, self.counters)
            task = asyncio.create_task(work, name=name, context=Context())
            self._tasks.append(task)

    async def stop(self) -> None:
        """Stop listening and release the connections."""
        await end(*self._tasks)
        await self._redis.aclose()

    # --- batches ---------------------------------------------------------------------------------

    async def _receive(self) -> None:
        # This hub is the process's only user of the layer, so flushing it leaves nothing behind.
        layer = get_channel_layer()
        try:
            channel = await layer.new_channel()
            await layer.group_add(wire.GROUP, channel)
            self._receiving.set()
            while True:
                message = await layer.receive(channel)
                self._take(message)
        finally:
            self._receiving.clear()
            await layer.flush()

    def _take(self, message: dict[str, bytes]) -> None:
        try:
            batch = wire.decode_batch(message["data"])
        except (KeyError, msgspec.MsgspecError) as problem:
            self.counters["unreadable_batches"] += 1
            if self.counters["unreadable_batches"] == 1:
                logger.error(
                    "a batch this version cannot read (a collector of another version?): %s", problem
                )
            return
        self.counters["batches"] += 1
        step = self.book.follow(batch)
        if step.is_break:
            self._catch_up(step)
        if step.is_return:
            self._show_states(step.shard)
        self.seats.audiences.deliver(self.book.apply(batch))

    def _catch_up(self, step: Step) -> None:
        """Note that what was read before ends before this flush: viewers get the rest from the store."""
        self.reads.forget()
        broken = self.book.of(step.shard.name)
        if not step.is_set_back:
            self.counters["batches_missed"] += 1
        for viewer in self.seats.viewers:
            # By a clock that was set back, what earlier flushes brought is no measure of what comes now.
            wanted = broken.intersection(viewer.wants.after if step.is_set_back else viewer.charts)
            if wanted:
                viewer.catch_up(wanted, 0 if step.is_set_back else step.last_us)

    def _show_states(self, shard: ShardView) -> None:
        """Deliver what every watched chart of this shard is now."""
        watched = self.book.of(shard.name) & self.seats.audiences.watched
        self.seats.audiences.deliver(self.book.chart(chart_id) for chart_id in watched)

    # --- time ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            for shard in self.book.shards.turned():
                self._show_states(shard)
            self._check_viewers()
            self.reads.tidy()

    def _check_viewers(self) -> None:
        for viewer in list(self.seats.viewers):
            try:
                viewer.check()
            except Closed as closed:
                self.counters["sockets_given_up"] += 1
                viewer.close(closed)

    # --- viewers ---------------------------------------------------------------------------------

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer, and count what it was sent."""
        self.seats.leave(viewer)
        self.counters["points_thinned"] += viewer.changes.pending.thinned
        self.counters["messages_sent"] += viewer.out.sent

    def stats(self) -> dict[str, int]:
        """Counters an operator can see, name -> value."""
        return (
            {
                "sockets": len(self.seats.viewers),
                "charts_watched": len(self.seats.audiences.watched),
                "charts_known": len(self.book),
                "listening": int(self._receiving.is_set()),
            }
            | self.book.shards.stats()
            | dict(self.counters)
        )


def _start() -> Hub:
    hub = Hub()
    hub.start()
    return hub


process_hub = PerLoop(_start)
"""This process's hub, started with the first socket."""

running_hub = process_hub.made
"""This process's hub, if a socket has needed one yet."""


@register
def _report() -> dict[str, int]:
    hub = running_hub()
    return hub.stats() if hub else {"sockets": 0}
