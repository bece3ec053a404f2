"""What the operator wants, as one immutable value; plain Python, no Django.

`markets.selectors.load_config()` reads it from the database; running collectors compare two of
them with `diff` and touch only what changed.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar
from urllib.parse import urlsplit
from zlib import crc32

from msgspec import Struct

T = TypeVar("T", bound=Hashable)

REST_SCHEMES = ("http", "https")
WS_SCHEMES = ("ws", "wss")


class InvalidConfig(Exception):
    """The rows in the database make no usable configuration; the message names row, field and remedy."""


def base_url_problem(url: str, schemes: tuple[str, ...]) -> str:
    """What is wrong with a base URL override, in plain words; empty when it is usable.

    A base URL is scheme://host[:port][/prefix]: the path of the venue's own URL is appended to it,
    so a query or a fragment has no place in it.
    """
    wanted = f"{schemes[0]}://host:port"
    try:
        parts = urlsplit(url)
        host = parts.hostname
        parts.port  # noqa: B018 - raises ValueError when it is no port number
    except ValueError:
        return f"{url!r} is no URL; write it like {wanted}"
    if parts.scheme not in schemes or not host or any(char.isspace() for char in url):
        return f"{url!r} must start with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host"
    if parts.query or parts.fragment:
        return f"{url!r} must end before ? and #; write it like {wanted}/prefix"
    return ""


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


class FilterConfig(Struct, frozen=True):
    """An enabled opportunity filter; `MarketConfig.filters` lists them in order, the default first.

    Its criteria on symbols, pairs and volume decide at configuration time which opportunities list
    its `id`. The two here depend on live prices: every selected opportunity keeps its chart, and a
    chart is shown while it passes. None means the filter does not ask.
    """

    id: int
    name: str
    min_spread_pct: float | None = None
    min_edge_bps: float | None = None

    def passes(self, spread_pct: float, edge_bps: float) -> bool:
        """Whether live values meet the filter; `edge_bps` is the better of the two directions."""
        wide = self.min_spread_pct is None or abs(spread_pct) >= self.min_spread_pct
        return wide and (self.min_edge_bps is None or edge_bps >= self.min_edge_bps)


class MarketConfig(Struct, frozen=True):
    """Everything a collector needs to know.

    `instruments` are those to collect: active, symbol and exchange enabled, volume in bounds.
    `opportunities` stay listed while one of their exchanges is disabled: the chart then says "down".
    """

    revision: int
    exchanges: tuple[ExchangeConfig, ...]
    instruments: frozenset[InstrumentConfig]
    opportunities: tuple[Opportunity, ...]
    filters: tuple[FilterConfig, ...] = ()


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
