"""Net edges of the scanner's rows when they are held for a time: the engine's formula, on columns.

Pure: numpy. Funding is summed per leg, once a second or when the collectors say something of it, and then
gathered; prices are those of one moment, per leg. So nothing here is done row by row.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from core.names.market_keys import SWAP, market_of
from engine.funding.net import DEFAULT_HOLDING_S, exit_bps, median_exit, net_zero
from engine.funding.settlements import S_US
from engine.pricing import BPS
from markets.config import MAX_HOLDING_HOURS, ListingConfig
from markets.follow.fundings import Snapshot, SwapRow
from realtime.scanner.rows import Bools, Floats, Ints

DEFAULT_HOURS: Final = DEFAULT_HOLDING_S / 3600
MAX_HOURS: Final = MAX_HOLDING_HOURS
KEPT: Final = 32
"""Holding times whose sums are kept for a second; of more, the oldest is computed again."""
UNSAID: Final = "nothing was said of its funding"
DAY_H: Final = 24
NETS: Final = ("net_zero", "net_now", "net_median", "funding")
"""Columns of a row that is held, in bps: net by exit spread, and what both legs are paid."""


class LegFunding:
    """Funding of all legs of a table, as collectors said it last; a spot leg's is none: zero."""

    def __init__(self, listings: Sequence[ListingConfig]) -> None:
        self._place = {(leg.exchange, leg.symbol): place for place, leg in enumerate(listings)}
        self._is_swap = np.array([market_of(leg.exchange) == SWAP for leg in listings], bool)
        self._now_us = 0
        self._kept: dict[float, Floats] = {}
        self.learn(())

    def learn(self, snapshots: Iterable[Snapshot]) -> None:
        """Take over what shards say, instead of all that was said before."""
        count = len(self._is_swap)
        self._rate = np.where(self._is_swap, np.nan, 0.0)
        self._next_us, self._interval_us = np.zeros(count, np.int64), np.ones(count, np.int64)
        self._problems: dict[int, str] = {}
        for snapshot in sorted(snapshots, key=lambda each: each.ts_us):
            for row in snapshot.rows:
                place = self._place.get((row.exchange, row.symbol))
                if place is not None:
                    self._put(place, row)
        self._kept.clear()

    def _put(self, place: int, row: SwapRow) -> None:
        self._problems[place], self._rate[place] = row.problem, np.nan
        if row.problem or row.rate is None or row.next_ts_us is None or row.interval_s is None:
            return
        rate = row.rate if row.cap is None else min(row.rate, row.cap)
        self._rate[place] = rate if row.floor is None else max(rate, row.floor)
        self._next_us[place], self._interval_us[place] = row.next_ts_us, row.interval_s * S_US

    def turn(self, now_us: int) -> None:
        """Go on to another moment; sums are of whole seconds."""
        if (second := now_us // S_US * S_US) != self._now_us:
            self._now_us = second
            self._kept.clear()

    def within(self, hours: float) -> Floats:
        """Rates charged to every leg's long within the coming hours, summed, as `settlements.expected` does;
        NaN: unknown. What is returned is never changed."""
        found = self._kept.get(hours)
        if found is None:
            if len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            found = self._kept[hours] = self._sum(round(hours * 3600 * S_US))
        return found

    def _sum(self, holding_us: int) -> Floats:
        done, reached = (
            np.maximum(0, (at_us - self._next_us) // self._interval_us + 1)
            for at_us in (self._now_us, self._now_us + holding_us)
        )
        charged: Floats = (reached - done) * self._rate
        return charged

    def problem(self, place: int) -> str:
        """Why a leg's funding is unknown; empty where it is known."""
        return self._problems.get(place, UNSAID) if np.isnan(self._rate[place]) else ""


class Moment(Struct, frozen=True):
    """Legs at one moment: prices, and rates charged within the time held. Its arrays are never changed."""

    bid: Floats
    ask: Floats
    funding: Floats


class Held(Struct, frozen=True):
    """Rows that are held at a moment: the legs that are bought and sold, whether the sold one is the pair's
    first, and the entry edge.

    `fee` is of every leg; `ratio` the median of the first leg's mid over the second's, NaN where unknown;
    `borrow` a fraction over the time held.
    """

    moment: Moment
    fee: Floats
    buy: Ints
    sell: Ints
    sell_first: Bools
    entry: Floats
    ratio: Floats
    borrow: float

    def columns(self, names: Collection[str]) -> dict[str, Floats]:
        """Some of `NETS`; only what they are made of is gathered."""
        buy, sell = self.buy, self.sell
        funding, buy_fee, sell_fee = self.moment.funding, self.fee[buy], self.fee[sell]
        paid = funding[sell] - funding[buy]
        zero = net_zero(self.entry, paid, buy_fee, sell_fee, self.borrow)
        found: dict[str, Floats] = {}
        for name in names:
            if name == "funding":
                found[name] = paid * BPS / (1 + buy_fee)
            elif name == "net_zero":
                found[name] = zero
            else:
                found[name] = zero + exit_bps(self._exit(name == "net_median"), buy_fee, sell_fee)
        return found

    def _exit(self, of_median: bool) -> Floats:
        """Exit spread as now, or of the median: with it each book is as wide as it is now."""
        bid, ask, buy, sell = self.moment.bid, self.moment.ask, self.buy, self.sell
        if not of_median:
            found: Floats = ask[sell] / bid[buy] - 1
            return found
        ratio = np.where(self.ratio > 0, self.ratio, np.nan)
        sold = np.where(self.sell_first, ratio, 1 / ratio)
        exit_spread: Floats = median_exit((bid[buy], ask[buy]), (bid[sell], ask[sell]), sold)
        return exit_spread
