"""Refusals of an exchange at present: reason, age, number of times, next try.

A refusal is never final here. Exchanges refuse for a moment (too many requests, a pair that is being
relisted) in the same words as for ever, so every topic is asked for again, at growing pauses; only the
catalogue can say that an instrument is gone, and then it is no longer wanted.
"""

import re
import time
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from collectors.exchanges.sheet import Topic
from collectors.sockets.answers import LONGEST_SAID, plain
from collectors.sockets.timing import Timing
from core.backoff import delays

ASKED_AT_ONCE: Final = 50
"""Refused topics asked for in one go: what else the connection has to ask comes between."""

_BUSY: Final = re.compile(
    r"too (many|much) (request|visit|message)|request too many|too (frequent|fast)|rate.?limit|\bbusy\b"
    r"|try again|frequency|permits per|per second|over.?limit|limit exceeded|throttl|slow down|overload"
    r"|temporar",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Refusal:
    """One topic that is not taken; times are monotonic seconds, as the wall clock may be set meanwhile."""

    reason: str
    since: float
    pauses: Iterator[float]
    times: int = 0
    may_be_asked: float = 0.0
    due: float = 0.0
    taken_at: float | None = None  # taken again; remembered until that has lasted


class Refusals:
    """The topics of one line that were refused, over all its connections.

    What was taken and is refused again before it had lasted goes on where it was: a subscription that
    comes and goes is not asked for ever faster.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._all: dict[Topic, Refusal] = {}

    def __len__(self) -> int:
        return sum(1 for _ in self._open())

    def reasons(self) -> dict[Topic, str]:
        """Topics that are refused now, with the exchange's reason."""
        return {topic: refusal.reason for topic, refusal in self._open()}

    def note(self, topic: Topic, reason: str) -> bool:
        """Remember a no; returns whether it is news: the first one, or another reason than the last."""
        now, timing, reason = time.monotonic(), self._timing, plain(reason, LONGEST_SAID)
        refusal = self._all.get(topic)
        if refusal is None or _lasted(refusal, now, timing.healthy_s):
            pauses = delays(timing.refused_first_s, timing.refused_ceiling_s)
            refusal = self._all[topic] = Refusal("", now, pauses)
        news = refusal.reason != reason or refusal.taken_at is not None
        pause_s = next(refusal.pauses)
        refusal.reason, refusal.taken_at = reason, None
        refusal.times += 1
        refusal.may_be_asked, refusal.due = now + pause_s / 2, now + pause_s
        return news

    def taken(self, topics: Iterable[Topic]) -> None:
        """The exchange takes these."""
        if self._all:
            now = time.monotonic()
            for topic in topics:
                if (refusal := self._all.get(topic)) is not None and refusal.taken_at is None:
                    refusal.taken_at = now

    def keep(self, wanted: Container[Topic]) -> None:
        """Forget what nobody wants any more."""
        for topic in [topic for topic in self._all if topic not in wanted]:
            del self._all[topic]

    def ask_now(self) -> None:
        """Make everything due at once; the pauses go on growing."""
        for _, refusal in self._open():
            refusal.due = refusal.may_be_asked = 0.0

    def holds_back(self, topic: Topic) -> bool:
        """Whether a topic has to wait for its next try."""
        refusal = self._all.get(topic)
        return refusal is not None and refusal.taken_at is None

    def due(self) -> list[Topic]:
        """Topics to ask for again now: none until one is due, then those near it too, in one request."""
        now = time.monotonic()
        if not any(refusal.due <= now for _, refusal in self._open()):
            return []
        ripe = [(refusal.due, topic) for topic, refusal in self._open() if refusal.may_be_asked <= now]
        return [topic for _, topic in sorted(ripe)[:ASKED_AT_ONCE]]

    def wait_s(self) -> float | None:
        """Seconds until something is due; None when nothing is refused."""
        first = min((refusal.due for _, refusal in self._open()), default=None)
        return None if first is None else max(0.0, first - time.monotonic())

    def status(self) -> list[dict[str, Any]]:
        """Status of each for the operator: topic, reason, age, how often, when it is asked next."""
        now, now_us = time.monotonic(), time.time_ns() // 1000
        return [
            {
                "topic": topic.name,
                "channel": topic.channel,
                "native_id": topic.native_id,
                "reason": refusal.reason,
                "since_us": now_us - int((now - refusal.since) * 1e6),  # by the wall clock as it is now
                "times": refusal.times,
                "next_try_s": round(max(0.0, refusal.due - now), 1),
            }
            for topic, refusal in sorted(self._open())
        ]

    def _open(self) -> Iterator[tuple[Topic, Refusal]]:
        return ((topic, each) for topic, each in self._all.items() if each.taken_at is None)


def is_busy(reason: str) -> bool:
    """Whether it refuses whatever is asked for now: to ask for parts of it at once makes it worse."""
    return _BUSY.search(reason) is not None


def _lasted(refusal: Refusal, now: float, healthy_s: float) -> bool:
    return refusal.taken_at is not None and now - refusal.taken_at >= healthy_s
