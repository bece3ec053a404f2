"""Follows the configuration: Redis nudges on commit, a poll as the safety net, the last good one kept."""

import asyncio
import logging
from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.db import DatabaseError, close_old_connections, connections
from redis.asyncio import Redis
from redis.exceptions import RedisError

from core.errors import InvalidConfig
from core.outage import Outage, of_redis
from markets.config import MarketConfig
from markets.follow.runtime import REVISION_CHANNEL
from markets.models import Exchange
from markets.secret_use import proxies_used
from markets.selectors import current_revision, load_config

logger = logging.getLogger(__name__)

POLL_S = 5.0

Apply = Callable[[MarketConfig], None]


class Watcher:
    """Calls `apply` with every new configuration, on the event loop.

    `revision` is the one running, `error` why a newer one (or any) is not; empty when it runs.
    A database or Redis that is down stops nothing: what runs keeps running.
    """

    def __init__(
        self, apply: Callable[[MarketConfig], None], redis_url: str, *, poll_s: float = POLL_S
    ) -> None:
        self.revision: int | None = None
        self.error = ""
        self._apply = apply
        self._redis_url = redis_url
        self._poll_s = poll_s
        self._nudged = asyncio.Event()
        self._redis_outage = Outage(logger, logging.WARNING)
        self._outage = Outage(logger)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(), name="configuration nudges")
            tasks.create_task(self._poll(), name="configuration poll")

    def start_over(self) -> None:
        """Hand the configuration on once more: it was not applied so far."""
        self.revision = None
        self._nudged.set()

    async def check(self) -> None:
        """Compare the saved revision with the running one and take it over if it is another."""
        try:
            await self._take_over()
        except DatabaseError as error:
            self._report(
                f"cannot read the configuration: {_first_line(error)}; is the database of DATABASE_URL up, "
                f"and is it migrated (manage.py migrate)? Trying again every {self._poll_s:g} s"
            )
        except InvalidConfig as error:
            self._report(f"{error} (running revision {self.revision or 0})")
        except Exception as error:  # a bug of ours: what runs must go on
            if self._report(f"not taken over, running revision {self.revision or 0}: {error!r}"):
                logger.exception("configuration: unexpected error")
        else:
            self._report("")

    async def _take_over(self) -> None:
        saved, config = await sync_to_async(_read)(self.revision)
        if config is not None:
            self._apply(config)
            self.revision = config.revision
            logger.info("configuration: revision %d", saved)

    async def _poll(self) -> None:
        while True:
            self._nudged.clear()
            await self.check()
            try:
                async with asyncio.timeout(self._poll_s):
                    await self._nudged.wait()
            except TimeoutError:
                continue

    async def _listen(self) -> None:
        while True:
            try:
                async with (
                    Redis.from_url(self._redis_url, socket_connect_timeout=self._poll_s) as redis,
                    redis.pubsub(ignore_subscribe_messages=False) as nudges,
                ):
                    await nudges.subscribe(REVISION_CHANNEL)
                    async for (
                        _
                    ) in nudges.listen():  # the confirmation counts too: a nudge may have been missed
                        self._redis_outage.ends("Redis is back")
                        self._nudged.set()
            except (RedisError, OSError) as error:
                self._redis_outage.begins(
                    "%s: configuration polled meanwhile", of_redis(error, "Redis of REDIS_URL")
                )
            await asyncio.sleep(self._poll_s)

    def _report(self, error: str) -> bool:
        """Log a change of the error; returns whether it is a new one."""
        before, self.error = self.error, error
        if error == before:
            return False
        if before and error:  # another trouble than the one before
            logger.error("configuration: %s", error)
        elif error:
            self._outage.begins("configuration: %s", error)
        else:
            self._outage.ends("configuration: valid again")
        return bool(error)


def _read(running: int | None) -> tuple[int, MarketConfig | None]:
    """The saved revision, and the configuration if it is not the running one. Raises InvalidConfig."""
    close_old_connections()
    try:
        saved = current_revision()
        try:
            if saved == running:
                return saved, None
            config = load_config()
            proxies_used(Exchange.objects.filter(enabled=True))
            return saved, config
        except InvalidConfig as error:
            raise InvalidConfig(f"saved revision {saved} cannot be used: {error}") from error
    finally:
        connections.close_all()  # nothing is left open between polls, so a database may restart


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
