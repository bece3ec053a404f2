"""Why a pair is, or is not, an opportunity now, both ways, from what the scanner's table knows of it.

Plain Python and numpy, no Django.
"""

from collections.abc import Mapping
from math import inf, isfinite, isnan, nan

import numpy as np
from msgspec import Struct

from core.names import formats as wording
from core.names.plain_names import isolated
from core.names.symbols import quote_of
from engine.books.followed import Books
from engine.funding.trade import plain_names, trade_line
from engine.gates import checks as gates
from engine.gates import freshness
from engine.gates.checks import Evidence, Facts, Gate, LegSeen, Seen
from engine.gates.held import shortfall
from engine.pricing import fee_factor
from engine.scan.directions import Direction
from engine.scan.identity import decisions
from engine.scan.legs import Leg, Market
from engine.scan.swaps import PROBLEMS, SwapLeg
from markets.config import FilterConfig
from markets.fees.book import Fees
from markets.funds import funds
from markets.worth.reference import REFERENCE, is_dollar
from realtime.scanner.table import STATES, ScanTable


class LegFacts(Struct, frozen=True):
    """One side as it is now, in the symbol's terms; `state` is a word of the scanner's table."""

    exchange: str
    symbol: str
    bid: float | None
    ask: float | None
    bid_size: float | None
    ask_size: float | None
    age_ms: float | None
    gap_ms: float | None
    state: str
    volume_24h: float | None


class FilterFacts(Struct, frozen=True):
    """A filter that follows the pair: what it asks of this direction, and whether that is met now."""

    id: int
    name: str
    min_edge_bps: float
    min_size: float
    min_duration_ms: int
    wallets_open: bool
    met: bool
    words: str


class DirectionFacts(Struct, frozen=True):
    """One way through the pair. `verdict` is `pass` when no gate blocks, whatever the edge.

    `trade` is the position in words, and what one needs for it beside money.
    """

    buy_on: str
    sell_on: str
    trade: str
    edge_bps: float | None
    spread_pct: float | None  # bid where we sell over bid where we buy
    size: float | None
    verdict: str
    opportunity: bool
    gates: list[Gate]
    filters: list[FilterFacts]
    summary: str


class Explanation(Struct, frozen=True):
    """A pair explained: the way with the better edge first. Sizes and volumes are in `currency`."""

    id: str
    symbol: str
    exchange1: str
    exchange2: str
    currency: str
    spread_pct: float | None
    legs: list[LegFacts]
    directions: list[DirectionFacts]
    summary: str


def explain(
    table: ScanTable,
    row: int,
    now_mono_ns: int,
    rate_ages_ms: Mapping[str, float] | None = None,
    names: Mapping[str, str] | None = None,
    *,
    books: Books | None = None,
) -> Explanation:
    """Explain what keeps the pair in this row of the table from being an opportunity, by its last refresh.

    `rate_ages_ms` are of what currencies' rates were last quoted, by symbol; `names` what words call
    exchanges, by key; `books` are asked for filters with a size of their own.
    """
    pair, ways = table.pairs[row], _directions(table, row, now_mono_ns)
    one, two = ways[0].sell, ways[0].buy
    facts, evidence = Facts(table.config, names), _evidence(table, row)
    exchanges = plain_names(table.config.exchanges)
    seen = {leg.exchange: _leg_seen(table, leg, now_mono_ns, facts) for leg in (one, two)}
    explained = [
        _direction_facts(
            way,
            facts,
            Seen(
                pair,
                seen[way.buy.exchange],
                seen[way.sell.exchange],
                way.size(),
                evidence,
                way.edge_bps(),
                rate_ages_ms or {},
                (table.now_us, now_mono_ns),
                books,
            ),
            exchanges,
        )
        for way in ways
    ]
    explained.sort(key=_merit, reverse=True)
    return Explanation(
        id=pair.id,
        symbol=pair.symbol,
        exchange1=one.exchange,
        exchange2=two.exchange,
        currency=quote_of(pair.symbol),
        spread_pct=_spread_pct(one, two),
        legs=[
            _leg_facts(seen[leg.exchange], int(state[row]))
            for leg, state in ((one, table.state1), (two, table.state2))
        ],
        directions=explained,
        summary=explained[0].summary,
    )


def _merit(way: DirectionFacts) -> tuple[bool, float]:
    return way.opportunity, -inf if way.edge_bps is None else way.edge_bps


# --- out of the table ----------------------------------------------------------------------------


def _directions(table: ScanTable, row: int, now_mono_ns: int) -> list[Direction]:
    """Buy on exchange2 and sell on exchange1, then the other way round; as the scanner makes them."""
    pair = table.pairs[row]
    market = {place: _leg(table, place, now_mono_ns) for place in _market(table, row)}
    one, two = market[int(table.leg1[row])], market[int(table.leg2[row])]
    for leg in market.values():
        leg.market = Market(tuple(market.values()))
    fees = Fees(table.config)
    taker = {leg.exchange: fees.taker(leg.exchange, leg.listing.symbol) for leg in (one, two)}
    for leg in (one, two):
        leg.taker_fee_bps = taker[leg.exchange] * 10_000
    return [
        Direction(row, pair, buy, sell, fee_factor(taker[buy.exchange], taker[sell.exchange]))
        for buy, sell in ((two, one), (one, two))
    ]


def _market(table: ScanTable, row: int) -> list[int]:
    """The places of all legs of the row's symbol."""
    rows = np.flatnonzero(table.symbol_place == table.symbol_place[row])
    return np.union1d(table.leg1[rows], table.leg2[rows]).tolist()  # type: ignore[no-any-return]


def _leg(table: ScanTable, place: int, now_mono_ns: int) -> Leg:
    """A leg as the collector knows it."""
    row, leg = table.legs[place], Leg(table.listings[place])
    leg.index = place
    leg.bid, leg.ask = float(row["bid"]), float(row["ask"])
    leg.bid_size, leg.ask_size = float(row["bid_size"]), float(row["ask_size"])
    leg.scale, leg.gap_ms = float(row["scale"]), float(row["gap_ms"])
    worth = float(row["worth"])
    leg.worth = 1.0 if is_dollar(quote_of(leg.listing.counts_as)) else worth or nan
    leg.up, leg.jumped = bool(row["up"]) and not table.lost[place], bool(row["jumped"])
    leg.reason = "its collector has stopped reporting" if table.lost[place] else ""
    age_ms = float(row["age_ms"])
    if not isnan(age_ms):
        leg.quotes, leg.received_mono_ns = 1, now_mono_ns - int(age_ms * 1e6)
    if leg.swap is not None:
        _take_swap(leg.swap, row, leg.received_mono_ns)
    return leg


def _take_swap(swap: SwapLeg, row: np.void, received_mono_ns: int) -> None:
    """Facts of a swap beside its quotes, as the collector knows them."""
    swap.problem, swap.rate, swap.mark = PROBLEMS[int(row["problem"])], float(row["rate"]), float(row["mark"])
    swap.next_us, swap.interval_s = int(row["next_ts_us"]) or None, int(row["interval_s"]) or None
    rate_late_ms, mark_late_ms = float(row["rate_late_ms"]), float(row["mark_late_ms"])
    swap.said_ns = 0 if isnan(rate_late_ms) else received_mono_ns - int(rate_late_ms * 1e6)
    swap.mark_ns = 0 if isnan(mark_late_ms) else received_mono_ns - int(mark_late_ms * 1e6)


def _leg_seen(table: ScanTable, leg: Leg, now_mono_ns: int, facts: Facts) -> LegSeen:
    state = int(table.leg_states[leg.index])
    talkers = freshness.talkers(leg.siblings, leg, now_mono_ns, table.config.gates)
    age_ms = freshness.age_ms(leg, now_mono_ns) if leg.quotes else nan
    moved_bps = float(table.legs["moved_bps"][leg.index])
    return LegSeen(
        leg, min(state, freshness.DOWN), age_ms, talkers, moved_bps,
        facts.called(leg.exchange), float(table.legs["mark_moved_bps"][leg.index]),
    )  # fmt: skip


def _evidence(table: ScanTable, row: int) -> Evidence:
    decided = decisions(table.config).get(table.pairs[row].id, "")
    ratio, correlation = float(table.ratio[row]), float(table.correlation[row])
    proven, fund = bool(table.proven[row]), funds(table.config).get(table.pairs[row].symbol, "")
    return Evidence(int(table.identity[row]), ratio, correlation, decided, proven, fund)


def _leg_facts(seen: LegSeen, state: int) -> LegFacts:
    leg = seen.leg
    return LegFacts(
        exchange=leg.exchange,
        symbol=leg.listing.symbol,
        bid=_known(leg.bid),
        ask=_known(leg.ask),
        bid_size=_known(leg.bid_size),
        ask_size=_known(leg.ask_size),
        age_ms=_known(seen.age_ms),
        gap_ms=_known(leg.gap_ms),
        state=STATES[state],
        volume_24h=leg.listing.volume,
    )


def _spread_pct(over: Leg, under: Leg) -> float | None:
    return _known((over.bid / under.bid - 1) * 100)


def _known(value: float) -> float | None:
    return float(value) if isfinite(value) else None


# --- one direction -------------------------------------------------------------------------------


def _direction_facts(way: Direction, facts: Facts, seen: Seen, names: dict[str, str]) -> DirectionFacts:
    judged, bits = gates.judge(facts, seen), gates.bits_of(facts, seen)
    edge_bps, size = way.edge_bps(), way.size()
    filters = [_filter_facts(way, row, size, seen, facts) for row in way.filters]
    blocked = [gate for gate in judged if gates.is_blocking(bits, gate.name)]
    opportunity = any(row.met for row in filters)
    return DirectionFacts(
        buy_on=way.buy.exchange,
        sell_on=way.sell.exchange,
        trade=trade_line(way.buy.exchange, way.sell.exchange, names),
        edge_bps=_known(edge_bps),
        spread_pct=_spread_pct(way.sell, way.buy),
        size=_known(size),
        verdict="fail" if blocked else "pass",
        opportunity=opportunity,
        gates=judged,
        filters=filters,
        summary=_summary(way, edge_bps, blocked, filters, facts),
    )


def _filter_facts(way: Direction, row: FilterConfig, size: float, seen: Seen, facts: Facts) -> FilterFacts:
    edge_bps = way.edge_bps()
    asked = inf if row.min_edge_bps is None else row.min_edge_bps
    min_size = facts.terms.min_size if row.min_size is None else row.min_size
    blocked = gates.blocking(gates.without_size(gates.bits_of(facts, seen, row)), row.wallets_open)
    missing = [] if edge_bps >= asked else [_edge(edge_bps, asked)]
    if gates.size_bits(seen.value if min_size > 0 else size, min_size):
        missing.append(_too_little(seen, min_size))
    if blocked:
        missing.append(_closed(gates.first(blocked), row, seen, facts))
    if lacks := shortfall(way, row, seen.identity.ratio, seen.now, facts.terms):
        missing.append(lacks)
    words = "; ".join(missing) or "; ".join((_edge(edge_bps, asked), *_depth(seen, row, facts)))
    return FilterFacts(
        row.id, row.name, asked, min_size, row.min_duration_ms, row.wallets_open, not missing, words
    )


def _closed(name: str, row: FilterConfig, seen: Seen, facts: Facts) -> str:
    """Closed gate, and the reason where it is by a limit of the filter's own alone."""
    words = f"the gate check {name} blocks"
    if name == "depth":
        return "; ".join((words, *_depth(seen, row, facts)))
    has_own = name in ("freshness", "identity", "settlement", "expiry")
    if not has_own or gates.is_blocking(gates.bits_of(facts, seen), name):
        return words  # as the table of gates says
    found = {gate.name: gate for gate in gates.judge(facts, seen, row)}
    return f"{words} by the filter's own limit: {found[name].sentence}"


def _depth(seen: Seen, row: FilterConfig, facts: Facts) -> list[str]:
    """Words for what both books leave at the filter's size; nothing where it has none."""
    return [gate.sentence for gate in gates.judge(facts, seen, row) if gate.name == "depth"]


def _too_little(seen: Seen, min_size: float) -> str:
    least = f"{wording.amount(min_size)} {REFERENCE}"
    return f"the executable size is {gates.executable(seen)} (wanted: at least {least})"


def _summary(
    way: Direction, edge_bps: float, blocked: list[Gate], filters: list[FilterFacts], facts: Facts
) -> str:
    """The verdict in a sentence: what stands in the way first."""
    met = [row for row in filters if row.met]
    road = f"buy on {facts.called(way.buy.exchange)}, sell on {facts.called(way.sell.exchange)}"
    if met:
        held = f", once it has held for {wording.age(met[0].min_duration_ms)}" * bool(met[0].min_duration_ms)
        return f"An opportunity ({road}): {_edge(edge_bps, met[0].min_edge_bps, met[0].name)}{held}."
    reasons = [f"{gate.name}: {gate.sentence}" for gate in blocked]
    if not filters:
        reasons.append("no enabled filter with a min edge follows this pair")
    elif all(edge_bps < row.min_edge_bps for row in filters):
        least = min(filters, key=lambda row: row.min_edge_bps)
        reasons.insert(0, _edge(edge_bps, least.min_edge_bps, least.name))
    elif not blocked:
        reasons.append(filters[0].words)
    return f"Not an opportunity ({road}): {'; '.join(reasons)}."


def _edge(edge_bps: float, asked: float, name: str = "") -> str:
    edge = wording.bps(edge_bps) if isfinite(edge_bps) else "unknown"
    return f"the edge is {edge} (wanted: at least {asked:,.1f} bps{f' by “{isolated(name)}”' * bool(name)})"
