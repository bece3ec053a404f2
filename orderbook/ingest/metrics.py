"""The metrics of the store: of those who write it."""

from core.metrics import Samples, Stats, declare, exported_of
from core.process.histogram import Buckets

declare("store_writing", "shard", "1 while this process writes its shard into the store.")
declare("store_rows_total", "shard", "Rows of the store that were new.")
declare("store_rows_repeated_total", "shard", "Rows that were delivered and there already.")
declare("store_batch_seconds", "shard", "How long batches took.", "histogram")
declare("store_lag_seconds", "shard", "Age of the oldest event that is not in the database; 0: none is.")
declare("store_waiting", "shard", "Events that wait in memory.")
declare("store_spilled_bytes", "shard", "What waits on disk while the database is away.")
declare("store_spilled_events", "shard", "Events that wait on disk.")
declare("store_dropped_total", "shard", "Events dropped because the disk had no room for them.")
declare("store_torn_bytes_total", "shard", "Bytes on disk of which no whole batch could be read.")
declare("store_set_aside_total", "shard kind", "Events of which no row can be made, by what is wrong.")
declare("store_failures_total", "shard", "Attempts to write that failed.")


@exported_of("StoreSink")
@exported_of("IngestSink")
def export_store_sink(to: Samples, shard: str, stats: Stats, _symbols: int) -> None:
    """Export the sink's counters."""
    to.add("store_writing", stats["active"], shard)
    to.add("store_rows_total", stats["rows"], shard)
    to.add("store_rows_repeated_total", stats["repeated"], shard)
    to.add_buckets("store_batch_seconds", Buckets(**stats["batch_buckets"]), shard)
    to.add("store_lag_seconds", stats["lag_s"], shard)
    to.add("store_waiting", stats["waiting"], shard)
    to.add("store_spilled_bytes", stats["spilled_bytes"], shard)
    to.add("store_spilled_events", stats["spilled_events"], shard)
    to.add("store_dropped_total", stats["dropped"], shard)
    to.add("store_torn_bytes_total", stats["torn_bytes"], shard)
    to.add("store_failures_total", stats["failures"], shard)
    for kind, count in stats["set_aside"].items():
        to.add("store_set_aside_total", count, shard, kind)
