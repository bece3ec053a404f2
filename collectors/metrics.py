"""The metrics of a collector: its feeds, and those of its sinks."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from collectors.counts import BAD_TERMS, CROSSED, MALFORMED, RECONNECTS, UNKNOWN, ZERO
from core.metrics import Samples, declare, of_sinks
from markets.follow.runtime import CollectorStatus

BAD_FRAMES: Final = {
    "malformed": MALFORMED,
    "unknown": UNKNOWN,
    "crossed": CROSSED,
    "zero": ZERO,
    "empty_side": ("empty_side", "one_sided"),
    "frozen": ("frozen",),
    "out_of_order": ("out_of_order",),
    "bad_time": ("bad_time",),
    "no_contract_size": ("no_contract_size",),
    "contract_size_changed": ("contract_size_changed",),
    **{kind: (kind,) for kind in BAD_TERMS},
    "late": ("late",),
    "read_late": ("read_late",),
    "duplicate_trade": ("duplicate_trades",),
}

declare("queue_accepted_total", "shard queue", "Events that were put into a sink's queue.")
declare("exchange_up", "shard exchange", "1 while every connection of the exchange is up.")
declare("exchange_breaker_open", "shard exchange", "1 while the breaker keeps it from being tried.")
declare("exchange_connections", "shard exchange", "Connections to it.")
declare("exchange_topics", "shard exchange", "Topics subscribed there.")
declare("exchange_refused_topics", "shard exchange", "Topics it does not take.")
declare("exchange_reconnects_total", "shard exchange", "Connections lost, and attempts that failed.")
declare(
    "exchange_bad_frames_total",
    "shard exchange kind",
    "What was refused: malformed, unknown, crossed, zero, empty_side, frozen (late), read_late (late "
    "because the collector stood still), out_of_order, duplicate_trade, no_contract_size, bad_mark, "
    "bad_funding, bad_next, bad_interval; contract_size_changed once per change. What costs no quote: "
    "bad_time (only the time), late (made older).",
)

declare("books_followed", "shard exchange", "Order books followed.")
declare("books_known", "shard exchange", "Order books that are what the exchange has now.")
declare("book_levels", "shard exchange", "Levels of all its order books.")
declare("book_topics", "shard exchange", "Topics of order books subscribed there.")
declare("book_updates_total", "shard exchange", "Updates that its order books took over.")
declare(
    "book_resyncs_total",
    "shard exchange reason",
    "Order books that became unknown: gap, crossed, checksum, lost (a frame that cannot be read), shallow "
    "(few of the levels that are known are left), silent, connection.",
)
declare("book_snapshots_total", "shard exchange", "Requests of whole books that were answered.")
declare("book_snapshots_failed_total", "shard exchange", "Requests of whole books that were not.")
declare("book_renewals_total", "shard exchange", "Subscriptions begun again to get a whole book.")
declare("books_refused", "shard", "Order books that the budget has no room for.")


def export_collector(to: Samples, status: CollectorStatus, symbols: int) -> None:
    """A collector's feeds and sinks; of single symbols the `symbols` busiest."""
    shard = status.shard
    for queue, channel in status.channels.items():
        to.add("queue_accepted_total", channel["accepted"], shard, queue)
    for exchange, feed in status.exchanges.items():
        _export_feed(to, shard, exchange, feed)
    if status.books:
        to.add("books_refused", status.books["refused"], shard)
    for sink, stats in status.sinks.items():
        if stats and sink in of_sinks:
            of_sinks[sink](to, shard, stats, symbols)


def _export_feed(to: Samples, shard: str, exchange: str, feed: Mapping[str, Any]) -> None:
    counts = feed["counts"]
    to.add("exchange_up", feed["state"] == "live", shard, exchange)
    to.add("exchange_breaker_open", feed["state"] == "breaker open", shard, exchange)
    to.add("exchange_connections", feed["connections"], shard, exchange)
    to.add("exchange_topics", feed["topics"], shard, exchange)
    to.add("exchange_refused_topics", feed["refused"], shard, exchange)
    to.add("exchange_reconnects_total", _sum(counts, RECONNECTS), shard, exchange)
    for kind, names in BAD_FRAMES.items():
        to.add("exchange_bad_frames_total", _sum(counts, names), shard, exchange, kind)
    if books := feed.get("books"):
        _export_books(to, shard, exchange, books)


def _export_books(to: Samples, shard: str, exchange: str, books: Mapping[str, Any]) -> None:
    counts = books["counts"]
    to.add("books_followed", books["followed"], shard, exchange)
    to.add("books_known", books["known"], shard, exchange)
    to.add("book_levels", books["levels"], shard, exchange)
    to.add("book_topics", books["topics"], shard, exchange)
    to.add("book_updates_total", books["updates"], shard, exchange)
    to.add("book_snapshots_total", counts.get("snapshots", 0), shard, exchange)
    to.add("book_snapshots_failed_total", counts.get("snapshots_failed", 0), shard, exchange)
    to.add("book_renewals_total", counts.get("renewals", 0), shard, exchange)
    for reason, count in books["resyncs"].items():
        to.add("book_resyncs_total", count, shard, exchange, reason)


def _sum(counts: Mapping[str, int], names: Iterable[str]) -> int:
    return sum(counts.get(name, 0) for name in names)
