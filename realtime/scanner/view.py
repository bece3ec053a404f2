"""Views of the scanner's table: the rows that a query shows, and their order.

Pure: numpy. A `View` keeps the order of one query's matches, shared by all who ask the same.
"""

from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from core.names.symbols import folded, quote_of, searcher
from markets.config import PairKind, pair_kind
from realtime.scanner.rows import Bools, Floats, Ints
from realtime.scanner.table import ScanTable

SortKey = Literal[
    "symbol", "buy", "sell", "edge", "size", "spread", "age", "volume", "hour", "gates", "state"
]

MAX_TEXT: Final = 100


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows to show, and their order; None and empty mean: whatever.

    `min_size` and `min_volume` are in the reference currency (markets.worth.reference), and sizes and volumes
    are sorted by what they are worth in it.
    `exchanges`: one names the pairs it is part of, several the pairs among them. `kind` is a kind
    of pair, as `markets.config.pair_kind` has them. `min_volume` is met
    when both legs meet it. `passed` wants no gate to block in the row's direction. `filter` is the
    primary key of an opportunity filter: the pairs it selects.
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


_WAY: Final = ("sell_first", "edge", "size", "spread", "passed", "failed", "unknown", "blocked")
"""What is said of the better direction: figures of one row are of one moment."""

_HELD: Final[dict[SortKey, tuple[str, ...]]] = {
    "buy": _WAY, "sell": _WAY, "edge": _WAY, "size": _WAY, "spread": _WAY, "gates": _WAY,
    "age": ("born1", "born2"), "state": ("state1", "state2"), "hour": ("hour",),
}  # fmt: skip


class View:
    """The rows of one query, in order. Everything that no price decides is decided once.

    What the order is made of is held as long as the order, so that what is shown is always sorted by
    what is shown; everything else is as of the newest refresh.
    """

    def __init__(self, table: ScanTable, query: Query) -> None:
        self.table = table
        self.query = query
        self._candidates = np.flatnonzero(_selected(table, query))
        self.sort()

    def sort(self) -> None:
        """Put the rows that match now in order; equal ones stay by symbol and pair, unknown ones are last."""
        table, query = self.table, self.query
        rows = self._candidates[self._passing(self._candidates)]
        keys = _sort_values(table, query.sort, rows)
        behind = np.isnan(keys).astype(np.int8)
        if query.sort == "edge":  # between two coins that only share a name it is none
            behind += ~table.same_coin[rows]
        self.order = rows[np.lexsort((-keys if query.descending else keys, behind))]
        self.sorted_s = table.now_s
        self._held = {name: getattr(table, name)[self.order] for name in _HELD.get(query.sort, ())}

    def column(self, name: str, place: slice) -> NDArray[Any]:
        """Column of the rows at a place of the order."""
        held: NDArray[Any] | None = self._held.get(name)
        return getattr(self.table, name)[self.order[place]] if held is None else held[place]

    def _passing(self, rows: Ints) -> Bools:
        table, query = self.table, self.query
        passing = np.ones(len(rows), bool)
        # A comparison with NaN is false: what is unknown passes no limit.
        if query.min_edge is not None:
            passing &= table.edge[rows] >= query.min_edge
        if query.min_size is not None:
            passing &= table.value[rows] >= query.min_size
        if query.min_volume is not None:
            volume = np.minimum(table.volume1[rows], table.volume2[rows])
            passing &= volume * table.worth[rows] >= query.min_volume
        if query.passed:
            passing &= ~table.blocked[rows]
        return passing


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
        selected &= _followed(table, query.filter)
    return selected


def _symbols_named(table: ScanTable, query: Query) -> Bools:
    """Every word of the search is in the symbol; rows of one symbol stand together."""
    finds, quote = searcher(query.search), folded(query.quote)
    named: dict[str, bool] = {}
    for pair in table.pairs:
        if pair.symbol not in named:
            quoted = quote in ("", folded(quote_of(pair.symbol)))
            named[pair.symbol] = quoted and finds(pair.symbol)
    return np.array([named[pair.symbol] for pair in table.pairs], bool)


def _of_kind(table: ScanTable, kind: PairKind) -> Bools:
    """The pairs of a kind: asked once of each two markets, not of each pair."""
    keys = table.exchanges
    wanted = np.array([[pair_kind(one, two) == kind for two in keys] for one in keys], bool)
    found: Bools = wanted.reshape(len(keys), len(keys))[table.exchange1, table.exchange2]
    return found


def _followed(table: ScanTable, filter_id: int) -> Bools:
    """The pairs whose episodes a filter opens, and those it gives a chart."""
    charted = {o.id for o in table.config.opportunities if filter_id in o.filters}
    return np.array(
        [p.id in charted or any(row.id == filter_id for row in p.filters) for p in table.pairs], bool
    )


def as_edge(bps: Floats) -> Floats:
    """Edges as they are shown, and sorted."""
    return bps.round(1)


def as_percent(percent: Floats) -> Floats:
    """Spreads as they are shown, and sorted."""
    return percent.round(3)


def as_amount(amounts: Floats) -> Floats:
    """Sizes and volumes as they are shown, and sorted: cents only where they matter, of less the digits."""
    small = (amounts != 0) & (np.abs(amounts) < 1)
    digits = 10.0 ** (2 - np.floor(np.log10(np.where(small, np.abs(amounts), 1.0))))
    shown = np.where(amounts < 100, amounts.round(2), amounts.round())
    return np.where(small, (amounts * digits).round() / digits, shown)


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
