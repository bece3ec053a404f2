"""Events that a channel dropped, as rows: nobody should take a gap for a quiet market."""

import time
from collections.abc import Collection, Sequence
from typing import cast

from core.channel import Channel
from history.write.buffer import StateRow
from markets.events import Event, OpportunityEvent, SinkEvent, SpreadPoints


class Losses:
    """Notices what its channel dropped, and between which of the events that came through."""

    def __init__(self, channel: Channel[SinkEvent]) -> None:
        self.total = 0
        self._channel = channel
        self._dropped = channel.dropped
        self._lost = 0  # since the last `take`
        self._since_us: int | None = None
        self._until_us = 0
        self._last_us: int | None = None

    def watch(self, events: Sequence[SinkEvent]) -> Sequence[SinkEvent]:
        """Look at what was just taken from the channel; what it dropped was older."""
        if lost := self._channel.dropped - self._dropped:
            self._dropped += lost
            self.total += lost
            self._since_us = self._since_us if self._lost else self._last_us
            self._lost += lost
            self._until_us = time_of(events[0]) if events else time.time_ns() // 1000
        if events:
            self._last_us = time_of(events[-1])
        return events

    def add(self, lost: int, since_us: int, until_us: int) -> None:
        """Count events that were taken from the channel and given up later."""
        self.total += lost
        self._since_us = min(since_us, self._since_us or since_us) if self._lost else since_us
        self._until_us = max(until_us, self._until_us) if self._lost else until_us
        self._lost += lost

    def take(self, symbols: Collection[str]) -> list[StateRow]:
        """A `gap` row per symbol for what was lost since the last call; none where nothing was."""
        lost, self._lost = self._lost, 0
        if not lost:
            return []
        reason = f"{lost} events dropped: the lake did not keep up"
        since_us, until_us = self._since_us, self._until_us
        return [
            StateRow("", symbol, "gap", reason, until_us, dropped=lost, since_us=since_us)
            for symbol in symbols or ("",)
        ]


def time_of(event: SinkEvent) -> int:
    """Time when an event the lake keeps became known to the collector, µs since the epoch."""
    if isinstance(event, SpreadPoints):
        return int(event.points[-1, 0])
    return event.ts_us if isinstance(event, OpportunityEvent) else cast(Event, event).received_ts_us
