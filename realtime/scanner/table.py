"""The scanner's table: edges, sizes, ages and verdicts of every pair, out of what collectors send.

Pure: numpy over what the configuration says (`rows`) and what the collectors' legs are. One table serves all
viewers of a process; which of its rows are shown, and in which order, is in `view`.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final

import numpy as np
from msgspec import Struct

from engine.gates import checks as gates
from engine.gates import freshness, swaps
from engine.pricing import edge_bps, spread_pct
from engine.scan.swaps import PROBLEMS, UNSAID
from markets.config import MarketConfig
from realtime.depth.book import Depth
from realtime.depth.sized import Ladders, ladders_of
from realtime.depth.wire import Key
from realtime.scanner.holding import LegFunding
from realtime.scanner.rows import Bools, Floats, Ints, ScanRows
from realtime.scanner.wire import LEG_ROW, PAIR_ROW, Rows, ShardScan

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


class Match(Struct, frozen=True):
    """Match of a shard's columns to the table's: legs, and pairs."""

    legs_from: Ints
    legs_to: Ints
    pairs_from: Ints
    pairs_to: Ints


class ScanTable(ScanRows):
    """All rows of one configuration. `refresh` computes them again from the legs, as new arrays: a view may
    hold on to those it has."""

    def __init__(self, config: MarketConfig) -> None:
        super().__init__(config)
        self.hour = np.full(len(self.pairs), np.nan)
        self.funding = LegFunding(self.listings)
        self.forget()
        self.learn_depth(())
        self.refresh()

    def forget(self) -> None:
        """Forget all that is known of legs and pairs."""
        self.legs: Rows = np.zeros(len(self.listings), LEG_ROW)
        for name in ("bid", "ask", "bid_size", "ask_size", "gap_ms", "age_ms", "scale", "moved_bps", "worth"):
            self.legs[name] = np.nan
        self.legs["up"] = True
        for name in ("mark", "mark_late_ms", "mark_moved_bps", "rate", "rate_late_ms"):
            self.legs[name] = np.nan
        self.legs["problem"] = PROBLEMS.index(UNSAID)
        self.now_s = 0.0  # as of when, by the clock of `take`
        self.now_us = 0  # … and by the wall clock, which settlements go by
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

    def learn_depth(self, depths: Iterable[tuple[Key, Depth]]) -> None:
        """Take over every book that is followed, instead of all that was said before.

        What follows from them is made when a view asks for it: most have no size.
        """
        self._depths = list(depths)
        for name in ("ladders", "walked", "by_books", "no_book"):
            self.__dict__.pop(name, None)

    @cached_property
    def ladders(self) -> Ladders:
        """The books of all legs."""
        return ladders_of(
            self._depths, self._place, self.legs, self._multiplier, pairs=(self.leg1, self.leg2)
        )

    @cached_property
    def by_books(self) -> Bools:
        """Mask of the rows both of whose books are known."""
        known: Bools = self.ladders.known
        return known[self.leg1] & known[self.leg2]

    @cached_property
    def walked(self) -> Bools:
        """Mask of the rows of which a book is known, and both legs have something to walk."""
        known, there = self.ladders.known, self.ladders.place >= 0
        found: Bools = (known[self.leg1] | known[self.leg2]) & there[self.leg1] & there[self.leg2]
        return found

    @cached_property
    def no_book(self) -> Bools:
        """Mask of the rows of which a book is followed and not known."""
        unknown: Bools = self.ladders.unknown
        return unknown[self.leg1] | unknown[self.leg2]

    # --- rows ------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Compute every row from the legs as they are now."""
        self._said[:] = False
        one, two = self.leg1, self.leg2
        bid, ask, bid_size, ask_size, age = (
            np.ascontiguousarray(self.legs[name]) for name in ("bid", "ask", "bid_size", "ask_size", "age_ms")
        )
        self.bid, self.ask = bid, ask
        bid1, bid2, ask1, ask2 = bid[one], bid[two], ask[one], ask[two]
        edge12 = edge_bps(bid1, ask2, self._costs[0])
        edge21 = edge_bps(bid2, ask1, self._costs[1])
        first = self.sell_first = ~(edge21 > edge12)
        buy, sell = self.buy, self.sell = np.where(first, two, one), np.where(first, one, two)
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
        self.passed, self.failed, self.unknown = gates.counts(bits, self.with_swap)
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
            columns.bits(terms) | self._swap_bits(),
            buy=buy,
            sell=sell,
            identity=self.identity,
            size=self.value if terms.min_size > 0 else self.size,
            minimum=terms.min_size,
            unproven=~self.proven & (self.edge > terms.max_unproven_edge_bps),
            stale=stale,
        )

    def _swap_bits(self) -> gates.Bits:
        """Bits of every leg that is a swap; the row's verdicts are of a position as nobody limits it."""
        legs, place = self.legs, np.flatnonzero(self.is_swap)
        found = np.zeros(len(legs), np.uint32)
        if len(place):
            found[place] = swaps.table_bits(
                legs[place], self._expires_us[place], self.now_us, self.config.gates
            )
        return found

    def _volume_bits(self) -> gates.Bits:
        """Bits of volumes in currencies whose worth changes; the others are known beforehand."""
        found = np.zeros(len(self), np.uint32)
        for legs, volume in ((self.leg1, self.volume1), (self.leg2, self.volume2)):
            least = self._least_volume[legs]
            value = np.where(self._in_dollars | (least == 0), np.inf, volume * self.worth)
            found[value < least] |= np.uint32(gates.bit("volume", "fail"))
            found[np.isnan(value)] |= np.uint32(gates.bit("volume", "unknown"))
        return found

    def count_hour(self, counts: Mapping[str, int] | None) -> None:
        """Opportunities of the last hour, by the pair's id; None: not known now."""
        self.hour = np.full(len(self), np.nan if counts is None else 0.0)  # views hold the one before
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
