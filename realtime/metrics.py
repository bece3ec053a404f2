"""The metrics of the spread engine, the scanner and their publisher, and of the hubs in web processes."""

from collections.abc import Mapping

from core.metrics import Samples, Stats, declare, exported_in, exported_of, of_web

# --- collectors ----------------------------------------------------------------------------------

declare("engine_quotes_total", "shard", "Quotes the spread engine applied.")
declare("engine_points_total", "shard", "Points of charts it made.")
declare("engine_passed_over_total", "shard reason", "Quotes that made no point, by why.")
declare("engine_points_thinned_total", "shard where", "Points given up: engine or publisher came too late.")
declare("engine_busy_seconds_total", "shard", "Time spent in the spread engine and the scanner on events.")
declare("scanner_pairs", "shard", "Pairs that are followed.")
declare("scanner_judged_total", "shard", "Directions whose edge reached a trigger, or that were watched.")
declare("scanner_jumps_total", "shard", "Quotes too far from the one before to be believed at once.")
declare("scanner_frames_total", "shard", "Frames published to the scanner pages.")
declare("publisher_batches_total", "shard", "Batches of points published to the web processes.")
declare(
    "publisher_failures_total",
    "shard what",
    "Batches, scanner frames or funding that Redis did not take.",
)
declare("funding_swaps", "shard state", "Followed swaps by whether their funding is known: known, unknown.")
declare("episodes_opened_total", "shard", "Opportunities that began.")
declare("episodes_closed_total", "shard", "Opportunities that were over.")


@exported_of("RealtimeSink")
def export_realtime(to: Samples, shard: str, stats: Stats, _symbols: int) -> None:
    """Export the sink's counters."""
    to.add("engine_quotes_total", stats["quotes"], shard)
    to.add("engine_points_total", stats["points"], shard)
    reasons = ("invalid", "ignored_old", "unknown", "malformed", "unpriced")
    for reason in reasons:
        to.add("engine_passed_over_total", stats[reason], shard, reason)
    to.add("engine_points_thinned_total", stats["thinned"], shard, "engine")
    to.add("engine_points_thinned_total", stats["points_thinned_waiting"], shard, "publisher")
    to.add("engine_busy_seconds_total", stats["busy_s"], shard)
    to.add("scanner_pairs", stats["pairs_scanned"], shard)
    to.add("scanner_judged_total", stats["judged"], shard)
    to.add("scanner_jumps_total", stats["jumps"], shard)
    to.add("scanner_frames_total", stats["scan_frames"], shard)
    to.add("publisher_batches_total", stats["batches_published"], shard)
    to.add("publisher_failures_total", stats["flushes_failed"], shard, "flush")
    to.add("publisher_failures_total", stats["broadcasts_lost"], shard, "broadcast")
    to.add("publisher_failures_total", stats["scan_failed"], shard, "scanner frame")
    to.add("episodes_opened_total", stats["episodes_opened"], shard)
    to.add("episodes_closed_total", stats["episodes_closed"], shard)


@exported_of("FundingSink")
def export_funding(to: Samples, shard: str, stats: Stats, _symbols: int) -> None:
    """Export how many swaps have funding that may be computed with."""
    to.add("funding_swaps", stats["swaps_known"], shard, "known")
    to.add("funding_swaps", stats["swaps_unknown"], shard, "unknown")
    to.add("publisher_failures_total", stats["funding_failed"], shard, "funding")


declare("depth_books", "shard", "Books whose ladders are published.")
declare("depth_frames_total", "shard", "Frames of ladders published to the pages.")
declare("depth_failures_total", "shard", "Frames and states of ladders that Redis did not take.")


@exported_of("DepthSink")
def export_depth(to: Samples, shard: str, stats: Stats, _symbols: int) -> None:
    """Export the counters of the depth sink."""
    to.add("depth_books", stats["depth_books"], shard)
    to.add("depth_frames_total", stats["depth_frames"], shard)
    to.add("depth_failures_total", stats["depth_failed"], shard)


# --- web processes -------------------------------------------------------------------------------

declare("web_sockets", "page", "Open WebSockets: of charts, of the scanner, of depth.")
declare("web_charts_watched", "", "Charts that somebody watches here.")
declare("web_shards", "", "Collector shards that are received.")
declare("web_shards_silent", "", "Of them those that fell silent.")
declare("web_batches_total", "", "Batches of points received from collectors.")
declare("web_batches_missed_total", "", "Batches that were missed.")
declare(
    "web_batches_unreadable_total",
    "",
    "Batches of points, frames of scanner and depth that could not be read.",
)
declare("web_messages_sent_total", "", "Messages sent to sockets of charts, counted when these end.")
declare("web_points_thinned_total", "", "Points not sent because a browser was slow.")
declare("web_sockets_given_up_total", "", "Sockets closed because they took nothing any more.")
declare("web_hub_restarts_total", "page", "Times the hub of the sockets had to begin again.")
declare("scanner_rows", "", "Rows of the scanner's table.")


@exported_in(of_web)
def export_web(to: Samples, counters: Mapping[str, float]) -> None:
    """A web process whose hub has not started yet, for want of a socket, has done nothing."""
    said = counters.get
    to.add("web_sockets", said("sockets", 0), "charts")
    to.add("web_sockets", said("scanner_sockets", 0), "scanner")
    to.add("web_sockets", said("depth_sockets", 0), "depth")
    to.add("web_charts_watched", said("charts_watched", 0))
    to.add("web_shards", said("shards", 0))
    to.add("web_shards_silent", said("shards_silent", 0))
    to.add("web_batches_total", said("batches", 0))
    to.add("web_batches_missed_total", said("batches_missed", 0))
    unreadable = said("unreadable_batches", 0) + said("scanner_unreadable_frames", 0)
    unreadable += said("scanner_unreadable_depth_frames", 0)
    to.add("web_batches_unreadable_total", unreadable)
    to.add("web_messages_sent_total", said("messages_sent", 0))
    to.add("web_points_thinned_total", said("points_thinned", 0))
    to.add("web_sockets_given_up_total", said("sockets_given_up", 0))
    to.add("web_hub_restarts_total", said("restarts", 0), "charts")
    to.add("web_hub_restarts_total", said("scanner_restarts", 0), "scanner")
    to.add("scanner_rows", said("scanner_rows", 0))
