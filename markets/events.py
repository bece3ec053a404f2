"""The values everything speaks: what an exchange said, and when.

Plain Python, no Django. Prices and sizes are float64 on the hot path; a codec built with
`exact=True` (see `collectors.exchanges.base`) puts `decimal.Decimal` into the same fields.

Two clocks on every event, plus one for ages:
`exchange_ts_us`   the exchange's own time, µs since the epoch, UTC, or None where it sends none;
`received_ts_us`   our wall clock at the socket, µs since the epoch, UTC;
`received_mono_ns` our monotonic clock at the socket, ns: the only one ages are computed from, and events
                   ordered by.

`exchange` is the key of one market of an exchange (`core.names.market_keys`): `okx` for its spot market,
`okx:swap` for its perpetual swaps, whose `symbol` names the settle coin (`BTC/USDT:USDT`).
"""

from typing import Final, Literal

from msgspec import Struct
from numpy import float64
from numpy.typing import NDArray

Side = Literal["buy", "sell"]
Liveness = Literal["up", "down", "gap"]
BookKind = Literal["snapshot", "delta", "gap"]
Level = tuple[float, float]
"""A price, and the size there in coins: of a delta the new one, 0 where the level is gone."""


class Quote(Struct, gc=False):
    """Best bid and ask of one symbol on one market; 0 < bid <= ask, sizes > 0 in coins, never in contracts.

    `late_us` is by how much longer than is usual at its exchange it took to get here: its age when it came.
    """

    exchange: str
    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    exchange_ts_us: int | None = None
    received_ts_us: int = 0
    received_mono_ns: int = 0
    late_us: int = 0

    @property
    def as_of_ns(self) -> int:
        """Time that ages are counted from: when it would have been received, had it come as usual."""
        return self.received_mono_ns - self.late_us * 1000


class Trade(Struct, gc=False):
    """One public trade; `side` is the taker's, None where the exchange does not say.

    `is_history` marks trades an exchange sends on subscribing that happened before it.
    """

    exchange: str
    symbol: str
    price: float
    size: float
    side: Side | None
    trade_id: str | None
    exchange_ts_us: int | None = None
    received_ts_us: int = 0
    received_mono_ns: int = 0
    is_history: bool = False


class MarkPrice(Struct, gc=False):
    """Mark and index price of a swap, in quote currency per coin; None for what this frame does not say."""

    exchange: str
    symbol: str
    mark: float | None
    index: float | None
    exchange_ts_us: int | None = None
    received_ts_us: int = 0
    received_mono_ns: int = 0


class Funding(Struct, gc=False):
    """Funding of a swap as its exchange says it: fractions of the notional, positive: longs pay shorts.

    `rate` is forming for the settlement at `next_ts_us` and may still change; `settled_rate` is what was
    charged at `settled_ts_us`. None for what this frame does not say: that is unknown, never zero
    or 8 h. `interval_s` is the time between settlements; `cap` and `floor` bound the rate.
    """

    exchange: str
    symbol: str
    rate: float | None
    next_ts_us: int | None = None
    interval_s: int | None = None
    settled_rate: float | None = None
    settled_ts_us: int | None = None
    cap: float | None = None
    floor: float | None = None
    exchange_ts_us: int | None = None
    received_ts_us: int = 0
    received_mono_ns: int = 0


class BookUpdate(Struct):
    """Update of the order book of one symbol: the whole book, or the levels that changed.

    Levels are in the order of the wire, with sizes in coins, never in contracts. A "gap" is a frame of which
    no update could be made: something was lost. Update ids are the exchange's own, None where it does not
    say: `first_seq` and `last_seq` are the first and the last change in here, `prev_seq` is the `last_seq` of
    the update that it follows. `symbol` is empty where the answer to a request does not repeat it.
    `checksum` is as it came; with one that is not 0 `texts` has the levels of both sides, bids first, as
    they were spelled, for that is what it was made of.
    """

    exchange: str
    symbol: str
    kind: BookKind
    bids: list[Level]
    asks: list[Level]
    first_seq: int | None = None
    last_seq: int | None = None
    prev_seq: int | None = None
    checksum: int | None = None
    texts: tuple[list[tuple[str, str]], list[tuple[str, str]]] | None = None
    exchange_ts_us: int | None = None
    received_ts_us: int = 0
    received_mono_ns: int = 0


class StreamState(Struct):
    """A connection came up, went down or lost something, for the symbols it carries.

    It travels in the same channel as the quotes, so their readers go stale in order.
    """

    exchange: str
    symbols: tuple[str, ...]
    state: Liveness
    reason: str
    received_ts_us: int = 0
    received_mono_ns: int = 0


class FeedReport(Struct):
    """State of one exchange's connections, for the sinks that name it in `wants`; counters only ever rise.

    `counts` is what happened since the start, by kind (collectors.exchanges.base.Codec and
    collectors.sockets.line.Line say which there are), `rejected` what was refused of one symbol, by symbol
    and kind. `last_frame_mono_ns` is when the last frame of any kind was read on a connection; 0: never.
    """

    exchange: str
    state: str
    reason: str
    connections: int
    topics: int
    refused: int  # topics the exchange does not take
    counts: dict[str, int]
    rejected: dict[tuple[str, str], int]
    last_frame_mono_ns: int
    received_ts_us: int = 0
    received_mono_ns: int = 0


class SpreadPoints(Struct, eq=False):
    """Points of one chart: float64, a row per point, columns `engine.charts.points.POINT_COLUMNS`.

    A gap in the line is a row whose values other than the time are NaN.
    """

    symbol: str
    exchange1: str
    exchange2: str
    points: "NDArray[float64]"


class OpportunityEvent(Struct):
    """An episode of a filter opened or closed; what both directions were then, NaN where a leg was gone.

    `buy_on` and `sell_on` are the episode's own direction.
    """

    symbol: str
    exchange1: str
    exchange2: str
    filter_id: int
    event: Literal["open", "close"]
    ts_us: int
    spread: float
    edge12: float
    edge21: float
    size12: float
    size21: float
    buy_on: str | None = None
    sell_on: str | None = None


class LegPrice(Struct, frozen=True, gc=False):
    """One side of an opportunity at one moment: the whole best of book there, how old it was, and the
    taker fee of then (None in rows older than the field)."""

    exchange: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    age_ms: float
    taker_fee_bps: float | None = None


PROFIT_SIZES: Final = (100.0, 1_000.0, 10_000.0)
"""Sizes, in USDT, at which the profit of an opportunity is kept."""


class AtDepth(Struct, frozen=True, gc=False):
    """An opportunity by both order books at one moment: money in USDT, after both taker fees.

    `profits` are at PROFIT_SIZES, None where the books that are known hold less. `best_size` is the largest
    size of which every part has an edge of at least 0, and so the one with the highest profit; both are 0
    where the best levels have none. Edge and profit at the filter's own size are None where it has none.
    """

    profits: tuple[float | None, float | None, float | None]
    best_size: float
    best_profit: float
    my_edge_bps: float | None = None
    my_profit: float | None = None


class Moment(Struct, frozen=True, omit_defaults=True):
    """An opportunity at one moment: edge after both taker fees, executable size in quote currency.

    `depth` is None where a book was not followed, or not known.
    """

    ts_us: int
    edge_bps: float
    size: float
    buy: LegPrice
    sell: LegPrice
    depth: AtDepth | None = None


EpisodePhase = Literal["open", "peak", "close"]


class Episode(Struct):
    """One opportunity of one filter in one direction, as of its opening, a new peak, or its close.

    Every event carries the whole story so far, so a reader that missed one has lost nothing.
    `started_us` is when the edge first reached the opening threshold, `closed_us` None while open.
    `mean_edge_bps` is weighted by time. `reason` says why it closed, in words.
    """

    id: str  # 32 hex digits, unique
    phase: EpisodePhase
    filter_id: int
    filter_name: str
    symbol: str
    exchange1: str  # the pair, as configured
    exchange2: str
    buy_on: str
    sell_on: str
    started_us: int
    opened: Moment
    peak: Moment
    mean_edge_bps: float
    gates: tuple[str, ...] = ()  # those that are not known to pass, as `wallets: unknown`
    closed_us: int | None = None
    closed: Moment | None = None  # None too where a leg was gone at the close
    reason: str = ""
    move: str = ""  # 32 hex digits: what it opened together with; empty where that is not known
    moved_on: str = ""  # the exchange that moved, empty while that is not known
    moved_side: Literal["buy", "sell", ""] = ""  # whether one buys or sells there


class IdentityFinding(Struct, frozen=True):
    """Evidence that two exchanges do not mean the same coin by a symbol."""

    symbol: str
    exchange1: str
    exchange2: str
    price_ratio: float
    correlation: float | None
    ts_us: int


Terms = MarkPrice | Funding
"""What holding a swap costs or brings, beside its market."""

Event = Quote | Trade | StreamState | Terms | BookUpdate
DerivedEvent = SpreadPoints | OpportunityEvent | Episode | IdentityFinding
SinkEvent = Event | FeedReport | DerivedEvent
