"""Protocol of a sink. Sinks are named in settings (`COLLECTOR_SINKS`), so collectors never import upward."""

from collections.abc import Callable
from typing import Any, Protocol

from core.channel import Channel
from markets.config import MarketConfig, Shard
from markets.events import DerivedEvent, SinkEvent

EmitDerived = Callable[[DerivedEvent], None]


class Sink(Protocol):
    """Consumes every event of one shard from its own channel.

    Built as `SinkClass(channel, shard, emit)`. `emit(event)` hands what the sink makes of the events
    to the sinks named after it; they find it in their channels among the rest. A sink may name in
    `wants` which kinds of events come into its channel (all, where it has none); one that wants quotes
    gets everything exchanges say. `Terms` (mark prices, funding) and, once a
    second, `FeedReport`s come only to those that name them, and so do `BookUpdate`s: those that a followed
    book took over, and one "gap" when it becomes unknown. A sink with a method `use_books` gets the books
    themselves (`collectors.books.LiveBooks`).
    `configure` is called on the event loop before `run` starts and again at every configuration change;
    it must be quick. `run` returns once the channel is finished and everything taken from it has been
    handed on. Channels are finished in the order of the sinks, so what a sink emits while it drains
    still reaches the next.
    """

    def __init__(self, channel: Channel[SinkEvent], shard: Shard, emit: EmitDerived) -> None: ...

    def configure(self, config: MarketConfig) -> None:
        """Take over a new configuration."""

    async def run(self) -> None:
        """Consume until the channel is finished."""

    def stats(self) -> dict[str, Any]:
        """Counters an operator can see, name -> value; anything JSON can say.

        `problem`, where there is one, says in words what does not work now, and makes health degraded.
        """
