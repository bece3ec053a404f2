"""Configuration of the operator as one immutable value; plain Python, no Django.

`markets.selectors.load_config()` reads it from the database; running collectors compare two of
them with `diff` and touch only what changed.
"""

import re
from collections.abc import Hashable, Iterable
from math import gcd
from typing import Final, Generic, Literal, TypeVar
from urllib.parse import urlsplit
from zlib import crc32

from msgspec import Struct

from core.names.chart_ids import chart_id_of
from core.names.market_keys import SWAP, exchange_of, market_of
from core.proxies import shown

T = TypeVar("T", bound=Hashable)

FEE_RANGE_BPS = -50, 200
"""What a fee may be: more than 2 % is beyond any retail tier, so a typing error; below zero is a rebate."""

REST_SCHEMES = ("http", "https")
WS_SCHEMES = ("ws", "wss")


def base_url_problem(url: str, schemes: tuple[str, ...]) -> str:
    """Problem of a base URL override, in plain words; empty when it is usable.

    A base URL is scheme://host[:port][/prefix]: the path of the exchange's own URL is appended to it,
    so a query or a fragment has no place in it.
    """
    wanted = f"{schemes[0]}://host:port"
    if "@" in url.partition("://")[2].partition("/")[0] or "@" in url.partition("/")[0]:
        return f"it must hold no user name or password; write it like {wanted}"  # and does not repeat them
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


PairKind = Literal["spot-spot", "swap-swap", "spot-swap", "basis"]
SPOT_ONLY: Final[tuple[PairKind, ...]] = ("spot-spot",)

ExitAssumption = Literal["zero", "now", "median"]
"""Exit spread of a position (engine/funding/net.py): both prices meet, as now, or the pair's own median."""

HOLDING_HOURS: Final = 8.0
"""How long a position is held where nobody says."""

MAX_HOLDING_HOURS: Final = 24 * 30


def pair_kind(key1: str, key2: str) -> PairKind:
    """Kind of a pair by its market keys; spot and swap of one exchange make a basis pair."""
    if exchange_of(key1) == exchange_of(key2):
        return "basis"
    if market_of(key1) != market_of(key2):
        return "spot-swap"
    return "swap-swap" if market_of(key1) == SWAP else "spot-spot"


class ExchangeConfig(Struct, frozen=True):
    """One market of an exchange by its key (core.names.market_keys): `okx` or `okx:swap`, with that market's
    own fees and URLs. Empty URLs mean the exchange's own; fees are in basis points.

    The fees are those of the account tier's schedule that is valid today. `fee_source` says in words
    where they come from; `fees_known` is false where the tier has no schedule now, or nobody entered what
    swaps cost: the fees are then the exchange row's own, or those of spot, good enough to read, not to
    trade on. `proxy` is the way out to it, but for hosts of `no_proxy`: see core.proxies.
    """

    key: str
    name: str
    enabled: bool
    taker_fee_bps: float
    maker_fee_bps: float
    rest_url: str = ""
    ws_url: str = ""
    fees_known: bool = True
    fee_source: str = ""
    proxy: str = ""
    no_proxy: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Text without the credentials of the proxy."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__} | {"proxy": shown(self.proxy)}
        return f"ExchangeConfig({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


class FeeRule(Struct, frozen=True):
    """Fees of some symbols of a market, valid today; `markets.fees.book` says which rule holds.

    In basis points, or with `times` as multiples of what the exchange costs otherwise. `symbols` is a list
    of names and patterns, of swaps by their coins' names (BTC/USDT) or their own (BTC/USDT:USDT); of what the
    exchange itself `said`, the one symbol.
    """

    exchange: str
    symbols: str
    taker: float
    maker: float
    source: str
    times: bool = False
    said: bool = False
    known: bool = True


class PastFees(Struct, frozen=True):
    """Fees of exchanges in [start, end) by the schedules of then; fields as of a MarketConfig."""

    start_us: int
    end_us: int
    exchanges: tuple[ExchangeConfig, ...]
    fee_rules: tuple[FeeRule, ...]


class InstrumentConfig(Struct, frozen=True, gc=False):
    """One symbol to collect on one market, under the exchange's own name for it.

    `counts_as` is the symbol it is compared under, empty for its own: it decides the shard, so that
    both legs of an alias, and spot and swaps of a coin, meet in one process. `contract_size` is how many
    coins of `symbol` are in one contract, 1 where sizes are in coins; what has an unknown one is not
    collected at all.
    """

    exchange: str
    symbol: str
    native_id: str
    counts_as: str = ""
    contract_size: float | None = 1.0

    @property
    def shard_key(self) -> str:
        """Key that chooses the shard."""
        return self.counts_as or self.symbol


class ListingConfig(Struct, frozen=True, gc=False):
    """Instrument that may be compared, collected now or not.

    `symbol` is what its exchange's instrument is called in events, `counts_as` the symbol it is
    compared under: another one for an alias, and for a swap (BTC/USDT:USDT counts as BTC/USDT). One
    `counts_as` coin is `multiplier` times cheaper
    than what is listed (1000PEPE counts as PEPE with 1000). `volume` is of 24 h in quote currency,
    None where the exchange did not say. `status` is the exchange's own word. `contract_size` as of the
    instrument; `expires_us` is an announced last settlement, µs since the epoch. Orders are multiples of
    `lot_size`, in coins of `symbol`.
    """

    exchange: str
    symbol: str
    native_id: str
    base: str
    quote: str
    counts_as: str
    multiplier: float = 1.0
    volume: float | None = None
    active: bool = True
    status: str = ""
    min_notional: float | None = None
    contract_size: float | None = 1.0
    expires_us: int | None = None
    lot_size: float | None = None


class PairConfig(Struct, frozen=True):
    """An enabled pair of markets, by their keys; `tolerance_ms` None means a leg is never too old while its
    line lives."""

    exchange1: str
    exchange2: str
    tolerance_ms: int | None
    max_age_ms: int | None = None  # how old a leg may be for an opportunity; None: as the gates say

    @property
    def kind(self) -> PairKind:
        """Kind of the pair."""
        return pair_kind(self.exchange1, self.exchange2)


class NetworkConfig(Struct, frozen=True, gc=False):
    """Whether a coin can be moved over one network of one exchange; None: the exchange did not say."""

    network: str
    deposit: bool | None
    withdraw: bool | None


IdentityVerdict = Literal["confirmed", "different", "quarantined"]


class IdentityConfig(Struct, frozen=True):
    """Whether two markets mean the same coin by a symbol: a person's word, or in question."""

    symbol: str  # what both count as
    exchange1: str
    exchange2: str
    verdict: IdentityVerdict


class GateTerms(Struct, frozen=True):
    """The thresholds of the gates (engine/gates/checks.py), for every pair alike."""

    silent_gaps: float = 20.0  # a leg is silent after this many of its usual gaps, while others talk
    silent_floor_ms: float = 3_000.0  # … and never before this age
    max_age_ms: float = 60_000.0  # no leg and no rate older than this is believed, whatever its rhythm
    jump_pct: float = 10.0  # a mid this far from the last one is not believed until the next confirms it
    identity_near_pct: float = 1.0  # prices further apart are of one coin only when that is proven
    identity_max_ratio: float = 1.5  # the same coin does not cost this many times as much elsewhere
    identity_min_correlation: float = 0.1  # of returns, over enough samples in which both moved
    max_unproven_edge_bps: float = 300.0  # above it the same coin must be proven
    min_size: float = 10.0  # executable at both best prices, in USDT (markets.worth.reference)
    min_volume: float = 0.0  # 24 h, on both legs, in USDT; an unknown volume is unknown
    peg_band_pct: float = 2.0  # how far a stablecoin's rate may be from 1
    funding_max_age_s: float = 600.0  # no rate of funding that nobody said again for so long is believed
    mark_band_pct: float = 1.0  # how far a swap's mark price may be from its own best prices
    mark_max_age_s: float = 60.0  # no mark price older than this is believed
    min_swap_volume: float = 0.0  # as min_volume, of swap legs: the higher of the two counts
    expiry_hours: float = 24.0  # no leg with a last settlement, or a delisting, announced within this
    min_edge_at_size_bps: float = 0.0  # by depth, at the size of a filter that has one


class Opportunity(Struct, frozen=True):
    """A symbol on two markets that an enabled filter selects: one chart.

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
        return chart_id_of(self.symbol, self.exchange1, self.exchange2)


class FilterConfig(Struct, frozen=True):
    """An enabled opportunity filter; `MarketConfig.filters` lists them in order, the default first.

    Its criteria on symbols, pairs and volume decide at configuration time which opportunities list
    its `id` (where it is `charted`), and which scanned pairs it follows. The two live ones depend on
    prices: every selected opportunity keeps its chart, and a chart is shown while it passes. None
    means the filter does not ask.

    A filter with `min_edge_bps` opens episodes: an edge of at least that, in one direction, held for
    `min_duration_ms`, with every gate passed and at least `min_size` executable; it closes below
    `close_edge_bps` (None: the opening threshold itself). No leg may be older than `max_age_ms`, and above
    `max_unproven_edge_bps` it must be proven that both exchanges mean the same coin.

    With `my_size` (in USDT) it asks depth: at that size the edge must be at least `min_edge_at_size_bps`, and
    the profit at least `min_profit` (USDT).

    Of a position held for `holding_hours` the net edge must be at least `min_net_edge_bps`, with the exit
    spread of `exit_assumption`. Without `settlement_wanted` no swap leg may settle within that time.
    """

    id: int
    name: str
    min_spread_pct: float | None = None
    min_edge_bps: float | None = None
    close_edge_bps: float | None = None
    min_duration_ms: int = 0
    min_size: float | None = None
    wallets_open: bool = False  # require both wallets open, not merely not closed
    max_unproven_edge_bps: float | None = None  # None: as the gates say, like the next
    max_age_ms: float | None = None
    charted: bool = True
    symbols: str = ""  # names and patterns, see core.names.symbols
    quote: str = ""
    pairs: frozenset[tuple[str, str]] = frozenset()  # (exchange1, exchange2); empty: every enabled pair
    min_volume: float | None = None
    max_volume: float | None = None
    pairs_gone: bool = False  # it named pairs, and all of them were deleted: it follows none
    pair_kinds: tuple[PairKind, ...] = SPOT_ONLY  # of the pairs it names, or of all
    holding_hours: float = HOLDING_HOURS
    exit_assumption: ExitAssumption = "zero"
    min_net_edge_bps: float | None = None
    settlement_wanted: bool = True
    my_size: float | None = None
    min_edge_at_size_bps: float | None = None  # None: as the gates say
    min_profit: float | None = None

    def passes(self, spread_pct: float, edge_bps: float) -> bool:
        """Whether live values meet the filter; `edge_bps` is the better of the two directions."""
        wide = self.min_spread_pct is None or abs(spread_pct) >= self.min_spread_pct
        return wide and (self.min_edge_bps is None or edge_bps >= self.min_edge_bps)


class DepthConfig(Struct, frozen=True):
    """Instruments whose order book is followed, each as market key and symbol (of events).

    `instruments` are those that were chosen by hand, the most important first: pinned, then of filters.
    Besides, the legs of the scanner's `top` best routes are followed, each for `stay_s` after it was among
    them last. `most` is the budget of one process: what is beyond it is refused.
    """

    instruments: tuple[tuple[str, str], ...] = ()
    top: int = 0
    stay_s: float = 300.0
    most: int = 100


class MarketConfig(Struct, frozen=True):
    """Configuration of a collector.

    `instruments` are those to collect: active, symbol and exchange enabled, volume in bounds.
    `opportunities` stay listed while one of their exchanges is disabled: the chart then says "down".
    `exchanges` are the spot market of each exchange, and the swaps of those of which something is listed or
    compared: whatever names an exchange here names one of these by its key. `listings` and `pairs` are what
    the scanner compares (markets.selection.scan_pairs); `wallets` are by exchange (its spot key: a coin
    moves from there) and coin, coins of which nothing is known are absent.
    """

    revision: int
    exchanges: tuple[ExchangeConfig, ...]
    instruments: frozenset[InstrumentConfig]
    opportunities: tuple[Opportunity, ...]
    filters: tuple[FilterConfig, ...] = ()
    listings: tuple[ListingConfig, ...] = ()
    pairs: tuple[PairConfig, ...] = ()
    wallets: dict[tuple[str, str], tuple[NetworkConfig, ...]] = {}
    identities: tuple[IdentityConfig, ...] = ()
    gates: GateTerms = GateTerms()
    worths: dict[str, float] = {}  # of quote currencies in USDT as the catalogue knows them; absent: unknown
    fee_rules: tuple[FeeRule, ...] = ()  # the one that goes first first; ask markets.fees.book.Fees
    past_fees: tuple[PastFees, ...] = ()  # of days that are over, the oldest first
    depth: DepthConfig = DepthConfig()


class Diff(Struct, Generic[T], frozen=True):
    """Difference of two configurations: what to start, stop and leave alone."""

    start: frozenset[T]
    stop: frozenset[T]
    keep: frozenset[T]


def diff(running: Iterable[T], wanted: Iterable[T]) -> Diff[T]:
    """Compare what runs with what is wanted."""
    old, new = frozenset(running), frozenset(wanted)
    return Diff(start=new - old, stop=old - new, keep=old & new)


class Shard(Struct, frozen=True):
    """Shard `index` (1-based) of `count`: owns its symbols on every exchange, so joins stay local."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `i/n`; raises ValueError naming the form when it is something else."""
        index, slash, count = text.partition("/")
        numbers = [int(each) if re.fullmatch("[0-9]{1,4}", each) else 0 for each in (index, count)]
        if not (slash and 1 <= numbers[0] <= numbers[1]):
            raise ValueError(f"--shard takes i/n with 1 <= i <= n, for example 1/4, not {text!r}")
        return cls(*numbers)

    def owns(self, symbol: str) -> bool:
        """Whether this shard collects the symbol; crc32 is the same in every process and version."""
        return crc32(symbol.encode()) % self.count == self.index - 1

    def overlaps(self, other: "Shard") -> bool:
        """Whether there are symbols that both own: with another count, too."""
        return (self.index - other.index) % gcd(self.count, other.count) == 0

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
