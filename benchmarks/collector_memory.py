"""Memory of one collector: 8 exchanges, 1,000 symbols, 28,000 scanned pairs, 500 watched charts.

    python benchmarks/collector_memory.py [--minutes 5] [--symbols 1000] [--charts 500] [--rate 0.5]

The real `manage.py collect`, all its sinks included, against the real simulator, each on a core of its
own; `--rate` is quotes per second and instrument (0.5: 4,000 a second, and a fifth of that in trades).
Once everything is subscribed and a minute has passed, memory is looked at every second: how much, and how
far the mean of any half minute is from that of all of them. An hour is `--minutes 60`. Pauses of the
garbage collector are the collector's own count, in its status. The last line is a JSON object with every
figure, its target and whether it is met.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import fmean
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.support.big_desk import cpu_s, process, set_up, simulator, status_of
from collectors.exchanges import CODECS
from core.names.market_keys import exchange_of
from engine.charts.rings import PointRing
from engine.charts.spread import WINDOW_POINTS
from markets.follow.runtime import CollectorStatus, collector_statuses

WARM_UP_S: Final = 60
NO_MORE_S: Final = 30
STRETCH_S: Final = 30

RSS_MB: Final = 250
FLAT_PERCENT: Final = 2.0
POINT_BYTES: Final = 48
PAUSE_MS: Final = 5.0


def wait_for_topics(topics: int) -> float:
    """Wait until so many are subscribed, or for long no more; seconds it took."""
    began = last_news = time.monotonic()
    most = 0
    while most < topics and time.monotonic() - last_news < NO_MORE_S:
        if (status := newest()) and subscribed(status) > most:
            most, last_news = subscribed(status), time.monotonic()
        time.sleep(1)
    return time.monotonic() - began


def newest() -> CollectorStatus | None:
    """Last report of the collector."""
    return next(iter(collector_statuses()), None)


def subscribed(status: CollectorStatus) -> int:
    """Topics on live connections."""
    return sum(int(exchange["topics"]) for exchange in status.exchanges.values())


def watch(pid: int, seconds: float) -> list[float]:
    """RSS in MB, every second."""
    found = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found.append(status_of(pid, "VmRSS"))
        time.sleep(1)
    return found


def drift_percent(samples: list[float]) -> float:
    """How far the mean of any stretch is from the mean of all."""
    stretches = [samples[at : at + STRETCH_S] for at in range(0, len(samples) - STRETCH_S + 1, STRETCH_S)]
    whole = fmean(samples)
    return max((abs(fmean(each) / whole - 1) * 100 for each in stretches), default=0.0)


def measure(options: argparse.Namespace) -> tuple[list[float], CollectorStatus, float, float]:
    """RSS over time, the last status, CPU share, quotes a second."""
    with (
        tempfile.TemporaryDirectory() as lake,
        simulator(options.symbols, options.rate, core=1) as url,
    ):
        set_up(options.symbols, options.charts, url, min_edge_bps=15)
        with process("collect", core=0, LAKE_URL=lake) as collector:
            took_s = wait_for_topics(options.symbols * len({exchange_of(key) for key in CODECS}) * 2)
            status = newest()
            assert status is not None, "the collector does not report"
            print(
                f"{subscribed(status):,} topics after {took_s:.0f} s; warming up for {WARM_UP_S} s",
                flush=True,
            )
            time.sleep(WARM_UP_S)
            began, cpu, quotes = time.monotonic(), cpu_s(collector.pid), quotes_of(newest())
            samples = watch(collector.pid, options.minutes * 60)
            elapsed = time.monotonic() - began
            last = newest()
            assert last is not None, "the collector does not report any more"
            share = (cpu_s(collector.pid) - cpu) / elapsed
            return samples, last, share, (quotes_of(last) - quotes) / elapsed


def quotes_of(status: CollectorStatus | None) -> float:
    """Quotes the engine took in."""
    return float(status.sinks["RealtimeSink"]["quotes"]) if status else 0.0


def main() -> None:
    """Print what was found, and the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--symbols", type=int, default=1000)
    parser.add_argument("--charts", type=int, default=500)
    parser.add_argument("--rate", type=float, default=0.5)
    options = parser.parse_args()
    samples, status, share, rate = measure(options)
    sink, memory = status.sinks["RealtimeSink"], status.memory
    dropped = sum(channel["dropped"] for channel in status.channels.values())
    rss, drift = max(samples), drift_percent(samples)
    per_point = PointRing(WINDOW_POINTS).nbytes / WINDOW_POINTS
    print(f"{rate:,.0f} quotes/s, {share:.0%} of a core, {dropped:,} events dropped")
    print(f"{sink['pairs_scanned']:,} pairs scanned, {sink['episodes_opened']:,} episodes opened")
    print(
        f"RSS {samples[0]:.1f} MB at first, {samples[-1]:.1f} at last, {rss:.1f} at most; drift {drift:.2f} %"
    )
    print(
        f"garbage collector: {memory['gc_pauses']:,.0f} pauses, p99 {memory['gc_pause_p99_ms']:.2f} ms "
        f"({memory['gc_pause_cpu_p99_ms']:.2f} ms of CPU), "
        f"longest {memory['gc_pause_longest_ms']:.2f} ms; "
        f"{memory['gc_settled_ms']:.0f} ms once per configuration"
    )
    figures: dict[str, dict[str, Any]] = {
        name: {"value": round(value, 2), "target": target, "met": value <= target}
        for name, value, target in (
            ("rss_mb", rss, RSS_MB),
            ("rss_drift_percent", drift, FLAT_PERCENT),
            ("bytes_per_point", per_point, POINT_BYTES),
            ("gc_pause_p99_ms", memory["gc_pause_p99_ms"], PAUSE_MS),
        )
    }
    print(json.dumps({"benchmark": "collector_memory", "figures": figures}))


if __name__ == "__main__":
    main()
