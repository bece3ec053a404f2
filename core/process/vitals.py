"""Every process writes a heartbeat to Redis, from a thread of its own: a loop that hangs cannot hide it.

| key | what |
|---|---|
| `processes` | hash: name -> `Heartbeat` as JSON, written every `BEAT_EVERY_S` |

A clean stop takes the field away. A process that was killed leaves it, and so is missed.
"""

import asyncio
import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from core.clock.clocks import Clocks, Tick, jump_in_words
from core.outage import Outage, of_redis
from core.process.heartbeat import BEAT_EVERY_S, Heartbeat, Report, Role
from core.process.sampling import GcWatch, LoopLag, Weight, memory_limit, open_sockets
from core.redis_client import REDIS_TIMEOUT_S, redis_client

logger = logging.getLogger(__name__)

PROCESSES: Final = "processes"

Reporter = Callable[[], Report]
End = Callable[[], None]

companions: Final[list[Callable[["Vitals"], End]]] = []
"""What begins and ends with the heartbeat of a process; each returns how to end it."""


class Vitals:
    """The heartbeat of this process, from `start` to `stop`.

    `report` is called on the event loop where there is one, in the heartbeat's thread otherwise. A Redis
    that is down is logged once; nothing waits for it.
    """

    def __init__(
        self,
        role: Role,
        name: str,
        redis_url: str,
        report: Reporter = Report,
        *,
        memory_limit_bytes: int | None = None,
        with_children: bool = False,
    ) -> None:
        self.latest: Heartbeat | None = None
        self._role: Role = role
        self._name = name
        self._redis_url = redis_url
        self._report = report
        self._said = Report()
        self._memory_limit = memory_limit(memory_limit_bytes)
        self._weight = Weight(with_children=with_children)
        self._gc = GcWatch()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lag: LoopLag | None = None
        self._pid = os.getpid()
        self._started_us = time.time_ns() // 1000
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._outage = Outage(logger, logging.WARNING)
        self._ends: list[End] = []
        self._clocks = Clocks(BEAT_EVERY_S)
        self._jump: Tick | None = None

    def start(self) -> None:
        """Begin to beat; on a running event loop, its lag and its tasks are reported too."""
        self._gc.start()
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        else:
            self._lag = LoopLag(self._loop)
            self._lag.start()
        atexit.register(self.stop)
        _running.append(self)
        self._thread.start()
        self._ends = [begin(self) for begin in companions]

    def stop(self) -> None:
        """Say goodbye: nobody will miss this process. Takes at most the timeout of Redis."""
        if self._stopped.is_set() or os.getpid() != self._pid:  # a forked child is not the process
            return
        self._stopped.set()
        for end in self._ends:
            end()
        self._gc.stop()
        if self._lag is not None:
            self._lag.stop()
        if self._thread is not threading.current_thread():
            self._thread.join(3 * REDIS_TIMEOUT_S)
        _running.remove(self)
        atexit.unregister(self.stop)

    def __enter__(self) -> "Vitals":
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    # --- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        redis = Redis.from_url(
            self._redis_url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S
        )
        with redis:
            while True:
                self._beat(redis)
                if self._stopped.wait(BEAT_EVERY_S):
                    break
            self._write(lambda: self._forget(redis))

    def _forget(self, redis: "Redis") -> None:
        """Take the heartbeat away, unless another process has taken over the name."""
        there = redis.hget(PROCESSES, self._name)
        beat = None if there is None else _decoded(there)
        if beat is None or (beat.host, beat.pid) == (socket.gethostname(), self._pid):
            redis.hdel(PROCESSES, self._name)

    def _beat(self, redis: "Redis") -> None:
        self.latest = self._sample()
        encoded = msgspec.json.encode(self.latest)
        self._write(lambda: redis.hset(PROCESSES, self._name, encoded))

    def _sample(self) -> Heartbeat:
        self._ask()
        rss, cpu_pct = self._weight.take()
        said = self._said
        if (tick := self._clocks.tick()).jumped_s:
            self._jump = tick
            logger.warning("the wall clock was set %s", jump_in_words(tick.jumped_s))
        return Heartbeat(
            role=self._role,
            name=self._name,
            host=socket.gethostname(),
            pid=self._pid,
            started_ts_us=self._started_us,
            reported_ts_us=time.time_ns() // 1000,
            revision=said.revision,
            rss_bytes=rss,
            memory_limit_bytes=self._memory_limit,
            cpu_pct=round(cpu_pct, 1),
            loop_lag_ms=None if self._lag is None else round(self._lag.take_ms(), 1),
            gc_gen2_per_min=self._gc.full_per_min(),
            gc_pause_ms=round(self._gc.take_longest_ms(), 2),
            tasks=threading.active_count() if self._loop is None else len(asyncio.all_tasks(self._loop)),
            sockets=open_sockets(),
            clock_jumped_s=0.0 if self._jump is None else self._jump.jumped_s,
            clock_jumped_us=None if self._jump is None else self._jump.wall_us,
            queues=said.queues,
            counters=said.counters,
            stands_by=said.stands_by,
        )

    def _ask(self) -> None:
        """Ask the process for its own figures; a loop that does not turn is reported with its last ones."""
        if self._loop is None:
            self._listen()
        elif not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._listen)
            except RuntimeError:  # closed this moment
                return

    def _listen(self) -> None:
        try:
            self._said = self._report()
        except Exception:  # a bug of ours must not look like a dead process
            logger.exception("the heartbeat of %s lacks its report", self._name)
            self._report = Report

    def _write(self, command: Callable[[], object]) -> None:
        try:
            command()
        except (RedisError, OSError) as error:
            self._outage.begins("heartbeat not written: %s", of_redis(error))
        else:
            self._outage.ends("heartbeat written again")


_running: list[Vitals] = []


def process_vitals() -> Vitals | None:
    """The heartbeat of this process, if it has one."""
    return _running[-1] if _running else None


async def read_heartbeats(redis: "AsyncRedis") -> list[Heartbeat]:
    """The last heartbeat of every process that did not stop cleanly, by name. Raises RedisError."""
    return _sorted(await redis.hgetall(PROCESSES))


def heartbeats() -> list[Heartbeat]:
    """`read_heartbeats` for where there is no event loop."""
    return _sorted(redis_client().hgetall(PROCESSES))


async def forget_processes(redis: "AsyncRedis", names: Iterable[str]) -> None:
    """Miss these no longer. Raises RedisError."""
    if gone := list(names):
        await redis.hdel(PROCESSES, *gone)


def _sorted(fields: Any) -> list[Heartbeat]:
    found = [beat for value in fields.values() if (beat := _decoded(value))]
    return sorted(found, key=lambda beat: beat.name)


def _decoded(value: Any) -> Heartbeat | None:
    try:
        return msgspec.json.decode(value, type=Heartbeat)
    except msgspec.MsgspecError:  # of another version: during an update, for seconds
        return None
