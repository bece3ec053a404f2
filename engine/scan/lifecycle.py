"""Lifecycle from edges to episodes: when an opportunity opens, peaks and closes, once per excursion however
noisy.

Plain Python, no Django, no clock. The rules, and why a replay has the same story, are in
docs/opportunities.md.
"""

from collections.abc import Iterable, Mapping
from heapq import heappop, heappush
from itertools import count
from math import isnan, nan
from typing import Final, Literal, Protocol

from core.clock.clocks import ended_us
from core.names import formats as wording
from core.names.symbols import base_of, quote_of
from engine.gates.depth import Asked, Depth
from engine.pricing import edge_bps, fee_factors, spread_pct
from engine.scan.directions import Direction
from engine.scan.moves import Moves, Opening
from engine.scan.runs import NEVER_NS, Run, ending_of, episode_of, id_of, moment_of, top
from engine.scan.terms import Terms
from markets.config import FilterConfig, MarketConfig
from markets.events import Episode, LegPrice, Moment, OpportunityEvent
from markets.fees.book import Fees
from markets.worth.reference import REFERENCE

CHECK_NS: Final = 250_000_000
"""How often the gates of what runs are asked, besides the moments at which it begins."""

STILL_NS: Final = 60_000_000_000
"""When nothing was judged for so long, checks in the past are left out: they would all find the same."""

PEAK_NS: Final = 1_000_000_000
"""A new peak is published once in this time at most."""

SHORT_SIZE_NS: Final = 1_000_000_000
"""How long too little may be executable before an open episode closes: sizes tremble more than prices. So
long the books may leave too little at a filter's own size, too."""


Key = tuple[str, str, int]
"""A pair, the exchange where one buys, and the filter that follows it."""


class Gatekeeper(Protocol):
    """Verdict of the gates on a direction; the size has a rule of its own here."""

    def blocked(
        self, direction: Direction, follows: FilterConfig, now_mono_ns: int, *, is_open: bool = False
    ) -> str:
        """Closed gate, in words; empty when none is. What is open may be held where nothing would open."""

    def doubts(self, direction: Direction, now_mono_ns: int) -> tuple[str, ...]:
        """The gates that are not known to pass, as `wallets: unknown`."""


class Lifecycle:
    """Follows the directions of one shard. The scanner judges; `take` hands over what happened.

    `judge` is called for a direction that reaches its trigger, or that runs, at every quote of either
    leg and when a leg is lost (the edge is NaN then). Before a quote or state is taken over at or after
    `due_ns`, `tick` must be called: what falls due before it is decided on what was known then. So when
    ticks happen otherwise changes nothing.

    Memory is bounded by the configuration: one run per direction and filter.
    """

    def __init__(self, gatekeeper: Gatekeeper, depth: Depth | None = None) -> None:
        self.due_ns = NEVER_NS
        self.opened = 0
        self.closed = 0
        self._gatekeeper = gatekeeper
        self._depth = depth or Depth()
        self._terms: dict[int, Terms] = {}
        self._names: dict[str, str] = {}
        self._agenda: list[tuple[int, int, Run]] = []
        self._alarm_ns = NEVER_NS
        self._number = count()
        self._events: list[Episode] = []
        self._moves = Moves()
        self._at_once: set[tuple[Key, int]] = set()  # what ended in the very instant in which it began

    def settle(self, now_us: int, now_mono_ns: int) -> None:
        """Decide what is due, before a new configuration changes prices and fees under what runs.

        What ends by that configuration ends as it stands now.
        """
        self.tick(now_mono_ns)
        for run in self._running():
            run.ending = ending_of(run, now_us, now_mono_ns)

    def configure(
        self, directions: Iterable[Direction], config: MarketConfig, now_us: int, now_mono_ns: int
    ) -> None:
        """Take over filters and directions. What runs on goes on where both stay as they are.

        Edges may be others now: everything is to be judged afterwards, and then `check`ed.
        """
        running = {_key_of(run.direction, run.follows): run for run in self._running()}
        for run in running.values():
            run.direction.running = ()
        names = {(run.direction.pair.symbol, run.direction.buy.exchange) for run in running.values()}
        self._names = {row.key: row.name for row in config.exchanges}
        filters = {row.id: row for row in config.filters if row.min_edge_bps is not None}
        self._terms = {id: Terms.of(row, config.gates) for id, row in filters.items()}
        for direction in directions if names else ():
            if (direction.pair.symbol, direction.buy.exchange) not in names:
                continue
            for follows in direction.filters:
                key = _key_of(direction, follows)
                if key in running and running[key].terms == self._terms[follows.id]:
                    _carry_on(running.pop(key), direction, follows)
        for run in running.values():
            self._end(run, self._why_gone(run), now_us, now_mono_ns)

    def check(self, now_mono_ns: int) -> None:
        """Ask the gates of everything that runs: their thresholds may be others now."""
        for run in self._running():
            self._check(run, now_mono_ns)

    def _why_gone(self, run: Run) -> str:
        terms = self._terms.get(run.follows.id)
        if terms is None:
            return "filter disabled"
        return "filter changed" if terms != run.terms else "the filter no longer follows this pair"

    def judge(
        self, direction: Direction, edge_bps: float, size: float, now_us: int, now_mono_ns: int
    ) -> None:
        """Take over what a direction's edge (bps) and executable size (quote currency) are from now on."""
        if (direction.buy.jumped or direction.sell.jumped) and not isnan(edge_bps):
            return  # not believed until the next quote confirms it; what was before holds
        running = direction.running
        for run in running:
            self._follow(run, edge_bps, size, now_us, now_mono_ns)
        if len(running) < len(direction.filters):
            self._begin(direction, edge_bps, size, now_us, now_mono_ns)

    def _follow(self, run: Run, edge_bps: float, size: float, now_us: int, now_mono_ns: int) -> None:
        """Flat, as it runs per quote of what is open."""
        terms = run.terms
        if edge_bps > terms.doubted_bps and (blocked := self._blocked(run, now_mono_ns)):
            run.see(edge_bps, size, now_us, now_mono_ns)
            self._end(run, blocked, now_us, now_mono_ns)
            return
        if run.opened is None:
            if not (edge_bps >= terms.open_bps and terms.is_enough(run.direction, size)):
                self._drop(run)
                return
            run.see(edge_bps, size, now_us, now_mono_ns)
            if edge_bps > run.peak_edge:
                top(run)
            return
        if not edge_bps >= terms.close_bps:
            if not isnan(edge_bps):
                run.see(edge_bps, size, now_us, now_mono_ns)
            self._end(run, _why_fallen(run, edge_bps, self._names), now_us, now_mono_ns)
            return
        run.see(edge_bps, size, now_us, now_mono_ns)
        if run.enough:
            run.short_since_ns = None
            if edge_bps > run.peak_edge:
                self._rise(run)
        elif run.short_since_ns is None:
            run.short_since_ns = now_mono_ns

    def _begin(
        self, direction: Direction, edge_bps: float, size: float, now_us: int, now_mono_ns: int
    ) -> None:
        followed = {run.follows.id for run in direction.running}
        for follows in direction.filters:
            terms = self._terms[follows.id]
            if (
                not (edge_bps >= terms.open_bps and terms.is_enough(direction, size))
                or follows.id in followed
            ):
                continue
            if self._gatekeeper.blocked(direction, follows, now_mono_ns):
                continue
            if terms.depth is not None and not self._depth.leaves(direction, terms.depth, now_mono_ns):
                continue
            started_us = self._start_of(_key_of(direction, follows), now_us)
            run = Run(direction, follows, terms, self._depth, (started_us, now_mono_ns))
            run.see(edge_bps, size, now_us, now_mono_ns)
            top(run)
            direction.running = (*direction.running, run)
            direction.watch()
            if terms.hold_ns == 0:
                self._open(run, now_mono_ns)
            self._plan(run, now_mono_ns)

    def _start_of(self, key: Key, now_us: int) -> int:
        """Start of a run: an id follows from that, so two of one instant, as around a setting, differ."""
        while (key, now_us) in self._at_once:
            now_us += 1
        return now_us

    # --- what falls due ----------------------------------------------------------------------------

    def tick(self, now_mono_ns: int) -> None:
        """Decide what is due until now: candidates that held, gates that closed, peaks not published yet."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= now_mono_ns:
            due_ns, _, run = heappop(agenda)
            if not run.over:
                self._check(run, due_ns)
                if not run.over:
                    # Who was stopped for an hour has not an hour of checks to make up for.
                    stood_still = due_ns - run.seen_ns >= STILL_NS
                    self._plan(run, max(due_ns, now_mono_ns) if stood_still else due_ns)
        self._know_due()

    def wake(self, alarm_ns: int) -> None:
        """Let `due_ns` be no later than this: the caller compares one number only."""
        self._alarm_ns = alarm_ns
        self._know_due()

    def _know_due(self) -> None:
        self.due_ns = min(self._agenda[0][0], self._alarm_ns) if self._agenda else self._alarm_ns

    def _plan(self, run: Run, now_mono_ns: int) -> None:
        due_ns = now_mono_ns + CHECK_NS
        if run.opened is None:
            due_ns = min(due_ns, run.started_ns + run.terms.hold_ns)
        heappush(self._agenda, (due_ns, next(self._number), run))
        if due_ns < self.due_ns:  # noqa: PLR1730
            self.due_ns = due_ns

    def _check(self, run: Run, due_ns: int) -> None:
        """Check what holds since the last judgement again because time passed."""
        blocked = self._blocked(run, due_ns)
        if not blocked and run.terms.depth is not None:
            blocked = self._too_shallow(run, run.terms.depth, due_ns)
        if run.opened is None:
            if blocked:
                self._drop(run)
            elif due_ns >= run.started_ns + run.terms.hold_ns:
                self._open(run, due_ns)
            return
        short_ns = 0 if run.short_since_ns is None else due_ns - run.short_since_ns
        if short_ns >= SHORT_SIZE_NS:
            blocked = blocked or _too_little(run)
        if blocked:
            self._end(run, blocked, run.us_at(due_ns), due_ns)
        elif run.peak_is_news:
            self._publish_peak(run, due_ns)

    def _too_shallow(self, run: Run, asked: Asked, due_ns: int) -> str:
        """Words for what its books lack at the filter's size; of what is open, once that lasts."""
        if self._depth.leaves(run.direction, asked, due_ns):
            run.shallow_since_ns = None
            return ""
        if run.shallow_since_ns is None:
            run.shallow_since_ns = due_ns
        if run.opened is not None and due_ns - run.shallow_since_ns < SHORT_SIZE_NS:
            return ""
        return self._depth.lack(run.direction, asked, due_ns)

    def _blocked(self, run: Run, now_mono_ns: int) -> str:
        is_open = run.opened is not None
        return self._gatekeeper.blocked(run.direction, run.follows, now_mono_ns, is_open=is_open)

    # --- episodes ----------------------------------------------------------------------------------

    def _open(self, run: Run, now_mono_ns: int) -> None:
        """The candidate held."""
        run.opened = moment_of(run, run.us_at(now_mono_ns), now_mono_ns)
        run.published_ns = now_mono_ns
        run.gates = self._gatekeeper.doubts(run.direction, now_mono_ns)
        self._join_move(run, now_mono_ns)
        self.opened += 1
        self._events.append(episode_of(run, "open", now_mono_ns))

    def _join_move(self, run: Run, now_mono_ns: int) -> None:
        """Open as a part of what moved; when that shows now who moved, the routes before learn it, too."""
        direction = run.direction
        coin = base_of(direction.pair.symbol)
        opening = Opening(id_of(run), coin, direction.buy.exchange, direction.sell.exchange, run.trigger)
        move = self._moves.join(opening, now_mono_ns)
        if move.mover != move.published:
            move.published = move.mover
            for other in move.runs:
                other.peak_is_news = True
        move.runs.append(run)
        run.move = move

    def _rise(self, run: Run) -> None:
        top(run)
        run.peak_is_news = True
        self._publish_peak(run, run.seen_ns)

    def _publish_peak(self, run: Run, now_mono_ns: int) -> None:
        if now_mono_ns - run.published_ns >= PEAK_NS:
            run.published_ns = now_mono_ns
            run.peak_is_news = False
            self._events.append(episode_of(run, "peak", now_mono_ns))

    def _end(self, run: Run, reason: str, now_us: int, now_mono_ns: int) -> None:
        """Close an episode as of now, or forget a candidate."""
        self._drop(run)
        if run.opened is None:
            return
        episode = episode_of(run, "close", now_mono_ns)
        episode.closed = run.ending or ending_of(run, now_us, now_mono_ns)
        episode.closed_us = ended_us(run.seen_us, now_us, now_mono_ns - run.seen_ns)
        episode.reason = reason
        if run.started_us >= now_us:
            self._at_once = {each for each in self._at_once if each[1] >= now_us}
            self._at_once.add((_key_of(run.direction, run.follows), run.started_us))
        self.closed += 1
        self._events.append(episode)
        if run.move is not None:
            run.move.runs.remove(run)

    def _drop(self, run: Run) -> None:
        run.over = True
        direction = run.direction
        direction.running = tuple(each for each in direction.running if each is not run)
        direction.watch()

    def stop(self, reason: str, now_us: int, now_mono_ns: int) -> None:
        """Close everything that is open."""
        for run in self._running():
            self._end(run, reason, now_us, now_mono_ns)

    def take(self) -> list[Episode]:
        """Take what opened, peaked and closed since the last call, in order."""
        events, self._events = self._events, []
        return events

    def _running(self) -> list[Run]:
        return [run for _, _, run in sorted(self._agenda) if not run.over]


def _key_of(direction: Direction, follows: FilterConfig) -> Key:
    return direction.pair.id, direction.buy.exchange, follows.id


def _carry_on(run: Run, direction: Direction, follows: FilterConfig) -> None:
    """Go on as a direction of the new configuration."""
    run.direction, run.follows, run.ending = direction, follows, None
    direction.running = (*direction.running, run)
    direction.watch()


def _why_fallen(run: Run, edge_bps: float, names: Mapping[str, str]) -> str:
    """Why an edge is not at the closing threshold any more, in words."""
    if not isnan(edge_bps):
        return f"edge fell below {run.terms.close_bps:.1f} bps"
    for leg in (run.direction.buy, run.direction.sell):
        name = names.get(leg.exchange, leg.exchange)
        if not leg.up:
            return f"{name}: stream down: {leg.reason}"
        if isnan(leg.bid):
            return f"{name}: no usable quote: {leg.reason or 'waiting for the next'}"
    return "no edge"


def _too_little(run: Run) -> str:
    if isnan(run.direction.value(run.size)):
        return f"executable size: what a {quote_of(run.direction.pair.symbol)} is worth is unknown"
    return f"executable size below {wording.amount(run.terms.min_size)} {REFERENCE}"


def opportunity_events(
    episodes: Iterable[Episode], taker_fees: Fees | Mapping[str, float]
) -> list[OpportunityEvent]:
    """Events that the lake keeps of episodes: both directions at the opening and at the close.

    Fees are those of the moment; `taker_fees` are a configuration's, or fractions per exchange, for a moment
    that does not say them. Where a leg was gone at the close nothing is known: NaN.
    """
    events = []
    for each in episodes:
        if each.phase == "open":
            events.append(_event(each, "open", each.opened.ts_us, each.opened, taker_fees))
        elif each.phase == "close" and each.closed_us is not None:
            events.append(_event(each, "close", each.closed_us, each.closed, taker_fees))
    return events


def _event(
    episode: Episode,
    event: Literal["open", "close"],
    ts_us: int,
    moment: Moment | None,
    taker_fees: Fees | Mapping[str, float],
) -> OpportunityEvent:
    values = (nan,) * 5
    if moment is not None:
        legs = {leg.exchange: leg for leg in (moment.buy, moment.sell)}
        one, two = legs[episode.exchange1], legs[episode.exchange2]
        fee1, fee2 = (_taker_fee(leg, episode.symbol, taker_fees) for leg in (one, two))
        values = _values(one, two, fee1, fee2)
    return OpportunityEvent(
        episode.symbol, episode.exchange1, episode.exchange2, episode.filter_id, event, ts_us, *values,
        episode.buy_on, episode.sell_on,
    )  # fmt: skip


def _taker_fee(leg: LegPrice, symbol: str, taker_fees: Fees | Mapping[str, float]) -> float:
    if leg.taker_fee_bps is not None:
        return leg.taker_fee_bps / 10_000
    return (
        taker_fees.taker(leg.exchange, symbol) if isinstance(taker_fees, Fees) else taker_fees[leg.exchange]
    )


def _values(
    one: LegPrice, two: LegPrice, fee1: float, fee2: float
) -> tuple[float, float, float, float, float]:
    """Spread, both edges and both sizes, as a chart's points have them."""
    factor12, factor21 = fee_factors(fee1, fee2)
    return (
        spread_pct(one.bid, two.bid),
        edge_bps(one.bid, two.ask, factor12),
        edge_bps(two.bid, one.ask, factor21),
        min(one.bid_size, two.ask_size) * two.ask,
        min(two.bid_size, one.ask_size) * one.ask,
    )
