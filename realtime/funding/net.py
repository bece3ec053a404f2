"""Net edge of a pair that is held for a time: the engine's formula, on the quotes and the funding of
now."""

from collections.abc import Iterable
from math import isnan, nan
from typing import Annotated, Any, Final

from msgspec import Meta, Struct, structs

from core.names.chart_ids import chart_id_of
from core.names.market_keys import exchange_of, market_of
from core.names.symbols import quote_of
from engine.funding.net import DEFAULT_HOLDING_S, NetEdge, leg_funding, median_exit, net_edge
from engine.funding.settlements import S_US, FundingTerms, settlements
from engine.funding.trade import leg_access, plain_names, trade_line
from markets.fees.book import Fees
from markets.follow.fundings import Snapshot, SwapRow
from realtime.funding.table import MAX_HOURS, MAX_TEXT
from realtime.scanner.table import STATES, ScanTable

DAY_H: Final = 24

Name = Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class NetQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A position: where the coin is bought and sold, for how long, and for how much in quote currency.

    `borrow` is what borrowing the sold coin costs, in per cent per day; `median_spread` the median of the
    pair's line, where one sells over where one buys, in per cent: what the third assumption of the exit is
    made of. Without it `recent` takes the median of the last 5 minutes that collectors keep of the pair.
    """

    symbol: Name
    buy: Name
    sell: Name
    hours: Annotated[float, Meta(gt=0, le=MAX_HOURS)] = DEFAULT_HOLDING_S / 3600
    size: Annotated[float, Meta(gt=0, le=1e12)] = 1000.0
    borrow: Annotated[float, Meta(ge=0, le=100)] = 0.0
    median_spread: Annotated[float, Meta(gt=-100, le=1000)] | None = None
    recent: bool = False


class Charge(Struct, frozen=True):
    """One coming settlement; the rate in per cent, `forming` now or assumed."""

    time: float
    rate: float
    forming: bool


class Leg(Struct, frozen=True):
    """One leg as it is now. `needs` is what one needs for it beside money; `problem` why its funding is
    unknown."""

    exchange: str
    symbol: str
    bid: float | None
    ask: float | None
    state: str
    age_ms: float | None
    taker_fee_bps: float | None
    fee_known: bool
    needs: str
    problem: str
    settlements: list[Charge]


class Net(Struct, frozen=True):
    """The terms of `engine.funding.net.NetEdge`, in bps of what buying costs, and in money; None: unknown.

    `obstacle` says why the prices are unknown where the scanner does not compare the two.
    """

    symbol: str
    trade: str
    obstacle: str
    currency: str
    hours: float
    size: float
    buy: Leg
    sell: Leg
    bps: dict[str, float | None]
    money: dict[str, float | None]


def net(table: ScanTable, query: NetQuery, snapshots: Iterable[Snapshot], now_us: int) -> Net:
    """Net edge of the position a query names; its keys and symbol are as the configuration has them."""
    places = _places(table, query)
    swaps = {(row.exchange, row.coin): row for each in snapshots for row in each.rows}
    fees = Fees(table.config)
    sides: list[_Side] = []
    for key, place in zip((query.buy, query.sell), places, strict=True):
        needs = leg_access(key, "long" if not sides else "short")
        swap = swaps.get((key, query.symbol))
        sides.append(_side(table, fees, query, key, place, swap, needs, now_us))
    buy, sell = sides
    edge = net_edge(
        (buy.bid, buy.ask), (sell.bid, sell.ask), buy.fee, sell.fee, buy.paid, sell.paid,
        _median_exit(table, query, buy, sell), query.borrow / 100 * query.hours / DAY_H,
    )  # fmt: skip
    names = plain_names(table.config.exchanges)
    compared = None not in places
    one, other = (f"{names.get(exchange_of(key), key)} {market_of(key)}" for key in (query.buy, query.sell))
    words = f"{query.symbol} is not compared between {one} and {other}: enable their pair"
    return Net(
        symbol=query.symbol,
        trade=trade_line(query.buy, query.sell, names),
        obstacle="" if compared else words,
        currency=quote_of(query.symbol),
        hours=query.hours,
        size=query.size,
        buy=buy.leg,
        sell=sell.leg,
        bps=_said(edge),
        money=_said(edge.money(query.size, buy.fee)),
    )


def _median_exit(table: ScanTable, query: NetQuery, buy: "_Side", sell: "_Side") -> float:
    """Exit spread of the pair's median, as a fraction; NaN: unknown."""
    if query.median_spread is not None:
        return (1 + query.median_spread / 100) * sell.ask / sell.bid - 1
    row = _row(table, query) if query.recent else None
    if row is None:
        return nan
    ratio, is_first = float(table.ratio[row]), table.pairs[row].listing1.exchange == query.sell
    sold = ratio if is_first else 1 / ratio if ratio else nan
    return float(median_exit((buy.bid, buy.ask), (sell.bid, sell.ask), sold))


class _Side(Struct, frozen=True):
    """Numbers of one leg, NaN where unknown: prices, fee as a fraction, rates charged while it is held."""

    bid: float
    ask: float
    fee: float
    paid: float
    leg: Leg


def _side(  # noqa: PLR0917
    table: ScanTable,
    fees: Fees,
    query: NetQuery,
    key: str,
    place: int | None,
    swap: SwapRow | None,
    needs: str,
    now_us: int,
) -> _Side:
    bid = ask = age_ms = nan
    symbol, state = query.symbol if swap is None else swap.symbol, "waiting"
    if place is not None:
        bid, ask, age_ms = (float(table.legs[name][place]) for name in ("bid", "ask", "age_ms"))
        symbol, state = table.listings[place].symbol, STATES[int(table.leg_states[place])]
    has_fee = any(row.key == key for row in table.config.exchanges)
    fee = fees.of(key, symbol) if has_fee else None
    terms, problem = _terms(key, swap)
    until_us = now_us + round(query.hours * 3600 * S_US)
    charges = settlements(terms, now_us, until_us) if terms else []
    leg = Leg(
        key, symbol, _price(bid), _price(ask), state, known(age_ms),
        None if fee is None else fee.taker_bps, fee is not None and fee.known, needs, problem,
        [Charge(each.ts_us / 1e6, round(each.rate * 100, 8), each.forming) for each in charges],
    )  # fmt: skip
    paid = leg_funding(key, terms, now_us, query.hours * 3600)
    return _Side(bid, ask, fee.taker_bps / 10_000 if fee else nan, paid, leg)


def _row(table: ScanTable, query: NetQuery) -> int | None:
    """The pair's row of the table, either way round."""
    ids = (
        chart_id_of(query.symbol, query.buy, query.sell),
        chart_id_of(query.symbol, query.sell, query.buy),
    )
    return next((table.row[id] for id in ids if id in table.row), None)


def _places(table: ScanTable, query: NetQuery) -> tuple[int | None, int | None]:
    """Places of the bought and the sold leg in the table; None of a pair that is not compared."""
    row = _row(table, query)
    if row is None:
        return None, None
    one, two = int(table.leg1[row]), int(table.leg2[row])
    return (one, two) if table.listings[one].exchange == query.buy else (two, one)


def _terms(key: str, swap: SwapRow | None) -> tuple[FundingTerms | None, str]:
    """Terms of a leg's funding, and why they are unknown; a spot leg has none."""
    if market_of(key) == "spot":
        return None, ""
    if swap is None:
        return None, "nothing was said of its funding"
    if swap.problem or swap.rate is None or swap.next_ts_us is None or swap.interval_s is None:
        return None, swap.problem
    return FundingTerms(swap.rate, swap.next_ts_us, swap.interval_s, swap.cap, swap.floor), ""


def _said(edge: NetEdge) -> dict[str, float | None]:
    return {name: known(value) for name, value in structs.asdict(edge).items()}


def known(value: Any) -> float | None:
    """A number as JSON has it: None for NaN, and zero without a sign."""
    return None if isnan(value) else round(float(value), 8) + 0.0


def _price(value: float) -> float | None:
    """A price with all its digits: of a coin worth 0.000005 the eighth decimal is the third digit."""
    return None if isnan(value) else value
