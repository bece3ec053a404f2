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
BAD_FUNDING: Final = ("bad_funding", "bad_next", "bad_interval")
