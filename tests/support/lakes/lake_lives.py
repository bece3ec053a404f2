"""Lives and deaths of a lake writer: `python -m tests.support.lakes.lake_lives LIVES SEED`.

Each life is a fork of this process, where everything is imported and nothing ran: it writes quotes
whose bids count up, until it is killed. A line of JSON per life says what was acknowledged by then.
"""

import asyncio
import json
import os
import random
import select
import signal
import struct
import sys
import time

import django

django.setup()

from history.write import sink  # noqa: E402
from tests.support.lakes.lake import lake_sink, quote  # noqa: E402

FLUSH_S = 0.02
LONGEST_S = 0.2


async def live(life: int, acknowledge: int) -> None:
    """Write until killed; reports every change of what is acknowledged."""
    sink.FLUSH_S = FLUSH_S  # type: ignore[misc]
    number = reported = 0
    async with lake_sink() as writing:
        while True:
            for _ in range(20):
                number += 1
                writing.channel.put(quote(number, exchange=f"life {life}"))
            await asyncio.sleep(0.001)
            if (rows := writing.sink.stats()["rows"].get("quotes", 0)) != reported:
                reported = rows
                os.write(acknowledge, struct.pack("q", reported))


def die(life: int, seconds: float) -> dict[str, float]:
    """One life of so many seconds after its first acknowledgement, or before it for a negative number."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        asyncio.run(live(life, writing))
    os.close(writing)
    if seconds >= 0:
        select.select([reading], [], [], 20)
    time.sleep(abs(seconds))
    killed_us = time.time_ns() // 1000
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as reported:
        acknowledged = [number for (number,) in struct.iter_unpack("q", reported.read())]
    return {"life": life, "acknowledged": max(acknowledged, default=0), "killed_us": killed_us}


def main(lives: int, seed: int) -> None:
    chance = random.Random(seed)
    for life in range(lives):
        print(json.dumps(die(life, chance.uniform(-0.1, LONGEST_S))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
