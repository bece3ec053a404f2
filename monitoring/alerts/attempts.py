"""Outcomes of attempts to deliver alerts in this process, for its metrics."""

from collections import Counter
from typing import Final

from core.process.histogram import Durations


class Attempts:
    """Attempts to deliver alerts since the start, by channel; there are as many as an operator made."""

    def __init__(self) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.durations: dict[str, Durations] = {}

    def add(self, channel: str, outcome: str, seconds: float) -> None:
        """Count an attempt."""
        self.outcomes[channel, outcome] += 1
        self.durations.setdefault(channel, Durations()).add(seconds)


attempts: Final = Attempts()
