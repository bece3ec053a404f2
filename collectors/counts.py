"""Counts of feeds, by their meaning: names within `FeedReport.counts`. Plain Python, no Django."""

from typing import Final

RECONNECTS: Final = ("lost", "failed_connects")
MALFORMED: Final = ("malformed", "no_body")
UNKNOWN: Final = ("unknown_kind", "unknown_symbol")
CROSSED: Final = ("rejected_crossed",)
ZERO: Final = ("rejected_zero",)
EMPTY: Final = ("empty_side", "one_sided")
LATE: Final = ("late", "frozen")
OUT_OF_ORDER: Final = ("out_of_order",)
BAD_TIMES: Final = ("bad_time",)
BAD_TERMS: Final = ("bad_mark", "bad_funding", "bad_next", "bad_interval")

REFUSED: Final = {
    "malformed": "a price, a size or the frame itself cannot be read",
    "rejected_zero": "a price or size is zero, negative or infinite",
    "rejected_crossed": "its bid is above its ask",
    "empty_side": "its bid or its ask is missing",
    "frozen": "its book is from too long ago",
    "no_body": "it has no data",
    "no_contract_size": "how many coins its contract is, is not known",
    "contract_size_changed": "its contract has another size than is configured",
    "bad_time": "its time cannot be: unknown",
    "bad_mark": "a mark or index price cannot be: unknown",
    "bad_funding": "a funding rate, cap or floor cannot be: unknown",
    "bad_next": "the next settlement has passed or cannot be: unknown",
    "bad_interval": "the interval between settlements cannot be: unknown",
}
"""What of a frame is refused, in words, by what the codec counts it as."""
