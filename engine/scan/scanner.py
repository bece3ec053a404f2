"""The scanner: every symbol on every enabled pair, both ways, judged whenever a quote touches it.

Pure: no sockets, no clock, no Django. It is fed in order of receipt, by one thread; the rules are in
docs/engine.md.
"""

from collections.abc import Callable, Iterator, Mapping
from math import inf, isnan
from typing import Final

from msgspec import Struct

from core.names.symbols import quote_of
from engine.books.followed import Books
from engine.conversions import Conversion
from engine.funding.state import FundingBook
from engine.gates.depth import Depth
from engine.gates.gatekeeper import Gatekeeper
from engine.rates import Rates, conversion
from engine.scan.directions import Direction, shared_factor
from engine.scan.identity import SAMPLE_NS
from engine.scan.legs import MARKS_MS, Leg, Market
from engine.scan.lifecycle import Lifecycle
from engine.scan.returns import MarketMoves
from engine.scan.runs import NEVER_NS
from markets.config import ListingConfig, MarketConfig
from markets.events import Funding, MarkPrice, Quote, StreamState
from markets.fees.book import Fees
from markets.selection import ScanPair, scan_pairs
from markets.worth.reference import is_dollar

RHYTHM: Final = 1 / 16
"""How much the newest gap between two quotes counts in a leg's usual gap."""

RATES_EVERY_NS: Final = 1_000_000_000

SWAP_EVERY_NS: Final = 5_000_000_000
"""How often funding and a mark price alone make a leg's row again."""

MOST_BEHIND_NS: Final = 900_000_000_000
"""Who stood still for longer makes up for nothing: only what holds now counts."""

_NS_PER_US: Final = 1_000
_NS_PER_MS: Final = 1_000_000

Owns = Callable[[str], bool]
PublishRates = Callable[[Mapping[Conversion, float], int, int], None]
"""Called with what currencies are worth, and when: monotonic ns, wall clock µs."""


class ScanCounters(Struct):
    """Counters since the scanner was made."""

    judged: int = 0  # directions whose edge reached a trigger, or that were watched
    jumps: int = 0  # quotes too far from the one before to be believed at once
    scan_ignored_old: int = 0  # received before the one already held
    scan_malformed: int = 0  # break 0 < bid <= ask < inf


class Scanner:
    """Keeps the last quote of every leg and hands what reaches a trigger to the lifecycle.

    What time brings (what falls due in the lifecycle, rates, samples of prices) happens at its own time of
    the monotonic clock, before anything received later counts: when `tick` is called changes nothing.
    `publish_rates` is called with the rates of currencies whenever that was reckoned.

    Memory is bounded by the configuration: one leg per instrument, two directions per pair.
    """

    def __init__(self, publish_rates: PublishRates | None = None, market: MarketMoves | None = None) -> None:
        self.counters = ScanCounters()
        self.gatekeeper = Gatekeeper(market)
        self._depth = Depth()
        self.lifecycle = Lifecycle(self.gatekeeper, self._depth)
        self.rates = Rates()
        self.funding = FundingBook()
        self.pairs: list[ScanPair] = []
        self.legs: list[Leg] = []  # those of the pairs, in the order of their `index`
        self.directions: list[Direction] = []  # two per pair: buy on exchange2, buy on exchange1
        self.changed: list[Leg] = []  # since the last `take_changed`, each once
        self._legs: dict[str, dict[str, Leg]] = {}  # exchange -> symbol there ->
        self._converted: dict[Conversion, list[Leg]] = {}
        self._priced_in: dict[str, list[Leg]] = {}  # those of symbols that no dollar is the quote of
        self._terms: tuple[object, ...] = ()
        self._jump = 0.0
        self._publish_rates = publish_rates
        self._round_ns = NEVER_NS

    # --- configuration ---------------------------------------------------------------------------

    def use_books(self, books: Books) -> None:
        """Ask these order books for depth; without any, as in a replay, only the best levels are known."""
        self._depth.books = books

    def configure(self, config: MarketConfig, owns: Owns, now_us: int, now_mono_ns: int) -> bool:
        """Follow a configuration: legs that stay keep their quotes, what runs goes on where it may.

        Everything is judged again at once, as a fee, a rate or a threshold may be another one. Says whether
        it did: a change that concerns none of this, a pinned chart perhaps, costs nothing.
        """
        terms = (
            config.exchanges, config.listings, config.pairs, config.filters, config.gates,
            config.identities, config.wallets, config.fee_rules,
        )  # fmt: skip
        if terms == self._terms:
            return False
        self._terms = terms
        self._advance(now_us, now_mono_ns)
        self.lifecycle.settle(now_us, now_mono_ns)
        self._jump = config.gates.jump_pct / 100
        self.pairs = scan_pairs(config, owns)
        self._set_legs(config, owns)
        self._set_directions(config)
        self._rescale(now_us, now_mono_ns)
        _set_markets(self.legs)
        self.gatekeeper.configure(config, self.directions, self.legs)
        self._depth.configure(config)
        self.gatekeeper.identity.begin(now_mono_ns)
        self.lifecycle.configure(self.directions, config, now_us, now_mono_ns)
        for direction in self.directions:
            self._ask(direction, now_us, now_mono_ns)
        self.lifecycle.check(now_mono_ns)
        self.start(now_mono_ns)
        return True

    def _set_legs(self, config: MarketConfig, owns: Owns) -> None:
        known = self._legs
        self._legs, self.legs = {}, []
        for pair in self.pairs:
            for listing in (pair.listing1, pair.listing2):
                if listing.symbol not in self._legs.setdefault(listing.exchange, {}):
                    self.legs.append(self._take_leg(listing, known))
        self._set_rates(config, owns, known)
        self.funding.keep({(leg.exchange, leg.listing.symbol) for leg in self.legs})
        self.changed.clear()
        for legs in self._legs.values():
            for leg in legs.values():
                leg.changed = True  # those on no pair, which only say a rate, are never published
        for index, leg in enumerate(self.legs):
            leg.index, leg.changed = index, False
            leg.jumped = leg.jumped and leg.jump > self._jump
            self._mark(leg)

    def _take_leg(self, listing: ListingConfig, known: dict[str, dict[str, Leg]]) -> Leg:
        leg = known.get(listing.exchange, {}).get(listing.symbol) or Leg(listing)
        leg.follow(listing)
        self._legs.setdefault(listing.exchange, {})[listing.symbol] = leg
        return leg

    def _set_rates(self, config: MarketConfig, owns: Owns, known: dict[str, dict[str, Leg]]) -> None:
        """Set the legs that need a rate, and those that say one: these need not be part of any pair."""
        self._converted, self._priced_in = {}, {}
        for leg in self.legs:
            quote = quote_of(leg.listing.counts_as)
            if not is_dollar(quote):
                self._priced_in.setdefault(quote, []).append(leg)
            if needed := conversion(leg.listing):
                self._converted.setdefault(needed, []).append(leg)
        self.rates.configure(config.listings, config.gates)
        for listing in config.listings:
            saying = self.rates.legs.get(listing.symbol)
            if saying is not None and listing.counts_as == listing.symbol and owns(listing.symbol):
                there = self._legs.get(listing.exchange, {}).get(listing.symbol)
                saying.append(there or self._take_leg(listing, known))

    def _set_directions(self, config: MarketConfig) -> None:
        fees = Fees(config)
        taker: dict[Leg, float] = {}
        for leg in self.legs:
            fee = fees.of(leg.exchange, leg.listing.symbol)
            leg.taker_fee_bps, taker[leg] = fee.taker_bps, fee.taker_bps / 10_000
        self.directions = []
        for index, pair in enumerate(self.pairs):
            leg1 = self._legs[pair.listing1.exchange][pair.listing1.symbol]
            leg2 = self._legs[pair.listing2.exchange][pair.listing2.symbol]
            fee1, fee2 = taker[leg1], taker[leg2]
            for buy, sell, factor in (
                (leg2, leg1, shared_factor(fee2, fee1)), (leg1, leg2, shared_factor(fee1, fee2)),
            ):  # fmt: skip
                direction = Direction(index, pair, buy, sell, factor)
                self.directions.append(direction)
                buy.buys.append(direction)
                sell.sells.append(direction)

    # --- events ----------------------------------------------------------------------------------

    def on_quote(self, quote: Quote) -> None:  # noqa: PLR0912, PLR0915
        """Take over one quote and ask the directions it touches; flat, as it runs for each of them all.

        Mostly none reaches its trigger, and two multiplications with the symbol's best prices say so.
        A leg without a usable quote is NaN, and every comparison with NaN says no.
        """
        try:
            leg = self._legs[quote.exchange][quote.symbol]
        except KeyError:
            return  # it is on no pair
        mono_ns, bid, ask = quote.received_mono_ns, quote.bid, quote.ask
        if mono_ns >= self.lifecycle.due_ns:
            self._advance(quote.received_ts_us, mono_ns)
        if not 0.0 < bid <= ask < inf:
            self.counters.scan_malformed += 1
            return
        gap_ns, was_late_ns, late_us = mono_ns - leg.received_mono_ns, leg.late_ns, quote.late_us
        if was_late_ns:
            gap_ns -= was_late_ns
        if gap_ns < 0:
            self.counters.scan_ignored_old += 1
            return
        if leg.quotes:
            gap_ms, usual_ms = gap_ns / _NS_PER_MS, leg.gap_ms
            leg.gap_ms = usual_ms + (gap_ms - usual_ms) * RHYTHM if usual_ms >= 0.0 else gap_ms
        leg.quote = quote
        leg.quotes += 1
        leg.received_mono_ns, leg.received_ts_us = mono_ns, quote.received_ts_us
        if late_us or was_late_ns:
            leg.late_ns = late_us * _NS_PER_US
            leg.received_mono_ns -= leg.late_ns
        if not leg.changed:
            leg.changed = True
            self.changed.append(leg)
        market, old_bid, old_ask = leg.market, leg.bid, leg.ask
        if leg.scale == 1.0 and leg.up:
            leg.bid, leg.ask, leg.bid_size, leg.ask_size = bid, ask, quote.bid_size, quote.ask_size
        else:
            leg.price()
            bid, ask = leg.bid, leg.ask
        before = old_bid + old_ask
        limit = before * self._jump
        leg.jumped = bid + ask - before > limit or before - bid - ask > limit
        if leg.jumped:
            self.counters.jumps += 1
            leg.jump = abs(bid + ask - before) / before
        if mono_ns >= market.marks_due_ns or not leg.gap_ms < MARKS_MS:
            market.note(mono_ns)
        leg.marks = market.marks
        if bid >= market.high_bid and ask <= market.low_ask:
            market.high_bid, market.low_ask = bid, ask
        elif old_bid == market.high_bid or old_ask == market.low_ask:
            market.reckon()
        elif bid > market.high_bid:
            market.high_bid = bid
        elif ask < market.low_ask:
            market.low_ask = ask
        if bid * leg.sell_reach >= market.low_ask:
            for direction in leg.sells:
                if bid * direction.reach >= direction.buy.ask:
                    self._judge(direction, quote.received_ts_us, mono_ns)
        if market.high_bid * leg.buy_reach >= ask:
            for direction in leg.buys:
                if direction.sell.bid * direction.reach >= ask:
                    self._judge(direction, quote.received_ts_us, mono_ns)

    def _judge(self, direction: Direction, now_us: int, now_mono_ns: int) -> None:
        self.counters.judged += 1
        self.lifecycle.judge(direction, direction.edge_bps(), direction.size(), now_us, now_mono_ns)

    def on_state(self, state: StreamState) -> None:
        """Follow a connection; symbols that are on no pair are passed over."""
        now_us, mono_ns = state.received_ts_us, state.received_mono_ns
        if mono_ns >= self.lifecycle.due_ns:
            self._advance(now_us, mono_ns)
        legs = self._legs.get(state.exchange, {})
        for symbol in state.symbols:
            if leg := legs.get(symbol):
                leg.turn(state)
                self._look(leg, now_us, mono_ns)
                if symbol in self.rates.legs:
                    self.follow_rates(now_us, mono_ns)

    def on_funding(self, event: Funding) -> None:
        """Take over what an exchange says of funding; gates and net edges ask it."""
        leg = self._legs.get(event.exchange, {}).get(event.symbol)
        if leg is not None and leg.swap is not None:
            leg.swap.take_funding(*self.funding.apply(event))
            self._mark_swap(leg, event.received_mono_ns)

    def on_mark(self, event: MarkPrice) -> None:
        """Take over what an exchange says of a mark price; the gates ask it."""
        leg = self._legs.get(event.exchange, {}).get(event.symbol)
        if leg is not None and leg.swap is not None:
            leg.swap.take_mark(event, leg.market)
            self._mark_swap(leg, event.received_mono_ns)

    def _mark_swap(self, leg: Leg, now_mono_ns: int) -> None:
        """A quote marks its leg as changed; where none comes, this does now and then."""
        assert leg.swap is not None  # noqa: S101 - for the type checker  # nosec B101 # decides nothing
        if now_mono_ns - leg.swap.sent_ns >= SWAP_EVERY_NS:
            leg.swap.sent_ns = now_mono_ns
            self._mark(leg)

    def _look(self, leg: Leg, now_us: int, now_mono_ns: int) -> None:
        """Apply that its prices are none any more, or others again, as its stream says."""
        self._mark(leg)
        leg.market.reckon()
        for direction in (*leg.sells, *leg.buys):
            self._ask(direction, now_us, now_mono_ns)

    def _ask(self, direction: Direction, now_us: int, now_mono_ns: int) -> None:
        """Judge a direction if it runs or reaches its trigger, without a quote that said so."""
        if direction.running or direction.sell.bid * direction.reach >= direction.buy.ask:
            self._judge(direction, now_us, now_mono_ns)

    def tick(self, now_us: int, now_mono_ns: int) -> None:
        """Apply what time alone brings: a few times a second, never ahead of events still to be fed."""
        self._advance(now_us, now_mono_ns)
        self.gatekeeper.tick(now_mono_ns, now_us)

    def _advance(self, now_us: int, now_mono_ns: int) -> None:
        """Decide everything that falls due until now, in the order in which it does."""
        while (due_ns := self._round_ns) <= now_mono_ns:
            if now_mono_ns - due_ns > MOST_BEHIND_NS:
                self._plan_round(now_mono_ns - self._every_ns)
                continue
            self.lifecycle.tick(due_ns)
            due_us = now_us - (now_mono_ns - due_ns) // _NS_PER_US
            if self.rates.legs:
                self.follow_rates(due_us, due_ns)
            self.gatekeeper.tick(due_ns, due_us)
            self._plan_round(due_ns)
        self.lifecycle.tick(now_mono_ns)

    def start(self, now_mono_ns: int) -> None:
        """Let nothing fall due before now; a replay does not know the clock when it configures."""
        self._round_ns = now_mono_ns
        self.lifecycle.wake(now_mono_ns)

    def _plan_round(self, now_mono_ns: int) -> None:
        """Rates are followed at every full second of the monotonic clock, prices sampled at every tenth."""
        every_ns = self._every_ns
        self._round_ns = (now_mono_ns // every_ns + 1) * every_ns
        self.lifecycle.wake(self._round_ns)

    @property
    def _every_ns(self) -> int:
        return RATES_EVERY_NS if self.rates.legs else SAMPLE_NS

    def follow_rates(self, now_us: int, now_mono_ns: int) -> None:
        """Reckon what currencies are worth, and judge what has other prices by it."""
        for leg in self._rescale(now_us, now_mono_ns):
            self._mark(leg)
            leg.market.reckon()
            for direction in (*leg.sells, *leg.buys):
                self._ask(direction, direction.us_at(now_mono_ns), now_mono_ns)

    def _rescale(self, now_us: int, now_mono_ns: int) -> list[Leg]:
        """Follow the rates; returns the legs whose prices are others now, or whose worth is known now."""
        self.rates.reckon(now_us, now_mono_ns)
        rescaled = []
        for quote, legs in self._priced_in.items():
            worth = self.rates.worths[quote]
            for leg in legs:
                if isnan(leg.worth) != isnan(worth) or (worth != leg.worth and leg.buy_reach == inf):
                    rescaled.append(leg)  # a size may be enough now or not, or what runs there is
                elif worth != leg.worth:
                    self._mark(leg)
                leg.worth = worth
        for needed, legs in self._converted.items():
            for leg in legs:
                scale = self.rates.current[needed] / leg.listing.multiplier
                if scale != leg.scale and not (isnan(scale) and isnan(leg.scale)):
                    leg.scale = scale
                    leg.price()
                    rescaled.append(leg)
        if self._publish_rates is not None:
            self._publish_rates(self.rates.current, now_mono_ns, now_us)
        return rescaled

    # --- output ----------------------------------------------------------------------------------

    def _mark(self, leg: Leg) -> None:
        if not leg.changed:
            leg.changed = True
            self.changed.append(leg)

    def take_changed(self) -> list[Leg]:
        """The legs that changed since the last call."""
        taken, self.changed = self.changed, []
        for leg in taken:
            leg.changed = False
        return taken

    def pair_legs(self) -> Iterator[tuple[int, int]]:
        """The numbers of both legs of every pair, exchange1's first."""
        for direction in self.directions[::2]:
            yield direction.sell.index, direction.buy.index


def _set_markets(legs: list[Leg]) -> None:
    """Set for every leg the others that count as the same symbol, and how far its directions reach."""
    by_symbol: dict[str, list[Leg]] = {}
    for leg in legs:
        by_symbol.setdefault(leg.listing.counts_as, []).append(leg)
    for same in by_symbol.values():
        market = Market(tuple(same))
        is_new = (
            same[0].market.legs != market.legs
        )  # others are others now: what they did before is forgotten
        market.marks = market.mids() if is_new else same[0].market.marks
        for leg in same:
            if is_new:
                leg.marks = market.marks
                if leg.swap is not None:
                    leg.swap.marks = market.marks
            leg.market = market
            leg.set_reach()
