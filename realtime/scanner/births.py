"""Births of a shard's quotes by a reader's clock: it never falls because a message was late.

Plain numpy. The reader guesses the moment from the age a message gives and from when it received it, so one
message's guess is a little off from another's. The order of the quotes is the collector's word, not a guess.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

SLACK_S: Final = 0.01  # ages travel as float32

Where = NDArray[Any] | slice
Floats = NDArray[np.float64]


class Births:
    """`born_s`: when each leg's quote came, s of the reader's monotonic clock; NaN while there is none.

    The rest is of the leg's last quote, also while there is none now: what the next one is held to.
    """

    def __init__(self, legs: int) -> None:
        self.born_s: Floats = np.full(legs, np.nan)
        self._last_s: Floats = np.full(legs, -np.inf)
        self._stamped_s: Floats = np.full(legs, -np.inf)  # by the collector's wall clock
        self._received_us = np.zeros(legs, np.int64)

    def note(self, where: Where, rows: NDArray[np.void], ts_us: int, made_s: float) -> None:
        """Take over rows that their collector made at `ts_us`, which is `made_s` here."""
        age_s = rows["age_ms"].astype(float) / 1e3
        self._take(where, rows["received_ts_us"], ts_us / 1e6 - age_s, made_s - age_s)

    def succeed(self, where: Where, newer: "Births", there: Where) -> None:
        """Take over what a newer message's rows said."""
        self._take(where, newer._received_us[there], newer._stamped_s[there], newer.born_s[there])

    def copy(self, where: Where, other: "Births", there: Where) -> None:
        """Start from what is known of the same legs elsewhere."""
        for name in ("born_s", "_last_s", "_stamped_s", "_received_us"):
            getattr(self, name)[where] = getattr(other, name)[there]

    def _take(self, where: Where, received_us: NDArray[Any], stamped_s: Floats, born_s: Floats) -> None:
        before_us, before_s = self._received_us[where], self._last_s[where]
        # Only a quote that came later and is older by the collector's own word, as it was late, is shown so.
        late = (received_us > before_us) & (stamped_s < self._stamped_s[where] - SLACK_S)
        last_s = np.where(late, born_s, np.fmax(before_s, born_s))
        last_s = np.where((received_us == before_us) & np.isfinite(before_s), before_s, last_s)
        quoted = ~np.isnan(born_s)
        self.born_s[where] = np.where(quoted, last_s, np.nan)
        self._last_s[where] = np.where(quoted, last_s, before_s)
        self._stamped_s[where] = np.where(quoted, stamped_s, self._stamped_s[where])
        self._received_us[where] = np.where(quoted, received_us, before_us)
