"""Trades seen lately: an exchange sends some twice."""

from typing import Final

KEPT: Final = 8_192
"""Ids of one generation; two are kept, so at least so many trades back one is known again."""


class RecentTrades:
    """The last 8,192 to 16,384 trade ids of one exchange, whichever of its connections brought them.

    A successor takes over before its predecessor goes, so for a moment both bring the same trades.
    """

    def __init__(self) -> None:
        self._new: set[tuple[str, str]] = set()
        self._old: set[tuple[str, str]] = set()

    def is_new(self, symbol: str, trade_id: str | None) -> bool:
        """Whether this trade was not seen lately; one without an id always is."""
        if trade_id is None:
            return True
        key = symbol, trade_id
        if key in self._new or key in self._old:
            return False
        self._new.add(key)
        if len(self._new) >= KEPT:
            self._old, self._new = self._new, set()
        return True
