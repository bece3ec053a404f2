"""What a sink must be. Sinks are named in settings (`COLLECTOR_SINKS`), so collectors never import upward."""

from typing import Protocol

from collectors.channel import Channel
from markets.config import MarketConfig, Shard
from markets.events import Event


class Sink(Protocol):
    """Consumes every event of one shard from its own channel.

    Built as `SinkClass(channel, shard)`. `configure` is called on the event loop before `run`
    starts and again at every configuration change; it must be quick. `run` returns once the channel
    is finished and everything taken from it has been handed on.
    """

    def __init__(self, channel: Channel[Event], shard: Shard) -> None: ...

    def configure(self, config: MarketConfig) -> None:
        """Take over a new configuration."""

    async def run(self) -> None:
        """Consume until the channel is finished."""

    def stats(self) -> dict[str, float]:
        """Counters an operator can see, name -> value."""
