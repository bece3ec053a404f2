"""One client's life on a simulated exchange, from the handshake to the end."""

import asyncio
import contextlib
import logging
import time

from aiohttp import WSMsgType, web

from simulator.exchanges.base import SimulatedExchange
from simulator.session import Session

logger = logging.getLogger(__name__)

FOREVER = float("inf")


async def converse(exchange: SimulatedExchange, session: Session, socket: web.WebSocketResponse) -> None:
    """Listen, push and watch the heartbeats until either side ends it; nothing is left behind."""
    exchange.sessions.add(session)
    exchange.counts["opened"] += 1
    tasks = [asyncio.create_task(session.write()), asyncio.create_task(_watch(exchange, session))]
    try:
        exchange.welcome(session)
        await _listen(exchange, session, socket)
    finally:
        exchange.forget(session)
        exchange.counts["closed"] += 1
        session.closed.set()
        await _finish(exchange, tasks)


async def _finish(exchange: SimulatedExchange, tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, ConnectionError):
            logger.error("a session of %s failed", exchange.key, exc_info=result)


async def _listen(exchange: SimulatedExchange, session: Session, socket: web.WebSocketResponse) -> None:
    async for message in socket:
        session.note_received()
        if exchange.too_fast(session):
            exchange.counts["cut_too_fast"] += 1
            session.close(1008, "Too many requests")
        elif message.type == WSMsgType.TEXT and not exchange.silent:
            exchange.receive(session, message.data)
        elif message.type == WSMsgType.PING:
            await session.pong(bytes(message.data))
        elif message.type == WSMsgType.PONG:
            exchange.ponged(session, bytes(message.data))


async def _watch(exchange: SimulatedExchange, session: Session) -> None:
    """The exchange's heartbeat, and its patience with a client that does not keep up its own."""
    ping, drop, life, unsubscribed = (
        FOREVER if period is None else period * exchange.time_scale for period in exchange.rhythm
    )
    next_ping = session.opened + ping
    while not session.closed.is_set():
        now = time.monotonic()
        end = min(session.opened + life, FOREVER if session.topics else session.lonely_since + unsubscribed)
        if now >= end:
            session.close(1000, "connection lifetime over")
            return
        if exchange.quiet:  # whose server pings nobody cannot miss an answer
            session.pinged = now
        if now >= exchange.alive(session) + drop:
            exchange.counts["dropped_idle"] += 1
            exchange.drop(session)
            return
        if now >= next_ping:
            next_ping = now + ping
            if not exchange.quiet:
                await exchange.ping(session)
        wait = min(next_ping, exchange.alive(session) + drop, end) - now
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(session.closed.wait(), min(wait, 30 * exchange.time_scale))
