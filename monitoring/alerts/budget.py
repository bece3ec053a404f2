"""Budget of messages to a channel, and pauses of one that does not answer. Pure: no clock."""

import random
from collections import deque
from collections.abc import Iterable
from typing import Final

from monitoring.alerts.channels.parcels import Answer

MINUTE_S: Final = 60.0

RETRY_FIRST_S: Final = 1.0
RETRY_CEILING_S: Final = 60.0
"""A channel that is back is found within a minute."""

MEND_S: Final = 30.0
"""Settings that cannot work are tried again after so long, should the fault be over there after all."""

FLOODED: Final = 429
"""The answer that is about how much is sent, never about what."""

DEAD_AFTER: Final = 3
"""So many failures in a row, and it is the channel, not the message: then all its messages wait."""


class Budget:
    """Limit of messages: so many within a second, or within as many seconds as one takes, and within a
    minute.

    Times in seconds on any clock that only goes forward.
    """

    def __init__(self, per_second: float, per_minute: int, sent: Iterable[float] = ()) -> None:
        """`sent`: when what was sent in the last minute was sent, the oldest first."""
        burst = max(1, int(per_second))
        self._windows = ((burst, burst / per_second), (per_minute, MINUTE_S))
        self._sent = deque(sent, maxlen=max(burst, per_minute))

    def free(self, now_s: float) -> int:
        """Number of messages that may be sent now."""
        return max(0, min(most - self._within(length_s, now_s) for most, length_s in self._windows))

    def wait_s(self, now_s: float) -> float:
        """Seconds until one may be sent."""
        waits = [self._sent[-most] + length_s - now_s for most, length_s in self._windows
                 if len(self._sent) >= most]  # fmt: skip
        return max(0.0, *waits) if waits else 0.0

    def spend(self, now_s: float) -> None:
        """Count a sent message."""
        self._sent.append(now_s)

    def _within(self, length_s: float, now_s: float) -> int:
        return sum(1 for at in self._sent if at + length_s > now_s)


MOST_REMEMBERED: Final = 500
"""Messages of which it is remembered that others went while they failed."""


class Patience:
    """Pauses of a channel after it did not take a message.

    Whose fault a failure is shows by what becomes of other messages: those that went while one failed say
    that it is that one's own, and from then on it makes nobody wait.
    """

    failures: int  # in a row
    messages: set[int | None]  # that failed in this row, some of them
    asked_again_s: float  # nothing is sent to it before
    named: bool  # the channel itself named that time

    def __init__(self) -> None:
        self._own_fault: dict[int | None, None] = {}  # in the order in which it showed
        self._forget()

    def _forget(self) -> None:
        self.failures = 0
        self.messages = set()
        self.asked_again_s = 0.0
        self.named = False

    @property
    def dead(self) -> bool:
        """Whether its failures are its own, not those of a single message that it cannot take."""
        return self.failures >= DEAD_AFTER and self._several

    @property
    def _several(self) -> bool:
        return len(self.messages) > 1 or None in self.messages

    def is_own_fault(self, message: int) -> bool:
        """Whether others went while this message failed."""
        return message in self._own_fault

    def failed(self, answer: Answer, now_s: float, tries: int, message: int | None = None) -> float:
        """Seconds until a message that was tried so often is tried again; None: any number.

        The whole channel waits as long when it asked for it, when its settings cannot work, or when
        it has failed several times in a row; never for a message that is to blame itself.
        """
        wait_s = max(_pause_s(max(tries, self.failures + 1)), answer.retry_after_s or 0.0)
        if answer.outcome == "broken":
            wait_s = max(wait_s, MEND_S)
        asked = answer.retry_after_s is not None
        if message in self._own_fault and not (asked and answer.code == FLOODED):
            return wait_s
        self.failures += 1
        if len(self.messages) < DEAD_AFTER:
            self.messages.add(message)
        # An answer without a code is about the settings: no message was shown to anybody.
        useless = answer.outcome == "broken" and (answer.code is None or self._several)
        if asked or useless or self.dead:
            self.asked_again_s = max(self.asked_again_s, now_s + wait_s)
            self.named = asked
        return wait_s

    def worked(self, message: int | None = None) -> None:
        """Note that the channel lives: it took a message, or refused it for good; what failed is to blame."""
        self._own_fault |= dict.fromkeys(self.messages - {None})
        self._own_fault.pop(message, None)
        while len(self._own_fault) > MOST_REMEMBERED:
            del self._own_fault[next(iter(self._own_fault))]
        self._forget()


def _pause_s(tries: int) -> float:
    """Doubling up to the ceiling, drawn from the upper half: what failed together returns one by one."""
    step_s = min(RETRY_FIRST_S * 2 ** min(tries - 1, 16), RETRY_CEILING_S)
    return random.uniform(step_s / 2, step_s)  # noqa: S311 - spreads load, hides nothing  # nosec B311 # no secret
