"""What of one look is unhealthy: pure, one check per kind of trouble. Words are for operators.

Here are the checks of stores, processes and recurring work; apps register those of their own data
(`core.health.findings`), and `assess` makes all of them.

While Redis does not answer, nobody knows anything of processes and exchanges: only that is said then,
because a page full of guesses would hide the one thing to mend.
"""

from collections.abc import Iterator
from typing import Final

from core.clock.clocks import JUMP_S, jump_in_words
from core.clock.moments import AHEAD_S, age_s, is_over
from core.health.findings import Finding, Severity, checks, finds, graded
from core.names.formats import counted
from core.process.heartbeat import MISSING_AFTER_S, Heartbeat, Role, is_missing
from markets.config import Shard
from monitoring.health.observed import Limits, Observed

GRACE_S: Final = 10.0
"""A process without any heartbeat yet may still be starting so long after we began to listen."""

STARTING_S: Final = 30.0
"""So long after its start a process may still load what it needs, and hold itself up with it."""

CRITICAL_FILL_PCT: Final = 90.0
CRITICAL_MEMORY_PCT: Final = 95.0
JUMP_REPORTED_S: Final = 300.0
CLOCK_REMEDY: Final = (
    "Chart lines are interrupted there. Have the clock slewed (chrony, ntpd), not set; "
    "rows of the repeated time are interleaved in the lake."
)
DAY_US: Final = 86_400_000_000

EXPECTED: Final[dict[Role, Severity]] = {
    "collector": "critical",
    "web": "critical",
    "monitor": "critical",
    "worker": "warning",
    "beat": "warning",
}
"""What every desk runs at least one of; the simulator too, where the exchanges are simulated."""

RESTART: Final = "Where a supervisor watches it, it is restarted by itself; otherwise start it."
WITHOUT: Final[dict[Role, str]] = {
    "collector": "No data is collected for its symbols.",
    "ingest": "Nothing of its symbols is written into the store.",
    "web": "Its pages and sockets are unavailable.",
    "monitor": "No alerts are sent.",
    "worker": "Syncs and the maintenance of the lake stop.",
    "beat": "No recurring task is started: syncs and maintenance stop.",
    "simulator": "The simulated exchanges are unavailable.",
}


def assess(now: Observed, limits: Limits) -> list[Finding]:
    """All findings, the worst first. `since_us` is `now` where the observation does not know better."""
    found = (finding for check in checks for finding in check(now, limits))
    by_key: dict[str, Finding] = {}
    for finding in found:
        by_key.setdefault(finding.key, finding)
    return sorted(by_key.values(), key=lambda finding: (finding.severity != "critical", finding.key))


def status(now: Observed, findings: list[Finding]) -> str:
    """`ok`, `degraded` or `down`: the database, Redis or all collectors are gone."""
    if not now.redis.well or not now.database.well or not now.collectors:
        return "down"
    return "degraded" if findings else "ok"


# --- stores --------------------------------------------------------------------------------------


@finds(redis="Redis does not answer", database="PostgreSQL does not answer")
def stores(now: Observed, limits: Limits) -> Iterator[Finding]:
    """Redis and PostgreSQL."""
    if not now.redis.well:
        yield Finding(
            "redis", "redis", "critical", now.at_us,
            f"Redis does not respond: {now.redis.words}. Browsers get no new data; collectors continue.",
            "Check the Redis of REDIS_URL: whether it runs, is reachable and has memory left. "
            "Everything recovers by itself once it responds.",
        )  # fmt: skip
    if not now.database.well:
        yield Finding(
            "database", "postgresql", "critical", now.at_us,
            f"PostgreSQL does not respond: {now.database.words}. Signing in and saving are not possible.",
            "Check the PostgreSQL of DATABASE_URL: whether it runs, its disk space, its free connections.",
        )  # fmt: skip
    if now.redis_bytes is not None and now.redis_limit_bytes:
        used_pct = 100 * now.redis_bytes / now.redis_limit_bytes
        if used_pct > limits.memory_pct:
            yield Finding(
                "memory", "redis", graded(used_pct >= CRITICAL_MEMORY_PCT), now.at_us,
                f"Redis uses {used_pct:.0f} % of its maxmemory ({_mb(now.redis_limit_bytes)} MB).",
                "Raise maxmemory, or select fewer charts: the recent points of each take up to 0.6 MB.",
                round(used_pct, 1), limits.memory_pct,
            )  # fmt: skip


# --- processes -----------------------------------------------------------------------------------


@finds(
    queue_full="a queue fills up",
    drops="a queue drops",
    memory="a process is near its limit",
    gc="full garbage collections too often",
    loop_lag="a process's event loop is held up",
    process_missing="a process that ought to run sends no heartbeat",
    clock_jump="a wall clock was set",
)
def processes(now: Observed, limits: Limits) -> Iterator[Finding]:
    """Processes that are missing, and those that are unhealthy."""
    if not now.redis.well:
        return
    yield from _missing_processes(now)
    yield from _missing_shards(now)
    for beat in now.heartbeats:
        if not is_missing(beat, now.at_us):
            yield from _of_process(beat, now, limits)


def replaced(beats: tuple[Heartbeat, ...], at_us: int) -> set[str]:
    """Missing processes whose place another has taken since: nobody misses those any more.

    Where processes bear their pid in their name, a restarted one is a new name. Each one that began after
    another of its role had its last heartbeat stands for one of those.
    """
    gone = sorted((b for b in beats if is_missing(b, at_us)), key=lambda b: b.reported_ts_us)
    alive = sorted((b for b in beats if not is_missing(b, at_us)), key=lambda b: b.started_ts_us)
    names = set()
    for old in gone:
        new = next((b for b in alive if b.role == old.role and b.started_ts_us >= old.reported_ts_us), None)
        if new is not None and old.role != "collector":  # those have names that stay
            alive.remove(new)
            names.add(old.name)
    return names


def _missing_processes(now: Observed) -> Iterator[Finding]:
    gone_for_good = replaced(now.heartbeats, now.at_us)
    gone_for_good |= {beat.name for beat in now.heartbeats if beat.stands_by}  # nobody misses a reserve
    for beat in now.heartbeats:
        if is_missing(beat, now.at_us) and beat.name not in gone_for_good:
            silent_s = (now.at_us - beat.reported_ts_us) / 1e6
            yield Finding(
                "process_missing", beat.name, EXPECTED.get(beat.role, "critical"), beat.reported_ts_us,
                f"{beat.name} (process {beat.pid} on {beat.host}) has not reported for {silent_s:.0f} s. "
                f"{WITHOUT[beat.role]}",
                f"{RESTART} Its log shows why it ended.",
                round(silent_s, 1), MISSING_AFTER_S,
            )  # fmt: skip
    for restart in now.restarts:
        yield Finding(
            "process_missing", restart.name, EXPECTED.get(restart.role, "critical"), restart.at_us,
            f"{restart.name} ended unexpectedly and was started again "
            f"{(now.at_us - restart.at_us) / 1e6:.0f} s ago. Its work was interrupted in between.",
            "Its log and the kernel log (out of memory?) show why it ended. This is shown for a minute.",
        )  # fmt: skip
    if now.listening_since_us is None or not is_over((now.at_us - now.listening_since_us) / 1e6, GRACE_S):
        return
    there = {beat.role for beat in now.heartbeats if not beat.stands_by}
    expected = EXPECTED | ({"simulator": "critical"} if now.simulated else {})
    for role, severity in expected.items():
        if role not in there:
            yield Finding(
                "process_missing", role, severity, now.at_us,
                f"No {role} is running. {WITHOUT[role]}", f"Start one. {_HOW_TO_START}",
            )  # fmt: skip


_HOW_TO_START: Final = "`make run` and Docker Compose start every part; docs/operations.md names each."


def _missing_shards(now: Observed) -> Iterator[Finding]:
    """Parts of the split that no collector runs, as the others report."""
    running = {Shard.parse(status.shard) for status in now.collectors}
    count = max((shard.count for shard in running), default=0)
    for index in range(1, count + 1):
        shard = Shard(index, count)
        if shard not in running:
            yield Finding(
                "process_missing", f"collector {shard}", "critical", now.at_us,
                f"No collector is running for shard {shard}. {WITHOUT['collector']}",
                f"{RESTART} (`manage.py collect --shard {shard}`) If it is running, it hangs: see its log.",
            )  # fmt: skip


def _of_process(beat: Heartbeat, now: Observed, limits: Limits) -> Iterator[Finding]:
    if beat.memory_limit_bytes:
        used_pct = 100 * beat.rss_bytes / beat.memory_limit_bytes
        if used_pct > limits.memory_pct:
            yield Finding(
                "memory", beat.name, graded(used_pct >= CRITICAL_MEMORY_PCT), now.at_us,
                f"{beat.name} uses {_mb(beat.rss_bytes):,} MB, {used_pct:.0f} % of its limit.",
                "Restart it if it keeps growing; else raise its limit (MEMORY_LIMIT_MB, or the container's), "
                "or give collectors fewer symbols each with another split.",
                round(used_pct, 1), limits.memory_pct,
            )  # fmt: skip
    yield from _clock(beat, now)
    if beat.gc_gen2_per_min > limits.gc_gen2_per_min:
        yield Finding(
            "gc", beat.name, "warning", now.at_us,
            f"{beat.name} made {counted(beat.gc_gen2_per_min, 'full garbage collection')} in the last "
            f"minute; the longest pause was {beat.gc_pause_ms:.0f} ms.",
            "This delays events. Restart it if it persists, and report what it was doing.",
            beat.gc_gen2_per_min, limits.gc_gen2_per_min,
        )  # fmt: skip
    young = not is_over((now.at_us - beat.started_ts_us) / 1e6, STARTING_S)
    if beat.loop_lag_ms is not None and beat.loop_lag_ms > limits.loop_lag_ms and not young:
        yield Finding(
            "loop_lag", beat.name, "warning", now.at_us,
            f"{beat.name} was blocked for {beat.loop_lag_ms:,.0f} ms: incoming data waited that long.",
            "Check whether the machine is overloaded. Collectors: split the symbols among more of them. "
            "Web: start another one behind the proxy.",
            beat.loop_lag_ms, limits.loop_lag_ms,
        )  # fmt: skip
    yield from _queues(beat, now, limits)


def _clock(beat: Heartbeat, now: Observed) -> Iterator[Finding]:
    """A clock that was set a moment ago, or that is not ours."""
    jumped_us = beat.clock_jumped_us
    ahead_s = now.ahead_s.get(beat.name, max(0.0, (beat.reported_ts_us - now.at_us) / 1e6))
    if jumped_us is not None and abs(now.at_us - jumped_us) < JUMP_REPORTED_S * 1e6:
        yield Finding(
            "clock_jump", beat.name, "warning", min(jumped_us, now.at_us),
            f"The wall clock of {beat.name} was set {jump_in_words(beat.clock_jumped_s)}.",
            CLOCK_REMEDY, beat.clock_jumped_s, JUMP_S,
        )  # fmt: skip
    elif abs(ahead_s) > AHEAD_S:
        where = "ahead of" if ahead_s > 0 else "behind"
        yield Finding(
            "clock_jump", beat.name, "warning", now.at_us,
            f"The last time written by {beat.name} is {abs(ahead_s):,.1f} s {where} now: a clock was set, "
            "or the clocks of two machines differ.",
            CLOCK_REMEDY, round(ahead_s, 1), AHEAD_S,
        )  # fmt: skip


def _queues(beat: Heartbeat, now: Observed, limits: Limits) -> Iterator[Finding]:
    for name, queue in beat.queues.items():
        subject = f"{beat.name} {name}"
        fill_pct = 100 * queue.length / queue.capacity if queue.capacity else 0.0
        if queue.length > limits.queue_length or fill_pct > limits.queue_fill_pct:
            yield Finding(
                "queue_full", subject, graded(fill_pct >= CRITICAL_FILL_PCT), now.at_us,
                f"The queue {name} of {beat.name} holds {counted(queue.length, 'event')}, "
                f"{fill_pct:.0f} % of its capacity.",
                "Its destination is too slow or down: see the other findings. A full queue drops events.",
                float(queue.length), float(limits.queue_length),
            )  # fmt: skip
        if dropped := now.drops_per_min.get(subject, 0):
            yield Finding(
                "drops", subject, "critical", now.at_us,
                f"The queue {name} of {beat.name} dropped {counted(dropped, 'event')} in the last minute.",
                "Charts and the lake have gaps there. Check its destination, or split the symbols among more "
                "collectors.",
                float(dropped), 0.0,
            )  # fmt: skip


# --- upkeep --------------------------------------------------------------------------------------


@finds(maintenance_late="compaction, retention or a sync is overdue or failing")
def recurring_work(now: Observed, limits: Limits) -> Iterator[Finding]:
    """Work that is late, or failed."""
    for run in now.runs:
        late_s = age_s((now.at_us - (run.done_us or run.tried_us)) / 1e6)
        limit_s = limits.maintenance_late_times * run.due_every_s
        if run.state in ("failed", "died", "partial"):
            went = "was only partly done" if run.state == "partial" else "failed"
            yield Finding(
                "maintenance_late", run.job, "warning", run.tried_us,
                f"The task {run.job} {went}: {run.error or 'the process ended before it did'}",
                "It is retried when it is next due. The admin shows every run and can start one at once.",
                round(late_s or 0.0, 0), limit_s,
            )  # fmt: skip
        elif late_s is None:
            yield Finding(
                "maintenance_late", run.job, "warning", now.at_us,
                f"The task {run.job} was last done at a time that lies ahead: a clock was set back, and "
                "whether it is late is unknown.",
                "Its next run resolves this. The admin can start one at once.",
                0.0, limit_s,
            )  # fmt: skip
        elif late_s > limit_s:
            yield Finding(
                "maintenance_late", run.job, "warning", run.done_us or run.tried_us,
                f"The task {run.job} was last done {_duration(late_s)} ago; it is due every "
                f"{_duration(run.due_every_s)}.",
                "Check that worker and beat are running. After a week without a run, deletion waits until an "
                "exchange confirms the time. The admin shows every run and can start one at once.",
                round(late_s, 0), limit_s,
            )  # fmt: skip


@finds(alert_delivery="an alert channel does not take messages")
def channels(now: Observed, _limits: Limits) -> Iterator[Finding]:
    """Alert channels that do not take messages."""
    for channel in now.channels:
        yield Finding(
            "alert_delivery", channel.channel, "warning", channel.since_us,
            f"The alert channel {channel.channel} accepts no messages ({channel.waiting} waiting): "
            f"{channel.words}",
            "Its page in the admin shows every attempt; “Save and send a test” there shows whether it works.",
            float(channel.waiting),
        )  # fmt: skip


@finds()
def not_retained(now: Observed, _limits: Limits) -> Iterator[Finding]:
    """Rows of the database that ought to be gone."""
    for each in now.overdue:
        old_days = max(0.0, (now.at_us - each.oldest_us) / DAY_US)
        yield Finding(
            "maintenance_late", each.job, "warning", now.at_us,
            f"The task {each.job} is late: rows {counted(old_days, 'day')} old are still there; it keeps "
            f"{counted(each.keep_days, 'day')} and runs once a day.",
            "Check that worker and beat are running. After a week without a run, deletion waits until an "
            "exchange confirms the time. The worker's log shows why a run failed.",
            round(old_days * 86_400, 0), each.keep_days * 86_400.0,
        )  # fmt: skip


def _mb(size: int) -> int:
    return round(size / 2**20)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.0f} days"
