"""Both books of a pair at one moment, and what buying in one and selling in the other leaves at a size.

Pure: numpy. All of it is of the scanner's table, so the page of a pair says what its row says. Prices and
sizes are in the pair's terms.
"""

from math import isfinite, isnan
from typing import Literal

import numpy as np
from msgspec import Struct

from core.names.chart_ids import chart_id_of
from core.names.symbols import base_of, quote_of
from engine.books.columns import Floats, Sides, Walk
from engine.pricing import edge_bps, fee_factor, profit
from realtime.depth.book import DepthBook
from realtime.depth.sized import NEARLY
from realtime.scanner.table import STATES, ScanTable

BookState = Literal["known", "unknown", "not followed"]


class LegDepth(Struct, frozen=True):
    """Levels of one leg, the best first: all that are published, or where its book is not followed the best.

    `problem` says why a followed book is unknown, in words. `at` is when it was updated last (of one that is
    not followed: when it was quoted), s by the server's clock, `exchange_at` as the exchange has it. `quote`
    is the state of the leg's quotes, as in the scanner, `fee` the taker fee as a fraction.
    """

    exchange: str
    symbol: str
    state: BookState
    problem: str
    quote: str
    fee: float | None
    at: float | None
    exchange_at: float | None
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class Deal(Struct, frozen=True):
    """Coins bought in one book and sold in the other; money in quote currency, edge and profit after fees.

    `is_all`: it takes all that is known of a book, so there may be more.
    """

    coins: float
    quote: float
    buy_average: float
    sell_average: float
    edge_bps: float
    profit: float
    is_all: bool


class Way(Struct, frozen=True):
    """One way through the pair, by the places of its legs. `of`: both books, best levels (`top`), or unknown.

    `now` is the edge of the best levels, `at_size` the deal at the size (or as much as is known to be there),
    `to_zero` the largest whose edge is not below zero, `best` the one of the highest profit: what both books
    leave on the table. None: unknown, or there is none with an edge.
    """

    buy: int
    sell: int
    of: Literal["book", "top", "unknown"]
    now: float | None
    at_size: Deal | None
    to_zero: Deal | None
    best: Deal | None


class PairDepth(Struct, frozen=True):
    """A pair. `size` is worth so many USDT, `money` is the same in quote currency, None where not known."""

    id: str
    symbol: str
    coin: str
    currency: str
    size: float
    money: float | None
    legs: list[LegDepth]
    ways: list[Way]


def row_of(table: ScanTable, id: str) -> int | None:
    """Row of a pair, named either way round; None: it is not compared."""
    if (row := table.row.get(id)) is not None or id.count("|") != 2:
        return row
    symbol, one, two = id.split("|")
    return table.row.get(chart_id_of(symbol, two, one))


def pair_depth(table: ScanTable, book: DepthBook, row: int, size: float, now_us: int) -> PairDepth:
    """Make the picture of the pair in this row of the table, by its last refresh; the better way first."""
    pair, legs = table.pairs[row], (int(table.leg1[row]), int(table.leg2[row]))
    start_s = now_us / 1e6 - table.now_s
    quoted_s = float(table.born1[row]), float(table.born2[row])
    found = [_leg(table, book, leg, start_s, at_s) for leg, at_s in zip(legs, quoted_s, strict=True)]
    money = size / float(table.worth[row])
    ways = [_way(table, legs, buy, money) for buy in ((1, 0) if table.sell_first[row] else (0, 1))]
    return PairDepth(
        pair.id, pair.symbol, base_of(pair.symbol), quote_of(pair.symbol), size, _known(money), found, ways
    )


def _leg(table: ScanTable, book: DepthBook, leg: int, start_s: float, quoted_s: float) -> LegDepth:
    listing, place = table.listings[leg], int(table.ladders.place[leg])
    depth = book.get((listing.exchange, listing.symbol))
    sides = (table.ladders.bids, table.ladders.asks) if place >= 0 else _top(table, leg)
    state: BookState = "known" if place >= 0 else "unknown" if table.ladders.unknown[leg] else "not followed"
    problem = table.ladders.problems.get(leg, "")
    born_s = quoted_s if depth is None else depth.born_s
    exchange_us = None if depth is None else depth.ladder.exchange_ts_us
    bids, asks = (
        [] if state == "unknown" else [(price, coins) for price, coins in side.levels(max(place, 0)).tolist()]
        for side in sides
    )
    return LegDepth(
        listing.exchange, listing.symbol, state, problem, STATES[int(table.leg_states[leg])],
        _known(float(table.taker_fee[leg])),
        None if born_s is None or isnan(born_s) else round(start_s + born_s, 3),
        None if exchange_us is None else exchange_us / 1e6,
        bids, asks,
    )  # fmt: skip


def _top(table: ScanTable, leg: int) -> tuple[Sides, Sides]:
    """Best bid and ask of a leg; without a usable quote there are none."""
    quote = table.legs[leg]
    return _side(quote["bid"], quote["bid_size"]), _side(quote["ask"], quote["ask_size"])


def _side(price: float, size: float) -> Sides:
    known = isfinite(price) and isfinite(size)
    return Sides(np.array([[price if known else 1.0]]), np.array([[size if known else 0.0]]))


def _way(table: ScanTable, legs: tuple[int, int], buy: int, money: float) -> Way:
    ladders, sell = table.ladders, 1 - buy
    bought, sold = legs[buy], legs[sell]
    fees = float(table.taker_fee[bought]), float(table.taker_fee[sold])
    now = float(edge_bps(table.bid[sold], table.ask[bought], fee_factor(*fees)))
    unknown = Way(buy, sell, "unknown", _known(now), None, None, None)
    if ladders.unknown[bought] or ladders.unknown[sold] or isnan(now) or isnan(money):
        return unknown
    asks, bids, places = ladders.asks, ladders.bids, (int(ladders.place[bought]), int(ladders.place[sold]))
    is_walked = min(places) >= 0
    if not is_walked:
        asks, bids, places = _top(table, bought)[1], _top(table, sold)[0], (0, 0)
        if not (len(asks.levels(0)) and len(bids.levels(0))):
            return unknown
    walk = Walk(asks, np.array(places[:1]), bids, np.array(places[1:]), np.array([fee_factor(*fees)]))
    sizes = (walk.coins_for(np.array([money])), walk.until_zero(), np.array([walk.best()]))
    at_size, to_zero, best = (_deal(walk, coins, fees) for coins in sizes)
    return Way(buy, sell, "book" if is_walked else "top", _known(now), at_size, to_zero, best)


def _deal(walk: Walk, coins: Floats, fees: tuple[float, float]) -> Deal | None:
    if not coins[0] > 0.0:
        return None
    size, (cost, brought) = float(coins[0]), (float(each[0]) for each in walk.money(coins))
    edge = float(edge_bps(brought, cost, fee_factor(*fees)))
    is_all = bool(size >= float(walk.known_coins[0]) * NEARLY)
    return Deal(size, cost, cost / size, brought / size, edge, profit(cost, fees[0], edge), is_all)


def _known(value: float) -> float | None:
    return value if isfinite(value) else None
