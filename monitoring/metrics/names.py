"""The metrics of what monitoring itself knows: processes, quality, requests, tasks, and the monitor's own."""

from core.metrics import declare

# --- every process --------------------------------------------------------------------------------

declare("process_info", "role process host", "Always 1; the labels say which process it is.")
declare("process_start_time_seconds", "role", "When it started, since the epoch.")
declare("process_heartbeat_time_seconds", "role", "When it last took its own pulse, since the epoch.")
declare("process_memory_bytes", "role", "Resident memory, a worker's with its children.")
declare("process_memory_limit_bytes", "role", "What it may take: its container's or its setting's limit.")
declare("process_cpu_ratio", "role", "CPU time by time since the last beat; 1 is a whole core.")
declare("process_loop_lag_seconds", "role", "The latest a timer of its event loop came since the last beat.")
declare("process_gc_full_per_minute", "role", "Full (generation 2) garbage collections in the last minute.")
declare("process_gc_pause_seconds", "role", "The longest garbage collection since the last beat.")
declare("process_tasks", "role", "asyncio tasks, or threads where there is no event loop.")
declare("process_sockets", "role", "Open network sockets.")
declare("process_revision", "role", "The configuration it runs, where it runs one.")
declare(
    "process_part_restarts_total",
    "role",
    "Times a part of a collector, monitor or web process (a feed, a sink, a hub) was started again.",
)
declare("queue_length", "role queue", "What waits in a bounded queue.")
declare("queue_capacity", "role queue", "How much fits into it.")
declare("queue_dropped_total", "role queue", "What it has dropped because it was full.")

# --- collectors -----------------------------------------------------------------------------------

declare("collector_stands_by", "", "1 in a collector whose shard another one collects, else 0.")
declare(
    "exchange_delay_seconds",
    "shard exchange",
    "From the exchange's time stamp to our receipt, corrected for a clock that is ahead.",
    "histogram",
)
declare("quality_reports_total", "shard", "Reports of the data's quality that were published.")
declare("quality_reports_failed_total", "shard", "Reports that Redis did not take.")

# --- web processes --------------------------------------------------------------------------------

declare("http_requests_total", "method route status", "HTTP requests answered.")
declare("http_request_seconds", "route", "How long answers took to begin.", "histogram")
declare("websocket_handshakes_total", "outcome", "WebSockets by origin: accepted or refused.")
declare(
    "web_refused_total",
    "why",
    "Connections and requests refused before they were read: too_many_of_all, too_many_of_address, idle, "
    "slow_head, slow_body, large_body, busy, odd_head, many_frames.",
)
declare("web_connections", "", "Connections of clients, WebSockets among them.")

# --- Celery ---------------------------------------------------------------------------------------

declare("tasks_queued_total", "task", "Tasks put into the queue by this process; the schedule's by beat.")
declare("task_runs_total", "task outcome", "Tasks that came to an end: succeeded, failed or retried.")
declare("task_seconds", "task", "How long they took.", "histogram")

# --- the monitor ----------------------------------------------------------------------------------

declare("monitor_leads", "", "1 in the monitor that works, 0 in those that stand by, which export no more.")
declare("findings", "kind severity", "Number of findings now.")
declare("processes", "role state", "Processes with a heartbeat (running) and without (missing).")
declare("store_up", "store", "1 while redis or the database answers.")
declare("store_answer_seconds", "store", "How long it took to answer.")
declare("redis_memory_bytes", "", "Memory Redis uses.")
declare("redis_memory_limit_bytes", "", "What it may use.")
declare("database_bytes", "", "Size of the database.")
declare(
    "job_last_success_time_seconds",
    "work",
    "When recurring work last came to a good end, since the epoch.",
)
declare("job_period_seconds", "work", "How often it ought to.")
declare("job_failed", "work", "1 when its last run failed or died.")
declare("exchange_symbols", "exchange state", "Instruments by freshness: live, quiet, suspect, stale, down.")
declare("exchange_quotes_per_minute", "exchange", "Quotes in the last minute.")
declare("exchange_trades_per_minute", "exchange", "Trades in the last minute.")
declare("exchange_age_seconds", "exchange", "Since the last quote or trade.")
declare("exchange_clock_offset_seconds", "exchange", "By how much its clock is ahead of ours.")
declare("exchange_gaps_per_minute", "exchange", "Interruptions published in the last minute.")
declare("symbol_age_seconds", "exchange symbol", "Since the last quote; the METRICS_SYMBOLS worst.")
declare("symbol_quotes_per_minute", "exchange symbol", "Quotes in the last minute; of the same.")
declare("alert_attempts_total", "channel outcome", "Attempts to deliver a message: sent, refused or failed.")
declare("alert_attempt_seconds", "channel", "How long they took.", "histogram")
declare("alert_channel_waiting", "channel", "Messages that wait for a channel that does not take them.")
