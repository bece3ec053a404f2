"""Every symbol on every enabled pair as columns: edges, sizes, ages, and which rows a view shows.

Pure: numpy over what the configuration says and what the collectors' legs are. One table serves all
viewers of a process; a `View` keeps the order of one query's matches, shared by all who ask the same.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from core.names.symbols import folded, quote_of, searcher
from engine.gates import checks as gates
from engine.gates import freshness
from engine.pricing import edge_bps, fee_factors, spread_pct
from markets.config import MarketConfig
from markets.fees.book import Fees
from markets.selection import ScanPair, scan_pairs
from markets.worth.reference import is_dollar
from realtime.scanner.wire import LEG_ROW, PAIR_ROW, Rows, ShardScan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SortKey = Literal[
    "symbol", "buy", "sell", "edge", "size", "spread", "age", "volume", "hour", "gates", "state"
]

MAX_TEXT: Final = 100

STATES: Final = (*freshness.STATES, "waiting", "lost")
"""Of a leg, from healthy to worst; a row is as its worse leg is.

Beside those of `engine.gates.freshness`: `waiting`, no quote of it has come yet; `lost`, its collector says
nothing any more.
"""
NEVER_S: Final = float("-inf")
RETURN_S: Final = 2.0
"""How long a shard that speaks again is not believed about what it knew before."""
RETURN_SLACK_S: Final = 1.0
"""A quote that is so much older than the first word may have come after the silence."""

WAITING, LOST = STATES.index("waiting"), STATES.index("lost")


class Query(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows to show, and their order; None and empty mean: whatever.

    `min_size` and `min_volume` are in the reference currency (markets.worth.reference), and sizes and volumes
    are sorted by what they are worth in it.
    `exchanges`: one names the pairs it is part of, several the pairs among them. `min_volume` is met
    when both legs meet it. `passed` wants no gate to block in the row's direction. `filter` is the
    primary key of an opportunity filter: the pairs it selects.
    """

    sort: SortKey = "edge"
    descending: bool = True
    search: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    exchanges: Annotated[tuple[Annotated[str, Meta(max_length=MAX_TEXT)], ...], Meta(max_length=50)] = ()
    quote: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    min_edge: float | None = None
    min_size: float | None = None
    min_volume: float | None = None
    passed: bool = False
    filter: int | None = None


class Match(Struct, frozen=True):
    """Match of a shard's columns to the table's: legs, and pairs."""

    legs_from: Ints
    legs_to: Ints
    pairs_from: Ints
    pairs_to: Ints


class ScanTable:
    """All rows of one configuration. `refresh` computes them again from the legs."""

    def __init__(self, config: MarketConfig) -> None:
        self.config = config
        self.pairs: list[ScanPair] = scan_pairs(config)
        self.ids = [pair.id for pair in self.pairs]
        self.row = {id: row for row, id in enumerate(self.ids)}
        listings = {(leg.exchange, leg.symbol): leg for p in self.pairs for leg in (p.listing1, p.listing2)}
        self.listings = list(listings.values())
        self._place = {key: place for place, key in enumerate(listings)}
        self.leg1, self.leg2 = self._leg_places()
        self.exchanges = sorted({leg.exchange for leg in self.listings})
        self.exchange1, self.exchange2 = self._exchange_places()
        self.volume1, self.volume2 = self._volumes()
        self._costs = self._fee_factors()
        self._beforehand = self._gates_beforehand()
        self._multiplier = np.array([leg.multiplier for leg in self.listings], float)
        self._converted = np.array([leg.quote != quote_of(leg.counts_as) for leg in self.listings], bool)
        self.symbol_place = self._symbol_places()
        self.most_age_ms = np.array(
            [gates.most_age_ms(config.gates, pair, None) for pair in self.pairs], float
        )
        self._in_dollars = np.array([is_dollar(quote_of(pair.symbol)) for pair in self.pairs], bool)
        self.hour = np.full(len(self.pairs), np.nan)
        self.forget()
        self.refresh()

    def __len__(self) -> int:
        return len(self.pairs)

    def _leg_places(self) -> tuple[Ints, Ints]:
        place = self._place
        return (
            np.array([place[p.listing1.exchange, p.listing1.symbol] for p in self.pairs], np.int64),
            np.array([place[p.listing2.exchange, p.listing2.symbol] for p in self.pairs], np.int64),
        )

    def _exchange_places(self) -> tuple[Ints, Ints]:
        number = {key: place for place, key in enumerate(self.exchanges)}
        of_leg = self._leg_exchange = np.array([number[leg.exchange] for leg in self.listings], np.int64)
        return of_leg[self.leg1], of_leg[self.leg2]

    def _volumes(self) -> tuple[Floats, Floats]:
        of_leg = np.array([np.nan if leg.volume is None else leg.volume for leg in self.listings], float)
        return of_leg[self.leg1], of_leg[self.leg2]

    def _fee_factors(self) -> tuple[Floats, Floats]:
        """Of every row: what 12 and 21 keep of sell bid / buy ask, in bps."""
        fees, known = Fees(self.config), {row.key for row in self.config.exchanges}
        fee = np.array(
            [
                fees.taker(leg.exchange, leg.symbol) if leg.exchange in known else np.nan
                for leg in self.listings
            ],
            float,
        )
        fee1, fee2 = fee[self.leg1], fee[self.leg2]
        return fee_factors(fee1, fee2)

    def _gates_beforehand(self) -> tuple[gates.Bits, gates.Bits]:
        """Gate bits of every row and direction that no quote changes."""
        facts = gates.Facts(self.config)
        both = [(pair, pair.listing1, pair.listing2) for pair in self.pairs]
        sell_first = [facts.beforehand(pair, buy=two, sell=one) for pair, one, two in both]
        sell_second = [facts.beforehand(pair, buy=one, sell=two) for pair, one, two in both]
        return np.array(sell_first, np.uint32), np.array(sell_second, np.uint32)

    def needs_rates(self, row: int) -> bool:
        """Whether prices of this row are converted, or what its sizes are worth is."""
        converted = self._converted[self.leg1[row]] or self._converted[self.leg2[row]]
        return bool(converted or not self._in_dollars[row])

    def _symbol_places(self) -> Ints:
        places: dict[str, int] = {}
        rows = np.array([places.setdefault(pair.symbol, len(places)) for pair in self.pairs], np.int64)
        self._leg_symbol = np.array([places[leg.counts_as] for leg in self.listings], np.int64)
        return rows

    def forget(self) -> None:
        """Forget all that is known of legs and pairs."""
        self.legs: Rows = np.zeros(len(self.listings), LEG_ROW)
        for name in ("bid", "ask", "bid_size", "ask_size", "gap_ms", "age_ms", "scale", "moved_bps", "worth"):
            self.legs[name] = np.nan
        self.legs["up"] = True
        self.now_s = 0.0  # as of when, by the clock of `take`
        self._born_s = np.full(len(self.listings), np.nan)
        self.lost = np.zeros(len(self.listings), bool)
        self._said = np.zeros(len(self.listings), bool)  # by a shard that is live, since the last refresh
        self.identity = np.zeros(len(self.pairs), np.uint8)  # codes of engine.scan.identity
        self.proven = np.zeros(len(self.pairs), bool)
        self.ratio = np.full(len(self.pairs), np.nan)
        self.correlation = np.full(len(self.pairs), np.nan)

    # --- what the collectors say -----------------------------------------------------------------

    def match(self, scan: ShardScan) -> Match:
        """Find the shard's legs and pairs in this table; those of another configuration have no place."""
        place = [self._place.get((leg.exchange, leg.symbol), -1) for leg in scan.directory.legs]
        legs = np.array(place, np.int64)
        ours = np.flatnonzero(legs >= 0)
        known = {
            pair: row for row, pair in enumerate(zip(self.leg1.tolist(), self.leg2.tolist(), strict=True))
        }
        pairs = legs[scan.pair_legs].reshape(-1, 2).tolist()
        rows = np.array([known.get((one, two), -1) for one, two in pairs], np.int64)
        paired = np.flatnonzero(rows >= 0)
        return Match(ours, legs[ours], paired, rows[paired])

    def take(
        self, scan: ShardScan, match: Match, now_s: float, silent: bool, since_s: float = NEVER_S
    ) -> None:
        """Apply what a shard knows now (monotonic), or that nothing has been received of it lately.

        One that speaks again, since `since_s`, may not have read its sockets yet: what it knew before it
        fell silent is no quiet market. Of a leg that two shards know, the newer quote stays, until `refresh`.
        """
        self.now_s = now_s
        born = scan.born_s[match.legs_from].round(3)  # as it is shown: rows of one ms are equal
        there = self._born_s[match.legs_to]
        taken = ~self._said[match.legs_to]
        if not silent:
            taken |= np.isnan(there) | (born >= there)
        here, place = match.legs_from[taken], match.legs_to[taken]
        for name in LEG_ROW.names or ():  # column by column: whole records are copied four times slower
            self.legs[name][place] = scan.legs[name][here]
        self._born_s[place] = born[taken]
        self.legs["age_ms"][place] = (now_s - born[taken]) * 1e3
        returns = now_s - since_s < RETURN_S
        self.lost[place] = (born[taken] < since_s - RETURN_SLACK_S) & returns | silent
        self._said[place] = not silent
        if silent:  # what its prices were is no offer any more
            for name in ("bid", "ask"):
                self.legs[name][place] = np.nan

    def lose(self, match: Match) -> None:
        """A shard is gone: when its quotes came is not known any more, either."""
        self.lost[match.legs_to] = True
        for name in ("bid", "ask", "age_ms"):
            self.legs[name][match.legs_to] = np.nan
        self._born_s[match.legs_to] = np.nan

    def take_evidence(self, scan: ShardScan, match: Match) -> None:
        """Take over what a shard holds of its pairs' identity; it changes seldom."""
        for name in PAIR_ROW.names or ():
            getattr(self, name)[match.pairs_to] = scan.pairs[name][match.pairs_from]

    # --- rows ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compute every row from the legs as they are now."""
        self._said[:] = False
        one, two = self.leg1, self.leg2
        bid, ask, bid_size, ask_size, age = (
            np.ascontiguousarray(self.legs[name]) for name in ("bid", "ask", "bid_size", "ask_size", "age_ms")
        )
        bid1, bid2, ask1, ask2 = bid[one], bid[two], ask[one], ask[two]
        edge12 = edge_bps(bid1, ask2, self._costs[0])
        edge21 = edge_bps(bid2, ask1, self._costs[1])
        first = self.sell_first = ~(edge21 > edge12)
        buy, sell = np.where(first, two, one), np.where(first, one, two)
        self.edge = np.where(first, edge12, edge21)
        self.size = np.minimum(bid_size[sell], ask_size[buy]) * ask[buy]
        worth = self.legs["worth"][one]
        self.worth = np.where(self._in_dollars, 1.0, np.where(worth > 0, worth, np.nan))
        self.value = self.size * self.worth
        self.spread = spread_pct(bid[sell], bid[buy])
        self.born1, self.born2 = self._born_s[one], self._born_s[two]
        states = self._leg_states(bid, age.astype(float))
        self.leg_states = states
        doubtful1, doubtful2 = self._doubtful(age.astype(float))
        self.state1 = np.maximum(states[one], np.where(doubtful1, freshness.SILENT, 0))
        self.state2 = np.maximum(states[two], np.where(doubtful2, freshness.SILENT, 0))
        self.state = np.maximum(self.state1, self.state2)
        bits = self._gate_bits(states, buy, sell, doubtful1 | doubtful2)
        self.same_coin = (bits & (gates.bit("identity", "fail") | gates.bit("identity", "unknown"))) == 0
        self.passed, self.failed, self.unknown = gates.counts(bits)
        self.blocked = gates.blocking(bits.astype(np.int64)) != 0

    def _doubtful(self, age_ms: Floats) -> tuple[Bools, Bools]:
        """Mask of the rows' legs that are too old for the better edge, or were left behind."""
        terms = self.config.gates
        found = []
        for legs in (self.leg1, self.leg2):
            moved_bps = self.legs["moved_bps"][legs]
            found.append(freshness.is_doubtful(age_ms[legs], moved_bps, self.edge, self.most_age_ms, terms))
        return found[0], found[1]

    def _gate_bits(self, states: Ints, buy: Ints, sell: Ints, stale: Bools) -> gates.Bits:
        """Every row's gates in its better direction."""
        terms, legs = self.config.gates, self.legs
        columns = gates.LegColumns(
            state=states.astype(np.int8),
            bid=legs["bid"],
            ask=legs["ask"],
            jumped=legs["jumped"],
            rate=legs["scale"] * self._multiplier,
            converted=self._converted,
        )
        before12, before21 = self._beforehand
        return gates.table_bits(
            np.where(self.sell_first, before12, before21) | self._volume_bits(),
            columns.bits(terms),
            buy=buy,
            sell=sell,
            identity=self.identity,
            size=self.value if terms.min_size > 0 else self.size,
            minimum=terms.min_size,
            unproven=~self.proven & (self.edge > terms.max_unproven_edge_bps),
            stale=stale,
        )

    def _volume_bits(self) -> gates.Bits:
        """Bits of volumes in currencies whose worth changes; the others are known beforehand."""
        least, found = self.config.gates.min_volume, np.zeros(len(self), np.uint32)
        if least:
            value = np.where(self._in_dollars, np.inf, np.minimum(self.volume1, self.volume2) * self.worth)
            found[value < least] = gates.bit("volume", "fail")
            found[np.isnan(value)] = gates.bit("volume", "unknown")
        return found

    def count_hour(self, counts: Mapping[str, int] | None) -> None:
        """Opportunities of the last hour, by the pair's id; None: not known now."""
        self.hour[:] = np.nan if counts is None else 0
        for pair_id, count in (counts or {}).items():
            row = self.row.get(pair_id)
            if row is not None:
                self.hour[row] = count

    def _leg_states(self, bid: Floats, age_ms: Floats) -> Ints:
        legs = self.legs
        never = np.isnan(age_ms)
        usable = legs["up"] & ~(np.isnan(bid) & (never | ~np.isnan(legs["scale"])))
        states = freshness.states(
            usable,
            age_ms,
            legs["gap_ms"].astype(float),
            symbol=self._leg_symbol,
            exchange=self._leg_exchange,
            terms=self.config.gates,
        ).astype(np.int64)
        states[never & legs["up"]] = WAITING
        states[self.lost] = LOST
        return states


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
