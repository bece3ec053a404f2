"""Faults made on purpose: how they are written, and those in force now.

    exchange[/SYMBOL]:kind[=value][@start][+duration]      several separated by commas

`exchange` is the key of a market (`okx`, `okx:swap`) or `all`; of a swap's symbol its exchange will do.
`start` counts from when the fault is given (seconds), `duration` in seconds; without one a fault
lasts until it is healed. `drop` without a duration cuts once.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from math import isfinite
from typing import NamedTuple

from msgspec import Struct

from core.names.market_keys import exchange_of, key_of
from simulator.catalogue import MARKETS, SWAPS


class Kind(NamedTuple):
    """One kind of fault: the unit its value has ('' = takes none), its default, what it does."""

    unit: str
    default: float | None
    text: str


KINDS: dict[str, Kind] = {
    "drop": Kind("", None, "connections are cut without a close frame, new ones too while it lasts"),
    "storm": Kind("s", 1.0, "connections are cut again and again, every VALUE seconds"),
    "silence": Kind("", None, "sockets stay open, nothing is sent, heartbeats are not answered"),
    "quiet": Kind("", None, "nothing is sent unasked, neither data nor heartbeats; requests are answered"),
    "slow": Kind("s", None, "every frame leaves VALUE late, for example slow=500ms"),
    "malformed": Kind("share", None, "a share of the market-data frames is cut in half, malformed=0.01"),
    "out-of-order": Kind("share", None, "a share of the quotes arrives after its successor"),
    "duplicate": Kind("share", None, "a share of the frames arrives twice"),
    "crossed": Kind("share", None, "a share of the quotes has its bid above its ask"),
    "zero": Kind("share", None, "a share of the quotes has a bid and a bid size of zero"),
    "one-sided": Kind("share", None, "a share of the quotes has no bid"),
    "frozen": Kind("s", 1320.0, "the book's own time is VALUE older than its push (no such time on binance)"),
    "skew": Kind("s", None, "the exchange's clock is VALUE off, for example skew=-3s"),
    "delist": Kind("", None, "a symbol is gone: not tradable over REST, unknown on the socket"),
    "refuse": Kind("status", 429.0, "every HTTP request and handshake gets this status and Retry-After"),
    "delisting": Kind("", None, "a swap is being delisted: its exchange says so, its prices stand still"),
    "contract-size": Kind("size", None, "a swap's contract is VALUE coins from now on, contract-size=12"),
    "funding-interval": Kind("hours", None, "a swap settles every VALUE hours: 1, 2, 4, 8 or 24"),
    "funding-rate": Kind("rate", None, "a swap's funding rate is VALUE, for example 0.5"),
    "funding-late": Kind("s", 60.0, "a swap's next settlement is said to be VALUE ago"),
    "no-interval": Kind("", None, "a swap's funding interval is not said"),
    "depth-gap": Kind("share", None, "a share of the changes of books is lost"),
    "depth-crossed": Kind("share", None, "a share of the changes of books puts a bid above the ask"),
    "depth-checksum": Kind("share", None, "books have checksums as until 2026, a share of them wrong"),
    "depth-silence": Kind("", None, "nothing is sent of books but over REST"),
    "depth-restart": Kind("", None, "books are counted from one again, as after a restart of the service"),
    "depth-slow": Kind("s", None, "answers with whole books come VALUE late, made when they were asked for"),
    "depth-stale": Kind("", None, "answers with whole books stand still, older and older than the changes"),
    "depth-refuse": Kind("status", 429.0, "requests for whole books get this status and Retry-After"),
    "maintenance": Kind("s", 5.0, "announced in the exchange's own words, connections close VALUE later"),
}
OF_A_SWAP = frozenset(
    ("delisting", "contract-size", "funding-interval", "funding-rate", "funding-late", "no-interval")
)
ONLY_OF = {
    "depth-checksum": frozenset(("okx", "bitget")),
    "depth-restart": frozenset(("bybit", "okx", "bitget")),
}
"""Exchanges that have what breaks; `all` means those."""
AT_ONCE = frozenset(("drop", "maintenance", "depth-restart"))
"""Of these a fault without a duration is over at once."""
INTERVALS_H = (1, 2, 4, 8, 24)
_SHAPE = re.compile(
    r"(?P<exchange>[a-z]+(:swap)?)(/(?P<symbol>[^:]+(:[A-Z0-9]+)?))?:(?P<kind>[a-z-]+)(=(?P<value>[+-]?[^@+]+))?"
    r"(@(?P<start>[\d.]+)s?)?(\+(?P<duration>[\d.]+)s?)?"
)


class FaultError(ValueError):
    """A fault that cannot be understood; the message says which part and what would be right."""


class Fault(Struct, frozen=True):
    """One fault; `exchange` is the key of a market, None means all; `symbol` None means every symbol.

    Times are in seconds.
    """

    kind: str
    exchange: str | None = None
    symbol: str | None = None
    value: float = 0.0
    start: float = 0.0
    duration: float | None = None
    text: str = ""

    def hits(self, exchange: str) -> bool:
        """Whether the fault concerns this exchange."""
        return self.exchange in (None, exchange) and _has(exchange, self.kind)

    def concerns(self, symbol: str) -> bool:
        """Whether the fault concerns this symbol."""
        return self.symbol in (None, symbol)


def parse(spec: str) -> tuple[Fault, ...]:
    """Read a comma-separated list of faults; raises FaultError naming part and remedy."""
    return tuple(_parse_one(part.strip()) for part in spec.split(",") if part.strip())


def _parse_one(text: str) -> Fault:
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise FaultError(
            f"fault {text!r}: write exchange[/SYMBOL]:kind[=value][@start][+duration],"
            " for example okx:silence@30+20 or gate/BTC/USDT:delist"
        )
    return Fault(
        kind=_kind(match["kind"], text),
        exchange=_exchange(match["exchange"], match["symbol"], match["kind"], text),
        symbol=_symbol(match["symbol"], match["kind"], text),
        value=_value(match["kind"], match["value"], text),
        start=_seconds(match["start"] or "0", text),
        duration=_seconds(match["duration"], text) if match["duration"] else None,
        text=text,
    )


def _kind(name: str, text: str) -> str:
    if name not in KINDS:
        raise FaultError(f"fault {text!r}: no kind {name!r}; there are {', '.join(KINDS)}")
    return name


def _exchange(name: str, symbol: str | None, kind: str, text: str) -> str | None:
    """The key of the market; that of a swap's symbol is its exchange's swap market."""
    if name != "all" and name not in MARKETS:
        raise FaultError(f"fault {text!r}: no exchange {name!r}; there are all, {', '.join(MARKETS)}")
    key = key_of(exchange_of(name), symbol) if symbol and name != "all" else name
    if kind in OF_A_SWAP and key not in ("all", *SWAPS):
        raise FaultError(f"fault {text!r}: {kind} is of swaps; write {name}:swap or a swap's symbol")
    if name != "all" and not _has(name, kind):
        raise FaultError(f"fault {text!r}: {kind} is of {', '.join(sorted(ONLY_OF[kind]))}")
    return None if key == "all" else key


def _has(market: str, kind: str) -> bool:
    """Whether a market has what a kind of fault breaks."""
    return kind not in ONLY_OF or exchange_of(market) in ONLY_OF[kind]


def _symbol(symbol: str | None, kind: str, text: str) -> str | None:
    if kind == "delist" and symbol is None:
        raise FaultError(f"fault {text!r}: delist needs a symbol, for example gate/BTC/USDT:delist")
    if symbol is not None and kind in ("drop", "storm", "quiet", "slow", "skew", "refuse", "maintenance"):
        raise FaultError(f"fault {text!r}: {kind} breaks a whole exchange; leave out {'/' + symbol!r}")
    return symbol


def _value(name: str, text: str | None, whole: str) -> float:
    kind = KINDS[name]
    if text is None:
        if kind.unit and kind.default is None:
            raise FaultError(f"fault {whole!r}: {name} needs a value: {kind.text}")
        return kind.default or 0.0
    if not kind.unit:
        raise FaultError(f"fault {whole!r}: {name} takes no value; leave out {'=' + text!r}")
    value = _seconds(text, whole) if kind.unit == "s" else _number(text, whole)
    if kind.unit == "size" and value <= 0:
        raise FaultError(f"fault {whole!r}: {name} takes a number of coins above 0, not {text}")
    if kind.unit == "hours" and value not in INTERVALS_H:
        raise FaultError(
            f"fault {whole!r}: {name} takes one of {', '.join(map(str, INTERVALS_H))}, not {text}"
        )
    if kind.unit == "share" and not 0 < value <= 1:
        raise FaultError(f"fault {whole!r}: {name} takes a share above 0 up to 1, not {text}")
    if kind.unit == "status" and not 400 <= value <= 599:
        raise FaultError(f"fault {whole!r}: {name} takes an HTTP status from 400 to 599, not {text}")
    if name in ("storm", "slow", "maintenance", "frozen", "depth-slow") and value <= 0:
        raise FaultError(f"fault {whole!r}: {name} takes a time above 0, not {text}")
    return value


def _seconds(text: str, whole: str) -> float:
    """`500ms`, `3s`, `+3s`, `0.5` to seconds."""
    if text.endswith("ms"):
        return _number(text[:-2], whole) / 1000
    return _number(text.removesuffix("s"), whole)


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
        if not isfinite(value):
            raise ValueError
        return value
    except ValueError:
        raise FaultError(f"fault {whole!r}: {text!r} is not a number (times: 500ms, 3s)") from None


class FaultBoard:
    """The faults given and those active now; `changed` is called with each one that begins or ends."""

    LIMIT = 1_000

    def __init__(self, changed: Callable[[Fault, bool], None]) -> None:
        self._changed = changed
        self._timers: dict[Fault, list[asyncio.TimerHandle]] = {}
        self.active: dict[str, tuple[Fault, ...]] = dict.fromkeys(MARKETS, ())
        self.ends: dict[Fault, float] = {}

    def add(self, faults: Iterable[Fault]) -> None:
        """Schedule faults from now on; one already scheduled starts over."""
        loop = asyncio.get_running_loop()
        for fault in faults:
            self.heal([fault])
            if len(self._timers) >= self.LIMIT:
                raise FaultError(f"more than {self.LIMIT} faults at once; heal some first")
            self._timers[fault] = []
            if fault.start:
                self._timers[fault].append(loop.call_later(fault.start, self._begin, fault))
            else:
                self._begin(fault)

    def heal(self, faults: Iterable[Fault] | None = None) -> None:
        """End these faults, or all of them."""
        for fault in list(self._timers) if faults is None else faults:
            for timer in self._timers.get(fault, ()):
                timer.cancel()
            self._end(fault)

    def all(self) -> list[Fault]:
        """Every fault that is active or still to come."""
        return list(self._timers)

    def find(self, kind: str, exchange: str) -> Fault | None:
        """The active fault of a kind on an exchange that concerns all its symbols."""
        return next((f for f in self.active[exchange] if f.kind == kind and f.symbol is None), None)

    def remaining(self, fault: Fault) -> float:
        """Seconds until the fault ends by itself; a minute where it does not."""
        end = self.ends.get(fault)
        return 60.0 if end is None else max(0.0, end - asyncio.get_running_loop().time())

    def _begin(self, fault: Fault) -> None:
        if fault.duration is not None:
            loop = asyncio.get_running_loop()
            self._timers[fault].append(loop.call_later(fault.duration, self._end, fault))
            self.ends[fault] = loop.time() + fault.duration
        for exchange in filter(fault.hits, MARKETS):
            self.active[exchange] = (*self.active[exchange], fault)
        self._changed(fault, True)
        if fault.kind in AT_ONCE and fault.duration is None:
            self._end(fault)

    def _end(self, fault: Fault) -> None:
        if self._timers.pop(fault, None) is None:
            return
        self.ends.pop(fault, None)
        began = any(fault in faults for faults in self.active.values())
        for exchange, faults in self.active.items():
            self.active[exchange] = tuple(f for f in faults if f != fault)
        if began:
            self._changed(fault, False)
