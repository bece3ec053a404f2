"""`make attack`: start a desk, try every way in, print a line for each.

Exit status 0: the desk held; 1: it did not; 2: not all could be tried, on a machine that was too busy.
"""

import asyncio
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack

import aiohttp
import psutil

from attack import availability, odd, parts, people, targets  # noqa: F401 - they put their attacks on the list
from attack.desk import Desk
from attack.scene import ATTACKS, Broken, Listed, Scene, Untried, When, gather_people, set_up

MOST_S = 275.0
EACH_S: dict[When, float] = {"as a stranger": 90.0, "beside others": 90.0, "alone": 55.0, "last": 40.0}
AT_ONCE: dict[When, int] = {"as a stranger": 10, "beside others": 10, "alone": 1, "last": 1}
HELD, BROKEN, UNTRIED = "held", "BROKEN", "UNTRIED"
NOT_TRIED = {15: "a clock that was ahead: it takes a machine whose clock may be set (test_clock_*.py)"}


async def outcome(scene: Scene, listed: Listed, until: float) -> tuple[str, str]:
    """The word for how it went, and why."""
    left_s = min(EACH_S[listed.when], until - time.monotonic())
    try:
        if left_s <= 0:
            raise Untried("no time was left")
        async with asyncio.timeout(left_s):
            await listed.run(scene)
    except Broken as broken:
        return BROKEN, str(broken)
    except Untried as reason:
        return UNTRIED, str(reason)
    except TimeoutError:
        return UNTRIED, f"no end within {left_s:.0f} s"
    except (RuntimeError, OSError, aiohttp.ClientError, ValueError, KeyError, psutil.Error) as error:
        return UNTRIED, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return HELD, ""


async def try_one(scene: Scene, listed: Listed, turns: asyncio.Semaphore, until: float) -> str:
    """Try it and print how it went; the word for that."""
    async with turns:
        since = time.monotonic()
        word, why = await outcome(scene, listed, until)
    took = f"[{time.monotonic() - since:.0f} s]"
    print(f"{word:<7}  {listed.item:>2}  {listed.what}{why and ': '}{why}  {took}", flush=True)
    return word


async def attack_all(desk: Desk, began: float) -> Counter[str]:
    """Try all; how many ended how."""
    until = began + MOST_S

    async def try_those(when: When) -> list[str]:
        turns = asyncio.Semaphore(AT_ONCE[when])
        chosen = (each for each in ATTACKS if each.when == when)
        return await asyncio.gather(*(try_one(scene, each, turns, until) for each in chosen))

    async with AsyncExitStack() as stack:
        scene = Scene(desk, stack)
        await set_up(scene)
        words, _ = await asyncio.gather(try_those("as a stranger"), gather_people(scene))
        print(f"{len(scene.people)} people are signed in after {time.monotonic() - began:.0f} s.", flush=True)
        for when in ("beside others", "alone", "last"):
            words += await try_those(when)
    for item, what in NOT_TRIED.items():
        print(f"-        {item:>2}  not tried from outside: {what}")
    return Counter(words)


def main() -> None:
    """Attack a fresh desk."""
    began = time.monotonic()
    desk = Desk()
    try:
        print("Starting a simulated desk to attack …", flush=True)
        desk.start()
        print(f"It serves after {time.monotonic() - began:.0f} s.", flush=True)
        words = asyncio.run(attack_all(desk, began))
    except (RuntimeError, TimeoutError, aiohttp.ClientError) as error:
        sys.exit(f"The attack could not begin: {type(error).__name__}: {error}")
    finally:
        desk.stop()
    said = ", ".join(f"{words[word]} {word}" for word in (HELD, BROKEN, UNTRIED))
    print(f"{said}, in {time.monotonic() - began:.0f} s")
    sys.exit(1 if words[BROKEN] else 2 if words[UNTRIED] else 0)


if __name__ == "__main__":
    main()
