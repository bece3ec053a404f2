"""Cost of keeping a quote: from the sink's channel to committed Parquet, beside cryptofeed's way.

    .venv/bin/python benchmarks/lake/sink.py [QUOTES]

The peer needs a virtualenv of its own, else it is left out and said so:

    python3 -m venv var/bench-venv && var/bench-venv/bin/pip install cryptofeed

cryptofeed has no backend that writes files. The closest is its socket backend, JSON per tick through
its own queue, with a file for its socket (see lake_sink_cryptofeed.py). Its ticker
has no sizes, which is half of a quote; with sizes a best bid and ask is a book of one level there:
that is the tick we keep, and what the target is held against. The ticker's ratio is shown, too.

Each run is a process of its own, ours and theirs in turn, so that a busy machine slows all alike:
read CPU time and ratios. "memory" is how far the resident set grew above that of a collector
that has loaded what `collect` loads anyway and has no sink. The last line is a JSON object with
every figure, its target and whether it is met.
"""

import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

PEER_PYTHON = ROOT / "var" / "bench-venv" / "bin" / "python"
QUOTES = 1_000_000
ROUNDS = 3
DISTINCT = 10_000  # quotes made beforehand, sent again and again: as warm as those just decoded
BATCH = 500  # quotes a producer puts at once
FULL = 50_000  # in the channel: the producer waits, so that nothing is dropped
STEADY_PER_S = 20_000
STEADY_S = 15
PEERS = ("book", "ticker")
TARGETS = {"quotes_per_s_per_core": 200_000, "ratio_book": 5.0, "memory_mb": 80.0}


def ticks(count: int) -> list[tuple[str, str, float, float, float, float, int]]:
    """Invented quotes of eight exchanges and twenty symbols: prices walk in ticks, as real ones do."""
    import random

    chance = random.Random(7)
    prices = {symbol: 100.0 * (symbol + 1) for symbol in range(20)}
    rows = []
    now_us = time.time_ns() // 1000
    for number in range(count):
        symbol = chance.randrange(20)
        prices[symbol] += chance.choice((-0.01, 0.0, 0.0, 0.01))
        bid = round(prices[symbol], 2)
        sizes = round(chance.expovariate(2), 3), round(chance.expovariate(2), 3)
        exchange = f"exchange{chance.randrange(8)}"
        rows.append((exchange, f"S{symbol}/USDT", bid, sizes[0], bid + 0.01, sizes[1], now_us + number * 5))
    return rows


def resident_mb() -> float:
    """Resident set of this process."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 1e6


class Peak:
    """The largest resident set while it is open, looked at fifty times a second."""

    def __enter__(self) -> "Peak":
        self.mb = resident_mb()
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.mb = max(self.mb, resident_mb())

    def __exit__(self, *problem: object) -> None:
        self._over.set()
        self._watch.join()


def ours(quotes: int, per_s: int, lake: str) -> dict[str, float]:
    """One run of our sink, as fast as it goes or at a steady rate; in a process of its own."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "arbsite.settings",
        "LAKE_URL": lake,
        "SECRET_KEY": token_urlsafe(50),
    }
    import django
    from django.contrib import admin

    django.setup()
    admin.autodiscover()  # as every command's system check does
    import realtime.sink  # noqa: F401
    from markets.events import Quote

    made = [Quote(*tick[:6], tick[6] - 3000, tick[6], tick[6] * 1000) for tick in ticks(DISTINCT)]
    gc.collect()
    gc.freeze()  # as `collect` does
    before_mb = resident_mb()
    with Peak() as peak:
        result = asyncio.run(_send(made, quotes, per_s))
    return result | {"memory_mb": peak.mb - before_mb}


async def _send(made: list[Any], quotes: int, per_s: int) -> dict[str, float]:
    from core.channel import Channel
    from history.write.sink import LakeSink
    from markets.config import Shard

    channel: Channel[Any] = Channel("lake")
    sink = LakeSink(channel, Shard(), lambda _event: None)
    task = asyncio.create_task(sink.run())
    await asyncio.sleep(0)
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, quotes, BATCH):
        at = start % DISTINCT
        channel.put_many(made[at : at + BATCH])
        await asyncio.sleep(0)
        while len(channel) >= FULL:  # noqa: ASYNC110 - a channel does not signal that it has room
            await asyncio.sleep(0.001)
        if per_s and (early := start / per_s - (time.perf_counter() - wall)) > 0:
            await asyncio.sleep(early)
    channel.close()
    await task
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if sink.stats()["rows"]["quotes"] != quotes:
        raise SystemExit(f"not everything was written: {sink.stats()}")
    return {"cpu_s": cpu, "wall_s": wall}


def run(*command: str) -> dict[str, float]:
    """One run in a process of its own; its last line is the result."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_ours(quotes: int, per_s: int = 0) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        return run(sys.executable, __file__, "ours", str(quotes), str(per_s), f"{directory}/lake")


def run_peer(how: str, quotes: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as directory:
        lines = Path(directory) / "ticks.json"
        lines.write_text(json.dumps(ticks(DISTINCT)))
        script = str(ROOT / "benchmarks" / "support" / "lake_sink_cryptofeed.py")
        return run(str(PEER_PYTHON), script, how, str(lines), str(quotes), f"{directory}/out")


def main(quotes: int) -> None:
    """Take turns, then print what was found."""
    peers = PEERS if PEER_PYTHON.exists() else ()
    if not peers:
        print(f"{PEER_PYTHON} is not there: without cryptofeed (see the top of this file)")
    cost: dict[str, list[float]] = {how: [] for how in ("ours", *peers)}  # CPU seconds per quote
    runs = []
    for _ in range(ROUNDS):
        runs.append(run_ours(quotes))
        cost["ours"].append(runs[-1]["cpu_s"] / quotes)
        for how in peers:
            cost[how].append(run_peer(how, quotes // 4)["cpu_s"] / (quotes // 4))
    steady = run_ours(STEADY_PER_S * STEADY_S, STEADY_PER_S)
    figures: dict[str, float] = {
        "quotes_per_s_per_core": round(1 / statistics.median(cost["ours"])),
        "quotes_per_s_wall": round(statistics.median(quotes / r["wall_s"] for r in runs)),
        "memory_mb": round(max(r["memory_mb"] for r in runs), 1),
        f"memory_mb_at_{STEADY_PER_S}_per_s": round(steady["memory_mb"], 1),
        f"cores_at_{STEADY_PER_S}_per_s": round(steady["cpu_s"] / steady["wall_s"], 3),
    }
    for how in peers:
        ratio = statistics.median(theirs / ours for theirs, ours in zip(cost[how], cost["ours"], strict=True))
        figures[f"cryptofeed_{how}_per_s_per_core"] = round(1 / statistics.median(cost[how]))
        figures[f"ratio_{how}"] = round(ratio, 2)
    for name, value in figures.items():
        print(f"{name:36} {value:>12,}")
    print(json.dumps({"benchmark": "lake_sink", "figures": {n: judged(n, v) for n, v in figures.items()}}))


def judged(name: str, value: float) -> dict[str, Any]:
    """A figure beside its target, where it has one."""
    target = TARGETS.get(name)
    if target is None:
        return {"value": value, "target": None, "met": None}
    return {
        "value": value,
        "target": target,
        "met": value <= target if name == "memory_mb" else value >= target,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        print(json.dumps(ours(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else QUOTES)
