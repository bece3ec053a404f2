"""What the operator wants, as one immutable value; plain Python, no Django.

`markets.selectors.load_config()` reads it from the database; running collectors compare two of
them with `diff` and touch only what changed.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar
from zlib import crc32

from msgspec import Struct

T = TypeVar("T", bound=Hashable)


class ExchangeConfig(Struct, frozen=True):
    """One venue. Empty URLs mean the venue's own; fees are in basis points."""

    key: str
    name: str
    enabled: bool
    taker_fee_bps: float
    maker_fee_bps: float
    rest_url: str = ""
    ws_url: str = ""


class InstrumentConfig(Struct, frozen=True):
    """One symbol to collect on one venue, under the venue's own name for it."""

    exchange: str
    symbol: str
    native_id: str


class Opportunity(Struct, frozen=True):
    """A symbol on two venues that an enabled filter selects: one chart.

    `tolerance_ms` None means a leg is never too old while its connection lives.
    `filters` are the primary keys of the filters that select it.
    """

    symbol: str
    exchange1: str
    exchange2: str
    tolerance_ms: int | None
    filters: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """The chart id on the wire: `BTC/USDT|binance|bybit`."""
        return f"{self.symbol}|{self.exchange1}|{self.exchange2}"


class MarketConfig(Struct, frozen=True):
    """Everything a collector needs to know.

    `instruments` are those to collect: active, symbol and exchange enabled, volume in bounds.
    `opportunities` stay listed while one of their exchanges is disabled: the chart then says "down".
    """

    revision: int
    exchanges: tuple[ExchangeConfig, ...]
    instruments: frozenset[InstrumentConfig]
    opportunities: tuple[Opportunity, ...]


class Diff(Struct, Generic[T], frozen=True):
    """What to start, stop and leave alone."""

    start: frozenset[T]
    stop: frozenset[T]
    keep: frozenset[T]


def diff(running: Iterable[T], wanted: Iterable[T]) -> Diff[T]:
    """Compare what runs with what is wanted."""
    old, new = frozenset(running), frozenset(wanted)
    return Diff(start=new - old, stop=old - new, keep=old & new)


class Shard(Struct, frozen=True):
    """Shard `index` (1-based) of `count`: owns its symbols on every venue, so joins stay local."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`; raises ValueError naming the form when it is something else."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
            raise ValueError(f"--shard takes i/n with 1 <= i <= n, for example 1/4, not {text!r}")
        return cls(int(index), int(count))

    def owns(self, symbol: str) -> bool:
        """Whether this shard collects the symbol; crc32 is the same in every process and version."""
        return crc32(symbol.encode()) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
