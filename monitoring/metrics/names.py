"""Every metric of the desk: name, kind, labels and what it says. docs/metrics.md is held against this."""

from typing import Final, Literal

from msgspec import Struct

Kind = Literal["gauge", "counter", "histogram"]


class Metric(Struct, frozen=True):
    """One family. Counters end in `_total`, times are in seconds and sizes in bytes."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    words: str


def _metric(name: str, labels: str, words: str, kind: Kind | None = None) -> Metric:
    kind = kind or ("counter" if name.endswith("_total") else "gauge")
    return Metric(f"arbdesk_{name}", kind, tuple(labels.split()), words)


OF_EVERY_PROCESS: Final = (
    _metric("process_info", "role process host", "Always 1; who it is."),
    _metric("process_start_time_seconds", "role", "When it started, since the epoch."),
    _metric("process_heartbeat_time_seconds", "role", "When it last took its own pulse, since the epoch."),
    _metric("process_memory_bytes", "role", "Resident memory, a worker's with its children."),
    _metric(
        "process_memory_limit_bytes", "role", "What it may take: its container's or its setting's limit."
    ),
    _metric("process_cpu_ratio", "role", "CPU time by time since the last beat; 1 is a whole core."),
    _metric(
        "process_loop_lag_seconds", "role", "The latest a timer of its event loop came since the last beat."
    ),
    _metric(
        "process_gc_full_per_minute", "role", "Full (generation 2) garbage collections in the last minute."
    ),
    _metric("process_gc_pause_seconds", "role", "The longest garbage collection since the last beat."),
    _metric("process_tasks", "role", "asyncio tasks, or threads where there is no event loop."),
    _metric("process_sockets", "role", "Open network sockets."),
    _metric("process_revision", "role", "The configuration it runs, where it runs one."),
    _metric(
        "process_part_restarts_total",
        "role",
        "Times a part of a collector, monitor or web process (a feed, a sink, a hub) was started again.",
    ),
    _metric("queue_length", "role queue", "What waits in a bounded queue."),
    _metric("queue_capacity", "role queue", "How much fits into it."),
    _metric("queue_dropped_total", "role queue", "What it has dropped because it was full."),
)

OF_COLLECTORS: Final = (
    _metric("collector_stands_by", "", "1 in a collector whose shard another one collects, else 0."),
    _metric("queue_accepted_total", "shard queue", "Events that were put into a sink's queue."),
    _metric("exchange_up", "shard exchange", "1 while every connection of the exchange is up."),
    _metric("exchange_breaker_open", "shard exchange", "1 while the breaker keeps it from being tried."),
    _metric("exchange_connections", "shard exchange", "Connections to it."),
    _metric("exchange_topics", "shard exchange", "Topics subscribed there."),
    _metric("exchange_refused_topics", "shard exchange", "Topics it does not take."),
    _metric("exchange_reconnects_total", "shard exchange", "Connections lost, and attempts that failed."),
    _metric(
        "exchange_bad_frames_total",
        "shard exchange kind",
        "What was refused: malformed, unknown, crossed, zero, empty_side, frozen (late), read_late (late "
        "because the collector stood still), out_of_order, duplicate_trade. What costs no quote: bad_time "
        "(only the time), late (made older).",
    ),
    _metric(
        "exchange_delay_seconds",
        "shard exchange",
        "From the exchange's time stamp to our receipt, corrected for a clock that is ahead.",
        "histogram",
    ),
    _metric("quality_reports_total", "shard", "Reports of the data's quality that were told."),
    _metric("quality_reports_failed_total", "shard", "Reports that Redis did not take."),
    _metric("engine_quotes_total", "shard", "Quotes the spread engine took over."),
    _metric("engine_points_total", "shard", "Points of charts it made."),
    _metric("engine_passed_over_total", "shard reason", "Quotes that made no point, by why."),
    _metric(
        "engine_points_thinned_total", "shard where", "Points given up: engine or publisher came too late."
    ),
    _metric(
        "engine_busy_seconds_total", "shard", "Time spent in the spread engine and the scanner on events."
    ),
    _metric("scanner_pairs", "shard", "Pairs that are followed."),
    _metric(
        "scanner_judged_total", "shard", "Directions whose edge reached a trigger, or that were watched."
    ),
    _metric("scanner_jumps_total", "shard", "Quotes too far from the one before to be believed at once."),
    _metric("scanner_frames_total", "shard", "Frames told to the scanner pages."),
    _metric("publisher_batches_total", "shard", "Batches of points told to the web processes."),
    _metric(
        "publisher_failures_total", "shard what", "Flushes, broadcasts or scanner frames Redis did not take."
    ),
    _metric("episodes_opened_total", "shard", "Opportunities that began."),
    _metric("episodes_closed_total", "shard", "Opportunities that were over."),
    _metric("episodes_open", "shard", "Opportunities that last now."),
    _metric("episodes_waiting", "shard", "Episodes and findings not written to PostgreSQL yet."),
    _metric("episodes_written_total", "shard", "Episodes written to PostgreSQL."),
    _metric(
        "episodes_lost_total", "shard why", "Episodes given up: refused by PostgreSQL, or too many waited."
    ),
    _metric("episodes_failures_total", "shard", "Attempts to write episodes that failed."),
    _metric(
        "lake_rows_written_total",
        "shard table",
        "Rows committed to the lake: quotes, trades, points and more.",
    ),
    _metric("lake_rows_pending", "shard", "Rows that wait to be committed."),
    _metric("lake_flushes_total", "shard", "Flushes to the lake that were begun."),
    _metric("lake_flush_seconds", "shard", "How long flushes to the lake took.", "histogram"),
    _metric("lake_last_flush_seconds", "shard", "The last flush, or the one under way if that is longer."),
    _metric("lake_failures_total", "shard", "Commits to the lake that failed."),
    _metric("lake_events_lost_total", "shard", "Events that did not come to the lake."),
    _metric(
        "lake_symbol_rows_total",
        "shard table symbol",
        "Rows of the busiest symbols; METRICS_SYMBOLS of them.",
    ),
)

OF_WEB: Final = (
    _metric("http_requests_total", "method route status", "HTTP requests answered."),
    _metric("http_request_seconds", "route", "How long answers took to begin.", "histogram"),
    _metric("websocket_handshakes_total", "outcome", "WebSockets by origin: accepted or refused."),
    _metric("sign_ins_total", "outcome", "Sign-ins: accepted, refused, locked_out, or too busy to check."),
    _metric("audit_entries_total", "kind", "Entries of the audit this process wrote."),
    _metric(
        "web_refused_total",
        "why",
        "Connections and requests refused before they were read: too_many_of_all, too_many_of_address, idle, "
        "slow_head, slow_body, large_body, busy, odd_head, many_frames.",
    ),
    _metric("web_connections", "", "Connections of clients, WebSockets among them."),
    _metric("web_sockets", "page", "Open WebSockets: of charts, of the scanner."),
    _metric("web_charts_watched", "", "Charts that somebody watches here."),
    _metric("web_shards", "", "Collector shards heard."),
    _metric("web_shards_silent", "", "Of them those that fell silent."),
    _metric("web_batches_total", "", "Batches of points received from collectors."),
    _metric("web_batches_missed_total", "", "Batches that were missed."),
    _metric(
        "web_batches_unreadable_total", "", "Batches of points and scanner frames that could not be read."
    ),
    _metric("web_messages_sent_total", "", "Messages sent to sockets of charts, counted when these end."),
    _metric("web_points_thinned_total", "", "Points not sent because a browser was slow."),
    _metric("web_sockets_given_up_total", "", "Sockets closed because they took nothing any more."),
    _metric(
        "web_rights_ended_total", "", "Sockets and long answers ended because their user may not have them."
    ),
    _metric("web_rights_unanswered_total", "", "Checks of users' rights that PostgreSQL did not answer."),
    _metric("web_hub_restarts_total", "page", "Times the hub of the sockets had to begin again."),
    _metric("scanner_rows", "", "Rows of the scanner's table."),
)

OF_CELERY: Final = (
    _metric(
        "tasks_queued_total", "task", "Tasks put into the queue by this process; the schedule's by beat."
    ),
    _metric("task_runs_total", "task outcome", "Tasks that came to an end: succeeded, failed or retried."),
    _metric("task_seconds", "task", "How long they took.", "histogram"),
)

OF_THE_MONITOR: Final = (
    _metric(
        "monitor_leads", "", "1 in the monitor that works, 0 in those that stand by, which tell no more."
    ),
    _metric("findings", "kind severity", "What is ill now, counted."),
    _metric("processes", "role state", "Processes heard (running) and missed (missing)."),
    _metric("store_up", "store", "1 while redis or the database answers."),
    _metric("store_answer_seconds", "store", "How long it took to answer."),
    _metric("redis_memory_bytes", "", "Memory Redis uses."),
    _metric("redis_memory_limit_bytes", "", "What it may use."),
    _metric("database_bytes", "", "Size of the database."),
    _metric("lake_bytes", "table", "Size of the lake, live files only."),
    _metric("lake_files", "table", "Live files of the lake."),
    _metric("lake_rows", "table", "Rows in the lake."),
    _metric("disk_free_bytes", "", "Free on the disk under the lake."),
    _metric("disk_bytes", "", "All of that disk."),
    _metric(
        "job_last_success_time_seconds",
        "work",
        "When recurring work last came to a good end, since the epoch.",
    ),
    _metric("job_period_seconds", "work", "How often it ought to."),
    _metric("job_failed", "work", "1 when its last run failed or died."),
    _metric(
        "exchange_symbols", "exchange state", "Instruments by freshness: live, quiet, suspect, stale, down."
    ),
    _metric("exchange_quotes_per_minute", "exchange", "Quotes in the last minute."),
    _metric("exchange_trades_per_minute", "exchange", "Trades in the last minute."),
    _metric("exchange_age_seconds", "exchange", "Since the last quote or trade."),
    _metric("exchange_clock_offset_seconds", "exchange", "By how much its clock is ahead of ours."),
    _metric("exchange_gaps_per_minute", "exchange", "Interruptions told in the last minute."),
    _metric("symbol_age_seconds", "exchange symbol", "Since the last quote; the METRICS_SYMBOLS worst."),
    _metric("symbol_quotes_per_minute", "exchange symbol", "Quotes in the last minute; of the same."),
    _metric(
        "alert_attempts_total", "channel outcome", "Attempts to deliver a message: sent, refused or failed."
    ),
    _metric("alert_attempt_seconds", "channel", "How long they took.", "histogram"),
    _metric("alert_channel_waiting", "channel", "Messages that wait for a channel that does not take them."),
)

METRICS: Final = {
    metric.name: metric
    for group in (OF_EVERY_PROCESS, OF_COLLECTORS, OF_WEB, OF_CELERY, OF_THE_MONITOR)
    for metric in group
}
