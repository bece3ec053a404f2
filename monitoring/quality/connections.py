"""Connections to one exchange over the last minute, from the reports of its feed.

Plain Python, no Django.
"""

from collections import deque
from typing import Final

from markets.events import FeedReport

WINDOW_NS: Final = 60 * 10**9


class Connections:
    """Last report of a feed, the age of its state, and its counts in the last minute."""

    def __init__(self, first: FeedReport) -> None:
        self.report = first
        self.since_us = first.received_ts_us
        self._past = deque([(first.received_mono_ns, first.counts)])

    def take(self, report: FeedReport) -> dict[tuple[str, str], int]:
        """Take over the next report; returns what was rejected since the one before, by symbol and kind."""
        before = self.report
        if report.state != before.state or self.since_us > report.received_ts_us:  # the clock was set back
            self.since_us = report.received_ts_us
        if any(report.counts.get(kind, 0) < count for kind, count in before.counts.items()):
            self._past.clear()  # another feed: this one counts from zero
        self.report = report
        self._past.append((report.received_mono_ns, report.counts))
        while report.received_mono_ns - self._past[0][0] > WINDOW_NS:
            self._past.popleft()
        return {
            each: more
            for each, count in report.rejected.items()
            if (more := count - before.rejected.get(each, 0)) > 0
        }

    def per_min(self, kinds: tuple[str, ...]) -> int:
        """Number of these in the last minute; not reckoned up from less, or one is already many."""
        (_, oldest), (_, newest) = self._past[0], self._past[-1]
        return sum(newest.get(kind, 0) - oldest.get(kind, 0) for kind in kinds)
