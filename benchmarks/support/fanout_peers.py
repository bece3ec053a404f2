"""Peers that benchmarks/fanout.py compares with: the fan-out the documentation of Channels teaches, and the
floor.

    fanout_peers.py channels PORT REDIS_URL   # Daphne + RedisChannelLayer, group_send
    fanout_peers.py floor PORT REDIS_URL      # bare `websockets`, broadcast()

A client names its chart in the path: `/?7`.
"""

import asyncio
import sys
from collections import defaultdict
from typing import Any, Final

CHANNEL: Final = "floor"


def channels_host(redis_url: str) -> dict[str, Any]:
    """A Redis for RedisChannelLayer, without redis-py 8's limits, under which it cannot have 1,000 sockets.

    Every socket blocks on a connection of its own for 5 s at a time, just when redis-py gives up reading.
    """
    return {"address": redis_url, "socket_timeout": None, "max_connections": 10_000}


def serve_channels(port: int, redis_url: str) -> None:
    """A consumer as in Channels' tutorial: joins a group, passes on what the group is sent."""
    from daphne.server import Server
    from django.conf import settings

    hosts = [channels_host(redis_url)]
    backend = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": hosts}}
    settings.configure(INSTALLED_APPS=["channels"], CHANNEL_LAYERS={"default": backend}, USE_TZ=True)
    import django

    django.setup()
    from channels.generic.websocket import AsyncWebsocketConsumer

    class Chart(AsyncWebsocketConsumer):  # type: ignore[misc]
        async def connect(self) -> None:
            self.group = f"chart-{self.scope['query_string'].decode()}"
            await self.channel_layer.group_add(self.group, self.channel_name)
            await self.accept()

        async def chart_update(self, event: dict[str, Any]) -> None:
            await self.send(text_data=event["text"])

    endpoint = f"tcp:port={port}:interface=127.0.0.1"
    Server(Chart.as_asgi(), endpoints=[endpoint], verbosity=0).run()


async def serve_floor(port: int, redis_url: str) -> None:
    """The least a Python server can do per update: one broadcast() to the sockets of its chart."""
    import websockets
    from redis.asyncio import Redis

    charts: defaultdict[str, set[Any]] = defaultdict(set)

    async def watch(socket: Any) -> None:
        group = charts[socket.request.path.partition("?")[2]]
        group.add(socket)
        try:
            await socket.wait_closed()
        finally:
            group.discard(socket)

    async with (
        websockets.serve(watch, "127.0.0.1", port, compression=None),
        Redis.from_url(redis_url, socket_timeout=None).pubsub() as updates,
    ):
        await updates.subscribe(CHANNEL)
        async for message in updates.listen():
            if message["type"] == "message":
                chart, _, text = message["data"].decode().partition(" ")
                websockets.broadcast(charts[chart], text)


if __name__ == "__main__":
    if sys.argv[1] == "channels":
        serve_channels(int(sys.argv[2]), sys.argv[3])
    else:
        asyncio.run(serve_floor(int(sys.argv[2]), sys.argv[3]))
