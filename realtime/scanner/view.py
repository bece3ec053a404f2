"""Views of the scanner's table: the rows that a query shows, and their order.

Pure: numpy. A `View` keeps the order of one query's matches, shared by all who ask the same.
"""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from core.names.symbols import folded, quote_of, searcher
from markets.config import PairKind, pair_kind
from realtime.depth.sized import DEFAULT_SIZE, MAX_SIZE, SIZES, Rows, Sized
from realtime.scanner.holding import (
    DAY_H,
    DEFAULT_HOURS,
    MAX_HOURS,
    NETS,
    Held,
    Moment,
)
from realtime.scanner.rows import Bools, Floats, Ints
from realtime.scanner.table import ScanTable

SortKey = Literal[
    "symbol", "buy", "sell", "edge", "size", "spread", "age", "volume", "hour", "gates", "state",
    "net_zero", "net_now", "net_median", "funding", "at_edge", "at_profit", "at_zero",
]  # fmt: skip

MAX_TEXT: Final = 100


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows to show, and their order; None and empty mean: whatever.

    `min_size` and `min_volume` are in the reference currency (markets.worth.reference), and sizes and volumes
    are sorted by what they are worth in it.
    `exchanges`: one names the pairs it is part of, several the pairs among them. `kind` is a kind
    of pair, as `markets.config.pair_kind` has them. `min_volume` is met
    when both legs meet it. `passed` wants no gate to block in the row's direction. `filter` is the
    primary key of an opportunity filter: the pairs it selects.

    The rest is of pairs that are held for `hold` hours. `borrow` is what borrowing the sold coin costs, per
    cent a day; `min_net` the least net edge in bps with the exit spread that `exit` names. What of both is
    not given is as `filter` has it, or 8 h and zero. `net` says whether the net columns are there: empty,
    where pairs with a swap are among the view's.

    `size` is the user's size, in the reference currency: its columns are there where it is given, or where
    rows are sorted or limited by them. `min_at_edge` in bps is met only where so much is known to be there,
    `min_at_profit` and `min_at_zero` are in the reference currency.
    """

    sort: SortKey = "edge"
    descending: bool = True
    search: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    exchanges: Annotated[tuple[Annotated[str, Meta(max_length=MAX_TEXT)], ...], Meta(max_length=50)] = ()
    kind: Literal["", PairKind] = ""
    quote: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    min_edge: float | None = None
    min_size: float | None = None
    min_volume: float | None = None
    passed: bool = False
    filter: int | None = None
    hold: Annotated[float, Meta(gt=0, le=MAX_HOURS)] | None = None
    borrow: Annotated[float, Meta(ge=0, le=100)] = 0.0
    exit: Literal["", "zero", "now", "median"] = ""
    min_net: float | None = None
    net: Literal["", "show", "hide"] = ""
    size: Annotated[float, Meta(gt=0, le=MAX_SIZE)] | None = None
    min_at_edge: float | None = None
    min_at_profit: float | None = None
    min_at_zero: float | None = None


_WAY: Final = (
    "sell_first",
    "buy",
    "sell",
    "edge",
    "size",
    "spread",
    "passed",
    "failed",
    "unknown",
    "blocked",
)
"""What is said of the better direction: figures of one row are of one moment."""

_AT: Final = (*_WAY, "ladders", "walked", "by_books", "no_book")

_HELD: Final[dict[SortKey, tuple[str, ...]]] = {
    "buy": _WAY, "sell": _WAY, "edge": _WAY, "size": _WAY, "spread": _WAY, "gates": _WAY,
    "age": ("born1", "born2"), "state": ("state1", "state2"), "hour": ("hour",),
    "net_zero": _WAY, "net_now": _WAY, "net_median": _WAY, "funding": _WAY,
    "at_edge": _AT, "at_profit": _AT, "at_zero": _AT,
}  # fmt: skip

_LEAST: Final = 2_048
"""Rows that are put in order at first: those of the first pages. A user who turns further has all put so."""


class View:
    """The rows of one query, in order. Everything that no price decides is decided once.

    What the order is made of is held as long as the order, so that what is shown is always sorted by
    what is shown; everything else is as of the newest refresh.
    """

    def __init__(self, table: ScanTable, query: Query) -> None:
        self.table = table
        self.query = query
        self.hours, self._exit = _terms(table, query)
        self._candidates = np.flatnonzero(_selected(table, query))
        asks = query.sort in NETS or query.min_net is not None or query.net == "show"
        self.has_net = asks or (query.net == "" and bool(table.with_swap[self._candidates].any()))
        self.least_at = {
            name: least for name in SIZES if (least := getattr(query, f"min_{name}")) is not None
        }
        sized = query.size is not None or query.sort in SIZES or self.least_at
        self.size = (query.size or DEFAULT_SIZE) if sized else None
        self.sort()

    def sort(self) -> None:
        """Put the rows that match now in order; equal ones stay by symbol and pair, unknown ones are last."""
        table, query = self.table, self.query
        self._held = {name: getattr(table, name) for name in _HELD.get(query.sort, ())}
        self._moment = self._now() if "edge" in self._held else None
        self._rows = rows = self._candidates
        is_net = query.sort in NETS
        nets = self._nets(rows, {name for name in (self._least_net, is_net and query.sort) if name})
        is_sized = query.sort in SIZES
        sized = self._sized(rows) if is_sized or self.least_at else None
        keys = _size_values(sized, query.sort, table.worth[rows]) if sized is not None and is_sized else None
        capped = sized.is_capped if sized is not None and query.sort == "at_edge" else None
        if (passing := self._passing(rows, nets, sized)) is not None:
            self._rows = rows = rows[passing]
            nets = {name: column[passing] for name, column in nets.items()}
            keys = None if keys is None else keys[passing]
            capped = None if capped is None else capped[passing]
        if keys is None:
            keys = nets[query.sort] if is_net else _sort_values(table, query.sort, rows)
        self._keys = -keys if query.descending else keys
        self._behind = np.isnan(keys).astype(np.int8)
        if is_net or is_sized or query.sort == "edge":  # between two coins that only share a name it is none
            self._behind += ~table.same_coin[rows]
        if capped is not None:  # it is of less than the size
            self._behind += capped
        self._order = self._first(_LEAST)
        self.sorted_s = table.now_s

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def order(self) -> Ints:
        """All rows that match, in order."""
        return self.rows(slice(0, len(self)))

    def rows(self, place: slice) -> Ints:
        """The rows at a place of the order."""
        if len(self._order) < min(place.stop, len(self)):
            self._order = self._first(len(self))
        return self._order[place]

    def _first(self, count: int) -> Ints:
        """The first rows in order, so many at least where there are so many; the rest is not sorted."""
        keys, behind = self._keys, self._behind
        chosen: Ints | slice = slice(None)
        reached = np.cumsum(np.bincount(behind))
        if len(reached) and reached[-1] > count:
            level = int(np.argmax(reached > count))  # all before it come first, and of it the least
            within = behind == level
            left = count - (int(reached[level - 1]) if level else 0)
            last = np.partition(keys[within], left)[left]
            # Of those that are equal to the last one all: which of them come first their own order says.
            if not np.isnan(last):
                chosen = np.flatnonzero((behind < level) | (within & (keys <= last)))
        return self._rows[chosen][np.lexsort((keys[chosen], behind[chosen]))]

    def column(self, name: str, place: slice) -> NDArray[Any]:
        """Column of the rows at a place of the order."""
        column: NDArray[Any] = self._held[name] if name in self._held else getattr(self.table, name)
        return column[self.rows(place)]

    def nets(self, place: slice) -> dict[str, Floats]:
        """The columns `NETS` of the rows at a place of the order, as they are shown."""
        return self._nets(self.rows(place), NETS)

    def sized(self, place: slice) -> Sized:
        """The columns of a size of the rows at a place of the order."""
        return self._sized(self.rows(place))

    def _sized(self, rows: Ints) -> Sized:
        """Figures at the view's size of rows, in the direction and at the prices that are shown."""
        table = self.table
        where = slice(None) if len(rows) == len(table) and rows is self._candidates else rows
        held: dict[str, Any] = {name: self._held.get(name, getattr(table, name)) for name in _AT}
        buy, sell, edge, size, walked, by_books, no_book = (
            held[name][where] for name in ("buy", "sell", "edge", "size", "walked", "by_books", "no_book")
        )
        found = Rows(buy, sell, edge, size, table.worth[where], walked, by_books, no_book)
        return Sized(found, self.size or DEFAULT_SIZE, held["ladders"], table.taker_fee)

    @property
    def _least_net(self) -> str:
        """The column that has a minimum; empty: none has."""
        return "" if self.query.min_net is None else f"net_{self._exit}"

    def _nets(self, rows: Ints, names: Collection[str]) -> dict[str, Floats]:
        """Net columns of rows, in the direction and at the prices that are shown."""
        if not names:
            return {}
        table = self.table
        where = slice(None) if len(rows) == len(table) and rows is self._candidates else rows
        buy, sell, sell_first, edge = (
            self._held.get(name, getattr(table, name))[where]
            for name in ("buy", "sell", "sell_first", "edge")
        )
        borrow = self.query.borrow / 100 * self.hours / DAY_H
        moment = self._moment or self._now()
        held = Held(moment, table.taker_fee, buy, sell, sell_first, edge, table.ratio[where], borrow)
        return {name: as_edge(column) for name, column in held.columns(names).items()}

    def _now(self) -> Moment:
        return Moment(self.table.bid, self.table.ask, self.table.funding.within(self.hours))

    def _passing(self, rows: Ints, nets: Mapping[str, Floats], sized: Sized | None) -> Bools | None:
        """Mask of the rows within the limits that prices decide on; None: there are none."""
        table, query = self.table, self.query
        asked: list[Bools] = []
        # A comparison with NaN is false: what is unknown passes no limit.
        if query.min_edge is not None:
            asked.append(table.edge[rows] >= query.min_edge)
        if query.min_size is not None:
            asked.append(table.value[rows] >= query.min_size)
        if query.min_volume is not None:
            volume = np.minimum(table.volume1[rows], table.volume2[rows])
            asked.append(volume * table.worth[rows] >= query.min_volume)
        if query.min_net is not None:
            asked.append(nets[self._least_net] >= query.min_net)
        if sized is not None:
            worth = table.worth[rows]
            asked += [_is_met(sized, name, least, worth) for name, least in self.least_at.items()]
        if query.passed:
            asked.append(~table.blocked[rows])
        return np.logical_and.reduce(asked) if asked else None


def _terms(table: ScanTable, query: Query) -> tuple[float, str]:
    """How long this view's pairs are held, and with which exit: as it says, its filter says, or as usual."""
    found = next((row for row in table.config.filters if row.id == query.filter), None)
    hours, exits = (found.holding_hours, found.exit_assumption) if found else (DEFAULT_HOURS, "zero")
    return hours if query.hold is None else query.hold, query.exit or exits


def _selected(table: ScanTable, query: Query) -> Bools:
    selected = np.ones(len(table), bool)
    if query.search or query.quote:
        selected &= _symbols_named(table, query)
    if query.exchanges:
        wanted = [place for place, key in enumerate(table.exchanges) if key in query.exchanges]
        one, two = np.isin(table.exchange1, wanted), np.isin(table.exchange2, wanted)
        selected &= one & two if len(query.exchanges) > 1 else one | two
    if query.kind:
        selected &= _of_kind(table, query.kind)
    if query.filter is not None:
        followed = np.zeros(len(table), bool)
        followed[table.of_filter.get(query.filter, [])] = True
        selected &= followed
    return selected


def _symbols_named(table: ScanTable, query: Query) -> Bools:
    """Every word of the search is in the symbol: asked once of each symbol."""
    finds, quote = searcher(query.search), folded(query.quote)
    named = np.array(
        [quote in ("", folded(quote_of(symbol))) and finds(symbol) for symbol in table.symbols], bool
    )
    found: Bools = named[table.symbol_place] if len(table) else named
    return found


def _of_kind(table: ScanTable, kind: PairKind) -> Bools:
    """The pairs of a kind: asked once of each two markets, not of each pair."""
    keys = table.exchanges
    wanted = np.array([[pair_kind(one, two) == kind for two in keys] for one in keys], bool)
    found: Bools = wanted.reshape(len(keys), len(keys))[table.exchange1, table.exchange2]
    return found


def as_edge(bps: Floats) -> Floats:
    """Edges as they are shown, and sorted; net ones, too."""
    return bps.round(1) + 0.0  # zero without a sign


def as_percent(percent: Floats) -> Floats:
    """Spreads as they are shown, and sorted."""
    return percent.round(3) + 0.0


def as_amount(amounts: Floats) -> Floats:
    """Sizes and volumes as they are shown, and sorted: cents only where they matter, of less the digits."""
    shown = np.where(amounts < 100, amounts.round(2), amounts.round())
    small = np.flatnonzero((amounts != 0) & (np.abs(amounts) < 1))
    digits = 10.0 ** (2 - np.floor(np.log10(np.abs(amounts[small]))))
    shown[small] = (amounts[small] * digits).round() / digits
    return shown


def _size_values(sized: Sized, key: str, worth: Floats) -> Floats:
    """Sort keys of columns at a size: as they are shown, amounts by their worth."""
    values: Floats = getattr(sized, key.removeprefix("at_"))
    return as_edge(values) if key == "at_edge" else as_amount(values) * worth


def _is_met(sized: Sized, name: str, least: float, worth: Floats) -> Bools:
    """Mask of the rows of which a column is known to reach a minimum."""
    if name == "at_edge":
        met: Bools = (sized.edge >= least) & ~sized.is_capped
        return met
    met = getattr(sized, name.removeprefix("at_")) * worth >= least
    return met


def _sort_values(table: ScanTable, key: SortKey, rows: Ints) -> Floats:
    """Sort keys of rows: the values that are shown, amounts by their worth; NaN where there is none."""
    first = table.sell_first[rows]
    one, two = table.exchange1[rows], table.exchange2[rows]
    values: NDArray[Any]
    match key:
        case "symbol":
            values = table.symbol_place[rows]
        case "buy":
            values = np.where(first, two, one)
        case "sell":
            values = np.where(first, one, two)
        case "age":  # of the older leg
            values = -np.minimum(table.born1[rows], table.born2[rows])
        case "volume":  # of the leg where less is traded
            values = as_amount(np.minimum(table.volume1[rows], table.volume2[rows])) * table.worth[rows]
        case "gates":
            values = -(table.blocked[rows] * 10_000.0 + table.failed[rows] * 100.0 + table.unknown[rows])
        case "edge":
            values = as_edge(table.edge[rows])
        case "size":
            values = as_amount(table.size[rows]) * table.worth[rows]
        case "spread":
            values = as_percent(table.spread[rows])
        case "hour":
            values = table.hour[rows]
        case "state":
            values = table.state[rows]
    return np.asarray(values, float)
