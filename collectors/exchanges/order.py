"""Order of two books of one symbol within one connection."""

from typing import Any, Final

RESTART: Final = 1
"""The update id with which an exchange begins again (Bybit says so of its own)."""

REFUSED: Final = -1

LARGEST: Final = 2**63
"""No exchange counts so far: such an id is none."""

RESYNC_AFTER: Final = 10
"""So many older ones in a row, none older than the one before, are a new beginning: ids or clocks start over,
or the newest was nonsense. One that is merely late comes between newer ones."""

RESYNC_NS: Final = 5 * 10**9
"""So are fewer that go on for so long: the next ones of a slow book."""

_COARSE_US: Final = (10**6, 10**3)


class Newest:
    """The newest book of a symbol by its id and by its time, µs, 0 for none; and the row of refused ones.

    `behind` is the newest they were older than: another one has broken the row.
    """

    __slots__ = ("behind", "id", "refused", "since_ns", "time_us", "times")

    def __init__(self) -> None:
        self.id = 0
        self.time_us = 0
        self.behind = 0
        self.refused = 0
        self.times = 0
        self.since_ns = 0


class Order:
    """The newest update id and the newest time of every symbol a connection brought; ids go before times.

    Ids and times of different connections are never compared: ids may be a server's own. `said` is what a
    channel that sends only changes has said so far, by symbol and field; `funding` what was last emitted of a
    symbol's, and when; `unsized` the symbols whose contract size was found missing. Memory is bounded by the
    symbols of the connection.
    """

    __slots__ = ("funding", "newest", "said", "unsized")

    def __init__(self) -> None:
        self.newest: dict[str, Newest] = {}
        self.said: dict[str, dict[str, Any]] = {}
        self.funding: dict[str, tuple[Any, int]] = {}
        self.unsized: set[str] = set()

    def admit(self, symbol: str, update_id: int, time_us: int | None, now_ns: int = 0) -> int:
        """Return the newest before, 0 for none, or REFUSED where this is older than that.

        Decided by the book's id (0: none), else by its time, else it is admitted. `now_ns` is our monotonic
        clock.
        """
        newest = self.newest.get(symbol)
        if newest is None:
            newest = self.newest[symbol] = Newest()
        if 0 < update_id < LARGEST:
            before = newest.id
            if update_id < before and not _begins_again(newest, before, update_id, now_ns):
                return REFUSED
            newest.id = update_id
            return before
        if time_us is None:
            return 0
        before = newest.time_us
        if time_us < before:
            if _may_be_equal(time_us, before):
                return before
            if not _begins_again(newest, before, time_us, now_ns):
                return REFUSED
        newest.time_us = time_us
        return before


def _begins_again(newest: Newest, before: int, number: int, now_ns: int) -> bool:
    if newest.behind != before or number < newest.refused:
        newest.behind, newest.times, newest.since_ns = before, 0, now_ns
    newest.refused = number
    newest.times += 1
    return number == RESTART or newest.times >= RESYNC_AFTER or now_ns - newest.since_ns >= RESYNC_NS


def _may_be_equal(time_us: int, before_us: int) -> bool:
    """Whether a time in whole seconds or milliseconds is the other's, only coarser: it is not older then."""
    return any(time_us % unit == 0 and time_us // unit == before_us // unit for unit in _COARSE_US)


def update_id(value: object) -> int:
    """An update id on the wire, number or text; 0 for none, and for what is none."""
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST else 0
