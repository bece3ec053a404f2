"""One client's life on a simulated exchange, from the handshake to the end."""

import asyncio
import contextlib
import logging
import time

from aiohttp import WSMsgType, web

from simulator.exchanges.base import Venue
from simulator.session import Session

logger = logging.getLogger(__name__)

FOREVER = float("inf")


async def converse(venue: Venue, session: Session, socket: web.WebSocketResponse) -> None:
    """Listen, push and watch the heartbeats until either side ends it; nothing is left behind."""
    venue.sessions.add(session)
    venue.counts["opened"] += 1
    tasks = [asyncio.create_task(session.write()), asyncio.create_task(_watch(venue, session))]
    try:
        venue.welcome(session)
        await _listen(venue, session, socket)
    finally:
        venue.forget(session)
        venue.counts["closed"] += 1
        session.closed.set()
        await _finish(venue, tasks)


async def _finish(venue: Venue, tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, ConnectionError):
            logger.error("a session of %s failed", venue.key, exc_info=result)


async def _listen(venue: Venue, session: Session, socket: web.WebSocketResponse) -> None:
    async for message in socket:
        session.hear()
        if venue.too_fast(session):
            venue.counts["cut_too_fast"] += 1
            session.close(1008, "Too many requests")
        elif message.type == WSMsgType.TEXT and not venue.silent:
            venue.receive(session, message.data)
        elif message.type == WSMsgType.PING:
            await session.pong(bytes(message.data))
        elif message.type == WSMsgType.PONG:
            venue.ponged(session, bytes(message.data))


async def _watch(venue: Venue, session: Session) -> None:
    """The venue's heartbeat, and its patience with a client that does not keep up its own."""
    ping, drop, life, unsubscribed = (
        FOREVER if period is None else period * venue.time_scale for period in venue.rhythm
    )
    next_ping = session.opened + ping
    while not session.closed.is_set():
        now = time.monotonic()
        end = min(session.opened + life, FOREVER if session.topics else session.lonely_since + unsubscribed)
        if now >= end:
            session.close(1000, "connection lifetime over")
            return
        if venue.quiet:  # whose server pings nobody cannot miss an answer
            session.pinged = now
        if now >= venue.alive(session) + drop:
            venue.counts["dropped_idle"] += 1
            venue.drop(session)
            return
        if now >= next_ping:
            next_ping = now + ping
            if not venue.quiet:
                await venue.ping(session)
        wait = min(next_ping, venue.alive(session) + drop, end) - now
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(session.closed.wait(), min(wait, 30 * venue.time_scale))
