"""Which of two books of one symbol is the newer, within one connection."""

from typing import Final

RESTART: Final = 1
"""The update id with which an exchange begins again (Bybit says so of its own)."""

REFUSED: Final = -1

LARGEST: Final = 2**63
"""No exchange counts so far: such an id is none."""

RESYNC_AFTER: Final = 10
"""So many older ones in a row, none older than the one before, are a new beginning: ids or clocks start over,
or the newest was nonsense. One that is merely late comes between newer ones."""


class Order:
    """The newest update id and the newest time of every symbol a connection brought; ids go before times.

    Ids and times of different connections are never compared: ids may be a server's own. Memory is bounded
    by the symbols of the connection.
    """

    __slots__ = ("_refused", "ids", "times")

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.times: dict[str, int] = {}
        self._refused: dict[str, tuple[int, int]] = {}  # symbol -> last one refused, and how many in a row

    def admit(self, symbol: str, update_id: int, time_us: int | None) -> int:
        """What was the newest, 0 for none, or REFUSED where this is older than that.

        Told by the book's id (0: none), else by its time, else it is admitted.
        """
        if 0 < update_id < LARGEST:
            newest, number = self.ids, update_id
        elif time_us is not None:
            newest, number = self.times, time_us
        else:
            return 0
        try:
            before = newest[symbol]
        except KeyError:
            before = 0
        if number < before and not self._begins_again(symbol, number):
            return REFUSED
        newest[symbol] = number
        if self._refused:
            self._refused.pop(symbol, None)
        return before

    def _begins_again(self, symbol: str, number: int) -> bool:
        last, times = self._refused.get(symbol, (0, 0))
        times = times + 1 if number >= last else 1
        self._refused[symbol] = number, times
        return number == RESTART or times >= RESYNC_AFTER


def update_id(value: object) -> int:
    """An update id on the wire, number or text; 0 for none, and for what is none."""
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST else 0
