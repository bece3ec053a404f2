"""Rows of `funding` and `marks`: what exchanges say over and over becomes a row when it changed.

A row of `funding` is all that is known of a swap then, so one row says it; a row of `marks` has the last
mark and the last index price. Both are written again with the first event of each hour (UTC), which is a
folder of the lake: a reader of any range has to look back an hour and no further, and a row stands for that
long at most.
"""

import logging
from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from engine.funding.state import FundingBook, FundingState, IntervalSource
from markets.events import Funding, MarkPrice

logger = logging.getLogger(__name__)

HOUR_US: Final = 3_600_000_000
MARK_EVERY_US: Final = 1_000_000
"""Rows of `marks` of one swap are at least so far apart."""

Swap = tuple[str, str]
"""Market key and symbol."""


class FundingRow(Struct, gc=False):
    """A row of `funding`: the state of a swap as of an event."""

    exchange: str
    symbol: str
    rate: float | None
    rate_of: str | None
    next_ts_us: int | None
    interval_s: int | None
    interval_from: IntervalSource | None
    settled_rate: float | None
    settled_ts_us: int | None
    cap: float | None
    floor: float | None
    exchange_ts_us: int | None
    received_ts_us: int
    received_mono_ns: int

    @classmethod
    def of(cls, state: FundingState) -> "FundingRow":
        """The row of a state as of its newest event."""
        rate_of = None if state.rate is None else "before" if state.is_carried else "next"
        bounds = (None, None) if state.bounds_crossed else (state.cap, state.floor)
        return cls(
            state.exchange, state.symbol, state.rate, rate_of, state.next_ts_us, state.interval_s,
            state.interval_from, state.settled_rate, state.settled_ts_us, *bounds,
            state.exchange_ts_us, state.received_ts_us, state.received_mono_ns,
        )  # fmt: skip


class Changes:
    """What of a process' funding and marks is worth a row. Bounded by the swaps that are followed."""

    def __init__(self) -> None:
        self.funding = FundingBook()
        self._hours: dict[Swap, int] = {}
        self._marks: dict[Swap, MarkPrice] = {}
        self._written: dict[Swap, MarkPrice] = {}
        self._named: set[tuple[str, str]] = set()

    def keep(self, wanted: Collection[Swap]) -> None:
        """Forget the swaps that are no longer followed."""
        self.funding.keep(wanted)
        self._hours = {swap: hour for swap, hour in self._hours.items() if swap in wanted}
        self._marks = {swap: last for swap, last in self._marks.items() if swap in wanted}
        self._written = {swap: last for swap, last in self._written.items() if swap in wanted}

    def funding_rows(self, events: Sequence[Funding]) -> list[FundingRow]:
        """A row for each event that changed something, a settlement included, or began an hour."""
        return [row for event in events if (row := self._funding_row(event))]

    def mark_rows(self, events: Sequence[MarkPrice]) -> list[MarkPrice]:
        """A row for each change, at most one per MARK_EVERY_US and swap, and one that begins an hour."""
        return [row for event in events if (row := self._mark_row(event))]

    def _funding_row(self, event: Funding) -> FundingRow | None:
        state, change = self.funding.apply(event)
        for reason in change.refused:
            self._name(event, reason)
        swap, hour = (event.exchange, event.symbol), event.received_ts_us // HOUR_US
        if not change.anything and self._hours.get(swap) == hour:
            return None
        self._hours[swap] = hour
        return FundingRow.of(state)

    def _mark_row(self, event: MarkPrice) -> MarkPrice | None:
        swap = event.exchange, event.symbol
        if (last := self._marks.get(swap)) is not None:
            mark = last.mark if event.mark is None else event.mark
            index = last.index if event.index is None else event.index
            event = MarkPrice(
                *swap, mark, index, event.exchange_ts_us, event.received_ts_us, event.received_mono_ns
            )
        self._marks[swap] = event
        written = self._written.get(swap)
        if written is not None and not _is_due(written, event):
            return None
        self._written[swap] = event
        return event

    def _name(self, event: Funding, reason: str) -> None:
        """Say once per exchange and reason what is refused."""
        if (event.exchange, reason) not in self._named:
            self._named.add((event.exchange, reason))
            logger.warning("%s %s: funding refused: %s", event.exchange, event.symbol, reason)


def _is_due(written: MarkPrice, event: MarkPrice) -> bool:
    at_us, then_us = event.received_ts_us, written.received_ts_us
    if at_us // HOUR_US != then_us // HOUR_US:
        return True
    changed = (event.mark, event.index) != (written.mark, written.index)
    return changed and at_us - then_us >= MARK_EVERY_US
