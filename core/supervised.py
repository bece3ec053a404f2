"""Parts of a process that run as long as it does: one that fails is started again."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from core.backoff import Backoff
from core.outage import Outage

FIRST_S: Final = 1.0
CEILING_S: Final = 4.0
"""The longest pause before a part is started again: what it needs may be back any moment; asking is cheap."""

HEALTHY_S: Final = 10.0
"""A part that has run for so long works again."""

Part = Callable[[], Awaitable[None]]
Pause = Callable[[float], Awaitable[object]]


async def supervise(
    name: str,
    part: Part,
    logger: logging.Logger,
    counters: Counter[str],
    *,
    over: Callable[[], bool] = lambda: False,
    pause: Pause = asyncio.sleep,
    backoff: Backoff | None = None,
) -> None:
    """Run a part until it is `over` or this is cancelled; one that fails or returns before is started again.

    The pauses grow until it has run for a while. `counters["restarts"]` counts; a failure is logged once of
    its kind, and so is its end.
    """
    backoff = backoff or Backoff(FIRST_S, CEILING_S, HEALTHY_S)
    outage, loop = Outage(logger), asyncio.get_running_loop()
    while not over():
        began_s = time.monotonic()
        works = loop.call_later(backoff.healthy_s, outage.ends, "%s runs again", name)
        problem: Exception | None = None
        try:
            await part()
        except Exception as error:
            problem = error
        finally:
            works.cancel()
        if problem is not None or not over():
            counters["restarts"] += 1
            kind = "it returned" if problem is None else repr(problem)
            outage.begins("%s failed and is started again: %s", name, kind, kind=kind, problem=problem)
        if not over():
            await pause(backoff.after(time.monotonic() - began_s))


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have ended, however they do."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
