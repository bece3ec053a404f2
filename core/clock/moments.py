"""A stored wall time against now, where now may be the earlier one: a clock was set back, or is another's.

What lies in a database, in Redis or in a file's time was stamped by a clock that may have been set since, or
by that of another machine. There are four questions, and a rule for each; a clamp to zero is none of them,
as it would hide something, or hold it up, for as long as the clock was set back by.

| question | of a time ahead of now |
|---|---|
| is it over (a lease, a pause, a cool-down, a lifetime)? `is_over`, in a query `lately` | it is over |
| has its time come (a next try)? see `monitoring.alerts.dispatch` | yes, beyond what anything is planned |
| how old is it (a heartbeat, a run, a rate)? `age_s` | unknown; where it is watched it ages on: `Ages` |
| is it still believed, for hours or days (a fee, a price)? `is_near` | as long as one that lies behind |

What one process remembers for itself it times by the monotonic clock and needs none of this.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

AHEAD_S: Final = 5.0
"""Clocks of one desk's machines may differ by so much; further ahead than this is another time."""


def is_over(ago_s: float, lasting_s: float) -> bool:
    """Whether what began `ago_s` seconds ago and lasts `lasting_s` is over; what is yet to begin is."""
    return ago_s >= lasting_s or ago_s < -AHEAD_S


def age_s(ago_s: float) -> float | None:
    """Age of something that was stamped `ago_s` seconds ago; None: unknown, it lies ahead of now."""
    return None if ago_s < -AHEAD_S else max(0.0, ago_s)


def is_near(ago_s: float, lasting_s: float) -> bool:
    """Whether what was said `ago_s` seconds ago is believed, if so for `lasting_s`, on either side of now."""
    return abs(ago_s) <= lasting_s


def lately(now: datetime, lasting: timedelta) -> tuple[datetime, datetime]:
    """The times of which `is_over` is false: for `__range` in a query."""
    return now - lasting + timedelta(microseconds=1), now + timedelta(seconds=AHEAD_S)


class Ages:
    """Ages of things that others stamp, by our own monotonic clock, however wrong theirs is or becomes.

    A thing first seen is as old as it says, and `unknown_s` where its stamp lies ahead of now: new, unless
    the caller says otherwise. From then on it ages until it bears another stamp. So nothing looks new for
    longer than a thing may be old.
    """

    def __init__(self, unknown_s: float = 0.0) -> None:
        self._unknown_s = unknown_s
        self._seen: dict[str, tuple[int, float]] = {}  # stamp, and since when it is, s of the monotonic clock

    def take(self, stamps_us: Mapping[str, int], now_us: int | None, now_s: float) -> dict[str, float]:
        """The age of each, s; `now_us` is the wall clock's time, `now_s` the monotonic one's.

        Without `now_us` what is first seen is new: a Redis that lets go of what is old has it still.
        """
        known, self._seen = self._seen, {}
        for name, stamp_us in stamps_us.items():
            before = known.get(name)
            if before is None:
                before = stamp_us, now_s - self._at_first(stamp_us, now_us)
            elif before[0] != stamp_us:
                before = stamp_us, now_s
            self._seen[name] = before
        return {name: now_s - since_s for name, (_, since_s) in self._seen.items()}

    def _at_first(self, stamp_us: int, now_us: int | None) -> float:
        if now_us is None:
            return 0.0
        old_s = age_s((now_us - stamp_us) / 1e6)
        return self._unknown_s if old_s is None else old_s
