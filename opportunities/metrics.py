"""The metrics of the sink that writes opportunities."""

from core.metrics import Samples, Stats, declare, exported_of

declare("episodes_open", "shard", "Opportunities that last now.")
declare("episodes_waiting", "shard", "Episodes and findings not written to PostgreSQL yet.")
declare("episodes_written_total", "shard", "Episodes written to PostgreSQL.")
declare("episodes_lost_total", "shard why", "Episodes given up: refused by PostgreSQL, or too many waited.")
declare("episodes_failures_total", "shard", "Attempts to write episodes that failed.")


@exported_of("EpisodeSink")
def export_episodes(to: Samples, shard: str, stats: Stats, _symbols: int) -> None:
    """Export the sink's counters."""
    to.add("episodes_open", stats["episodes_open"], shard)
    to.add("episodes_waiting", stats["waiting"], shard)
    to.add("episodes_written_total", stats["written"], shard)
    to.add("episodes_lost_total", stats["refused"], shard, "refused")
    to.add("episodes_lost_total", stats["lost"], shard, "too many")
    to.add("episodes_failures_total", stats["failures"], shard)
