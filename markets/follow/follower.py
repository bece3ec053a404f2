"""Follows the configuration: Redis nudges on commit, a poll as the safety net, the last good one kept."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from channels.db import database_sync_to_async
from django.db import DatabaseError
from msgspec import Struct

from core.errors import InvalidConfig
from core.nudges import listen
from core.outage import Outage
from markets.config import MarketConfig
from markets.follow.runtime import REVISION_CHANNEL
from markets.selectors import current_revision, load_config

logger = logging.getLogger(__name__)

POLL_S: Final = 5.0


class _Refusal(Struct, frozen=True):
    """A revision that cannot be used, why, and when it is tried again (monotonic clock)."""

    revision: int
    words: str
    again_s: float


class Follower:
    """Calls `apply` with every new configuration, on the event loop.

    `config` is the one running, with its `revision`; `error` why a newer one (or any) is not, empty when it
    runs. A database or Redis that is down stops nothing: what runs keeps running. A refused revision may
    become usable without another one (fees begin to hold): it is tried again after `refused_again_s`.
    """

    def __init__(
        self,
        apply: Callable[[MarketConfig], None],
        *,
        load: Callable[[], MarketConfig] = load_config,
        redis_url: str = "",
        poll_s: float = POLL_S,
        refused_again_s: float = 0.0,
    ) -> None:
        self.config: MarketConfig | None = None
        self.revision: int | None = None
        self.error = ""
        self._apply = apply
        self._load = database_sync_to_async(load)
        self._redis_url = redis_url
        self._poll_s = poll_s
        self._refused_again_s = refused_again_s
        self._refusal = _Refusal(-1, "", 0.0)
        self._loading = asyncio.Lock()
        self._nudged = asyncio.Event()
        self._outage = Outage(logger)

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            nudges = listen(REVISION_CHANNEL, self._nudged, "configuration", self._redis_url)
            tasks.create_task(nudges, name="configuration nudges")
            tasks.create_task(self._poll(), name="configuration poll")

    def start_over(self) -> None:
        """Hand on what there is once more: nobody took it over so far."""
        self.revision = None
        self._nudged.set()

    async def current(self) -> MarketConfig:
        """The configuration that runs, loaded now if there was none before.

        Raises InvalidConfig or a database error when there is none yet and it cannot be loaded.
        """
        async with self._loading:
            return self.config or await self._take_over()

    async def check(self) -> None:
        """Compare the saved revision with the running one and take it over if it is another."""
        async with self._loading:
            try:
                self._report(await self._follow())
            except DatabaseError as error:
                self._report(
                    f"cannot read the configuration: {_first_line(error)}; is the database of DATABASE_URL "
                    f"up, and is it migrated (manage.py migrate)? Trying again every {self._poll_s:g} s"
                )
            except Exception as error:  # a bug of ours: what runs must go on
                words = f"not taken over, running revision {self.revision or 0}: {error!r}"
                self._report(words, error)

    async def _follow(self) -> str:
        """Take over what was saved; returns why that cannot be. Raises DatabaseError, and bugs of ours."""
        saved = await database_sync_to_async(current_revision)()
        if saved == self.revision:
            return ""
        if saved == self._refusal.revision and time.monotonic() < self._refusal.again_s:
            return self._refusal.words
        try:
            await self._take_over()
        except InvalidConfig as error:
            running = self.revision or 0
            words = f"saved revision {saved} cannot be used: {error} (running revision {running})"
            self._refusal = _Refusal(saved, words, time.monotonic() + self._refused_again_s)
            return words
        return ""

    async def _take_over(self) -> MarketConfig:
        config: MarketConfig = await self._load()
        self._apply(config)
        self.config, self.revision = config, config.revision
        logger.info("configuration: revision %d", config.revision)
        return config

    async def _poll(self) -> None:
        while True:
            self._nudged.clear()
            await self.check()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s):
                    await self._nudged.wait()

    def _report(self, error: str, bug: Exception | None = None) -> None:
        """Log a change of the error."""
        self.error = error
        if error:
            self._outage.begins("configuration: %s", error, kind=error, problem=bug)
        else:
            self._outage.ends("configuration: valid again")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
