"""Recorded time against the clock on the wall."""

import time
from typing import Final, Protocol, cast

_US: Final = 1_000_000


class Clock(Protocol):
    """The part of the module `time` that the pace needs."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Pace:
    """Lets recorded time pass `speed` times as fast as it did, from the first wait on; None: at once."""

    def __init__(self, speed: float | None, clock: Clock | None = None) -> None:
        self._speed = speed
        self._clock = clock or cast(Clock, time)
        self._origin: tuple[float, int] | None = None

    def wait_for(self, ts_us: int) -> None:
        """Return when this recorded time has come; behind its pace it hurries and skips nothing."""
        if self._speed is None:
            return
        if self._origin is None:
            self._origin = self._clock.monotonic(), ts_us
        began, origin_us = self._origin
        ahead = began + (ts_us - origin_us) / _US / self._speed - self._clock.monotonic()
        if ahead > 0:
            self._clock.sleep(ahead)
