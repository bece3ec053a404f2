"""Leases: of several collectors the one that holds a shard's lease collects it.

A lease is a row in PostgreSQL with a token that rises with every holder, of whatever shard, and never falls.
Its holder counts `beat` up once a second. No clock is compared with another's: a lease is free when it was
released, when its holder is a process of this machine that is gone, or when a waiting collector has seen
its beat stand still for `SILENT_S` by its own monotonic clock.

A holder that was stopped and goes on does not know that it was replaced. So what is written carries the token
to where it is written: the lake's logs (`history.write.commits`), Redis (`Lease.guard`), PostgreSQL
(`Lease.hold_in_database`). There the newest token is kept, and an older one is refused. What a place keeps
may be of another database (one that was restored, or set up again): then PostgreSQL decides, and the token of
the holder is raised above it (`Lease.outbid`). While PostgreSQL does not answer everything stays as
it is: nobody can take over then.
"""

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from django.db import connection
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError
from redis.exceptions import TimeoutError as RedisTimeout

from core.connections import own_connection
from core.outage import Outage, of_redis
from core.threads import in_daemon_thread
from markets.config import Shard
from markets.follow.runtime import CollectorRole

logger = logging.getLogger(__name__)

RENEW_EVERY_S: Final = 1.0
WAIT_EVERY_S: Final = 0.5
SILENT_S: Final = 4.0
"""A beat that has stood still for so long is over. A process without a processor for so long is replaced."""

ANSWER_S: Final = 2
"""What PostgreSQL may take to answer."""

_TURN: Final = 0x_6172_6264_6C65_6173
"""The advisory lock of the process that takes or raises a lease: one at a time."""


_DOES: Final[dict[CollectorRole, str]] = {"collector": "collects", "ingest": "writes into the store"}


class LeaseLost(OSError):
    """Another process holds the lease now: nothing more may be written.

    An OSError, like whatever else keeps something from being written: it waits, and is not given up.
    """


class HolderUnknown(OSError):
    """PostgreSQL does not say who holds the lease: what is to be written waits."""


class Outbid(Exception):
    """A place has seen a higher token than ours; the argument."""

    def __init__(self, token: int) -> None:
        super().__init__(f"a lease with token {token} has written here")
        self.token = token


class _Row(Struct, frozen=True):
    shard: str
    token: int
    beat: int
    holder: str
    place: str


class Lease:
    """The lease of one shard for one role, held or not. `on_lost` is called in a thread of ours, once.

    One who collects a shard does not keep another from writing it into the store.
    """

    def __init__(
        self, shard: Shard, on_lost: Callable[[], object] = lambda: None, role: CollectorRole = "collector"
    ) -> None:
        self.token = 0
        self.lost = False
        self._key = _key(role, str(shard))
        self.names: tuple[str, ...] = (self._key,)
        """The shards whose leases this one ended: in their name, too, nothing may be written any more."""
        self._role: CollectorRole = role
        self._shard = shard
        self._on_lost = on_lost
        self._session: psycopg.Connection[Any] | None = None
        self._one = threading.Lock()
        self._silence = _Silence()
        self._renewed_s = float("-inf")
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None
        self._outage = Outage(logger, logging.WARNING)

    @property
    def name(self) -> str:
        """Name of the lease where its token is kept."""
        return lease_name(self._key)

    # --- in PostgreSQL; all of it blocks ---------------------------------------------------------------

    def take(self) -> str:
        """Try to get the lease; "" when it is held now, else who has it, in words. Raises psycopg.Error."""
        with self._one:
            began_s = time.monotonic()
            session = self._connected()
            with session.transaction():
                session.execute("SET LOCAL synchronous_commit = on")
                session.execute("SELECT pg_advisory_xact_lock(%s)", (_TURN,))
                rows = [
                    _Row(*row)
                    for row in session.execute(
                        "SELECT shard, token, beat, holder, place FROM markets_shardlease ORDER BY shard"
                    )
                ]
                others = [row for row in rows if row.holder and self._overlaps(row)]
                if there := [row for row in others if not self._is_over(row)]:
                    return f"{there[0].holder} {_DOES[self._role]} shard {_shard(there[0].shard)}"
                token = 1 + max((row.token for row in rows), default=0)
                ended = [row.shard for row in others if row.shard != self._key]
                self._write(session, token, ended)
        self.token, self.names, self._renewed_s = token, (self._key, *ended), began_s
        for row in others:
            logger.warning("%s is gone or silent: shard %s is taken over", row.holder, row.shard)
        return ""

    def _overlaps(self, row: _Row) -> bool:
        shard = _shard(row.shard)
        return row.shard == _key(self._role, shard) and self._shard.overlaps(Shard.parse(shard))

    def _write(self, session: "psycopg.Connection[Any]", token: int, ended: Iterable[str]) -> None:
        # A write in a transaction now (`hold_in_database`) is waited for; renewals are not held up by it.
        session.execute(
            "SELECT 1 FROM markets_shardlease WHERE shard = ANY(%s) FOR UPDATE", ([*ended, self._key],)
        )
        for shard in ended:
            session.execute(
                "UPDATE markets_shardlease SET holder = '', token = %s WHERE shard = %s", (token, shard)
            )
        session.execute(
            "INSERT INTO markets_shardlease (shard, token, beat, holder, place) VALUES (%s, %s, 0, %s, %s) "
            "ON CONFLICT (shard) DO UPDATE SET token = excluded.token, beat = 0, "
            "holder = excluded.holder, place = excluded.place",
            (self._key, token, f"process {os.getpid()} on {socket.gethostname()}", own_place()),
        )

    def _is_over(self, row: _Row) -> bool:
        return is_gone(row.place) or self._silence.lasts(row.shard, (row.token, row.beat))

    def keep(self) -> None:
        """Hold it from now on, in a thread, until `release` or until it is lost."""
        self._keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._keeper.start()
        _held[self._key] = self

    def _keep(self) -> None:
        while not self._ended.wait(RENEW_EVERY_S) and not self.lost:
            try:
                self._renew()
            except (psycopg.Error, OSError) as error:
                words = str(error).partition("\n")[0]
                self._outage.begins("the lease of shard %s is not renewed: %s", self._shard, words)
            else:
                self._outage.ends("the lease of shard %s is renewed", self._shard)
        with suppress(psycopg.Error, OSError):
            self._give_back()

    def _renew(self) -> None:
        with self._one:
            began_s = time.monotonic()
            done = self._connected().execute(
                "UPDATE markets_shardlease SET beat = beat + 1 WHERE shard = %s AND token = %s",
                (self._key, self.token),
            )
        if done.rowcount == 0:
            self._lose()
        else:
            self._renewed_s = began_s

    def _give_back(self) -> None:
        with self._one:
            if not self.lost:
                self._connected().execute(
                    "UPDATE markets_shardlease SET holder = '' WHERE shard = %s AND token = %s",
                    (self._key, self.token),
                )
            if self._session is not None:
                self._session.close()

    def release(self) -> None:
        """Release the lease to another one; takes no longer than PostgreSQL may take."""
        if _held.get(self._key) is self:
            del _held[self._key]
        self._ended.set()
        if self._keeper is not None:
            self._keeper.join(ANSWER_S)
        elif self._session is not None:  # it was never held
            self._session.close()

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            self._on_lost()

    def _connected(self) -> "psycopg.Connection[Any]":
        if self._session is None or self._session.closed or self._session.broken:
            self._session = own_connection("arbdesk collector", ANSWER_S)
            # A sign of life need not survive a power cut, and must not wait for a busy disk; a token must.
            self._session.execute("SET synchronous_commit = off")
        return self._session

    @property
    def is_doubtful(self) -> bool:
        """Whether this process was silent for so long that another one may hold the lease by now."""
        return self.lost or time.monotonic() - self._renewed_s > SILENT_S / 2

    def check(self) -> None:
        """Raises LeaseLost when that is known."""
        if self.lost:
            raise LeaseLost(f"another collector has taken over shard {self._shard}")

    def compare(self, seen: int) -> None:
        """Raises Outbid where a token was seen that is higher than ours."""
        if seen > self.token:
            raise Outbid(seen)

    def outbid(self, token: int) -> None:
        """A place has seen a higher token: go on above it if the lease is still ours.

        Raises LeaseLost when it is not, HolderUnknown when PostgreSQL does not say.
        """
        try:
            with self._one, own_connection("arbdesk collector", ANSWER_S) as session, session.transaction():
                session.execute("SELECT pg_advisory_xact_lock(%s)", (_TURN,))
                raised = session.execute(
                    "UPDATE markets_shardlease SET token = 1 + "
                    "GREATEST(%s, (SELECT max(token) FROM markets_shardlease)) "
                    "WHERE shard = %s AND token = %s RETURNING token",
                    (token, self._key, self.token),
                ).fetchone()
                if raised is not None:
                    self.token = raised[0]
        except psycopg.Error as error:
            words = f"PostgreSQL does not say who holds shard {self._shard}: {error}".strip()
            raise HolderUnknown(words) from error
        if raised is None:
            self._lose()
            self.check()
        logger.warning("shard %s: token %d was seen, %d is ours now", self._shard, token, self.token)

    def hold_in_database(self) -> None:
        """Keep others from taking over until Django's transaction of this thread ends. Raises LeaseLost.

        Of a process that is stopped within it, PostgreSQL ends the transaction.
        """
        self.check()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = %s", (f"{SILENT_S:g}s",))
            cursor.execute(
                "SELECT 1 FROM markets_shardlease WHERE shard = %s AND token = %s FOR KEY SHARE",
                (self._key, self.token),
            )
            if cursor.fetchone() is None:
                self._lose()
        self.check()

    # --- in Redis --------------------------------------------------------------------------------------

    async def guard(self, pipe: Any) -> None:
        """Guard a pipeline: what is queued from now on is done only if no newer lease has written there.

        The pipeline then fails with a WatchError where one does meanwhile. Raises LeaseLost, HolderUnknown.
        """
        self.check()
        await pipe.watch(self.name)
        seen = int(await pipe.get(self.name) or 0)
        if seen > self.token:
            await in_daemon_thread(lambda: self.outbid(seen))
        pipe.multi()
        if seen < self.token:
            self._plant(pipe)

    async def plant(self, redis: "Redis") -> None:
        """Refuse older leases in Redis from now on. Without Redis the first guarded write does."""
        try:
            async with asyncio.timeout(ANSWER_S), redis.pipeline(transaction=True) as pipe:
                await self.guard(pipe)
                self._plant(pipe)
                await pipe.execute()
        except (RedisError, OSError) as error:
            logger.warning(
                "the lease of shard %s is not in Redis yet: %s",
                self._shard,
                why_not_written(error, self._shard),
            )

    def _plant(self, pipe: Any) -> None:
        for shard in self.names:
            pipe.set(lease_name(shard), self.token)


class _Silence:
    """Time for which the beats of others have stood still, by our clock and while we checked."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[object, float, float]] = {}

    def lasts(self, shard: str, sign: object) -> bool:
        """Whether a sign of life is over; what passes while nobody can check is nobody's silence."""
        now_s = time.monotonic()
        before, looked_s, silent_s = self._seen.get(shard, (None, now_s, 0.0))
        silent_s = 0.0 if sign != before else silent_s + min(now_s - looked_s, 2 * WAIT_EVERY_S)
        self._seen[shard] = sign, now_s, silent_s
        return silent_s >= SILENT_S


def lease_name(shard: str) -> str:
    """Name of a shard's lease where its token is kept: in Redis, in the lake's logs."""
    return f"lease:{shard}"


def _key(role: CollectorRole, shard: str) -> str:
    """Name of its row: `1/2`, and `ingest 1/2` for the store."""
    return shard if role == "collector" else f"{role} {shard}"


def _shard(key: str) -> str:
    return key.rpartition(" ")[2]


# --- whether a process of this machine is gone -------------------------------------------------------

_PROC: Final = Path("/proc")


def own_place() -> str:
    """Identity of this process: kernel, process namespace, number, start; "" where it is unknown."""
    try:
        return f"{_machine()} {os.getpid()} {_started(os.getpid())}"
    except OSError:
        return ""


def is_gone(place: str) -> bool:
    """Whether a process of this machine has ended; of others it is unknown."""
    machine, _, process = place.partition(" ")
    pid, _, started = process.partition(" ")
    try:
        if not place or machine != _machine():
            return False
        return _started(int(pid)) != started
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def _machine() -> str:
    """This kernel since its start, and whose process numbers we see: containers have their own."""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{(_PROC / 'self/ns/pid').stat().st_ino}"


def _started(pid: int) -> str:
    """Start of a process, in ticks since the kernel's; "" of one that is dead and not buried."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


# --- what this process holds ---------------------------------------------------------------------------

_held: Final[dict[str, Lease]] = {}


def lease_of(shard: Shard, role: CollectorRole = "collector") -> Lease | None:
    """The lease this process holds of a shard; None where nobody takes leases (tests, tools)."""
    return _held.get(_key(role, str(shard)))


async def guard(pipe: Any, shard: Shard, role: CollectorRole = "collector") -> None:
    """Return `Lease.guard` of the lease that this process holds, if it does."""
    if (lease := lease_of(shard, role)) is not None:
        await lease.guard(pipe)


def why_not_written(problem: Exception, shard: Shard) -> str:
    """Why a guarded write did not reach Redis, in words: who holds the shard, or what Redis does."""
    lease = lease_of(shard)
    if isinstance(problem, LeaseLost | HolderUnknown):
        return str(problem)
    if lease is not None and lease.lost:
        return f"another collector has taken over shard {shard}"
    if isinstance(problem, WatchError):
        return "the lease was renewed or taken over that moment"
    if isinstance(problem, TimeoutError | RedisTimeout) and lease is not None and lease.is_doubtful:
        return "this process stood still, or neither PostgreSQL nor Redis answers"
    return of_redis(problem)
