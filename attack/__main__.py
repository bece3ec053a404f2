"""`make attack`: start a desk, try every way in, print a line for each; exit status 1 if one is open."""

import asyncio
import sys
import time
from contextlib import AsyncExitStack

import aiohttp

from attack import availability, odd, parts, people, targets  # noqa: F401 - they put their attacks on the list
from attack.desk import Desk
from attack.scene import ATTACKS, Attack, Broken, Listed, Scene, gather_people

MOST_S = 290.0
EACH_S = 75.0
AT_ONCE = 8
NOT_TRIED = {15: "a clock that was ahead: it takes a machine whose clock may be set (tests/test_clock_*.py)"}


async def outcome(scene: Scene, attack: Attack, until: float) -> str:
    """Empty where the desk held, else why not."""
    left_s = min(EACH_S, until - time.monotonic())
    if left_s <= 0:
        return "no time was left to try it"
    try:
        async with asyncio.timeout(left_s):
            await attack(scene)
    except Broken as broken:
        return str(broken)
    except TimeoutError:
        return f"no end within {left_s:.0f} s"
    except (RuntimeError, OSError, aiohttp.ClientError, ValueError, KeyError) as error:
        return f"could not be tried: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""


async def try_one(scene: Scene, listed: Listed, turns: asyncio.Semaphore, until: float) -> bool:
    """Try it and print how it went; whether the desk held."""
    async with turns:
        since = time.monotonic()
        why = await outcome(scene, listed.run, until)
    word = (
        f"BROKEN  {listed.item:>2}  {listed.what}: {why}"
        if why
        else f"held    {listed.item:>2}  {listed.what}"
    )
    print(f"{word}  [{time.monotonic() - since:.0f} s]", flush=True)
    return not why


async def attack_all(desk: Desk, began: float) -> int:
    """Try all; returns how many did not hold."""
    turns, until = asyncio.Semaphore(AT_ONCE), began + MOST_S
    async with AsyncExitStack() as stack:
        scene = Scene(desk, stack)
        await gather_people(scene)
        print(f"{len(scene.people)} people are signed in after {time.monotonic() - began:.0f} s.", flush=True)
        beside = (try_one(scene, each, turns, until) for each in ATTACKS if not each.alone)
        held = await asyncio.gather(*beside)
        held += [await try_one(scene, each, turns, until) for each in ATTACKS if each.alone]
    for item, what in NOT_TRIED.items():
        print(f"-       {item:>2}  not tried from outside: {what}")
    return len(held) - sum(held)


def main() -> None:
    """Attack a fresh desk."""
    began = time.monotonic()
    desk = Desk()
    try:
        print("Starting a simulated desk to attack …", flush=True)
        desk.start()
        print(f"It serves after {time.monotonic() - began:.0f} s.", flush=True)
        broken = asyncio.run(attack_all(desk, began))
    except (RuntimeError, TimeoutError, aiohttp.ClientError) as error:
        sys.exit(f"The attack could not begin: {type(error).__name__}: {error}")
    finally:
        desk.stop()
    print(f"{len(ATTACKS) - broken} held, {broken} broken, in {time.monotonic() - began:.0f} s")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
