"""Every duration of a connection's life that is ours to choose; tests scale them down."""

from dataclasses import dataclass

from core.backoff import Backoff


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds; the exchange's own times are in its data sheet.

    `connect_gap_s` is the least time between two connection attempts to one exchange: several allow
    only a few per second and address. `breaker_*`: see `collectors.sockets.breaker`; `refused_*`: see
    `collectors.sockets.refusals`; `poll_s`: `collectors.sockets.polls`.
    """

    open_s: float = 10.0
    ack_s: float = 10.0
    close_s: float = 1.0
    connect_gap_s: float = 0.4
    backoff_first_s: float = 0.5
    backoff_ceiling_s: float = 60.0
    healthy_s: float = 60.0
    breaker_failures: int = 5
    breaker_window_s: float = 60.0
    breaker_cool_down_s: float = 5.0
    refused_first_s: float = 2.0
    refused_ceiling_s: float = 300.0
    poll_s: float = 60.0

    def backoff(self, first_s: float | None = None) -> Backoff:
        """Waiting times between attempts, from `first_s` (default: `backoff_first_s`) up to the ceiling."""
        first_s = self.backoff_first_s if first_s is None else first_s
        return Backoff(first_s, self.backoff_ceiling_s, self.healthy_s)
