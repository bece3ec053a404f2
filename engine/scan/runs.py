"""One excursion of a direction above a threshold: a candidate first, then an episode, with its figures.

Plain Python, no Django, no clock. `engine.scan.lifecycle` says when it begins, opens and ends.
"""

from hashlib import blake2b
from math import isnan
from typing import Final, Literal

from core.clock.clocks import JUMP_S, ended_us, steady_us
from engine.gates.depth import Depth
from engine.scan.directions import Direction
from engine.scan.legs import Leg
from engine.scan.moves import Move
from engine.scan.terms import Terms
from markets.config import FilterConfig
from markets.events import Episode, EpisodePhase, LegPrice, Moment

NEVER_NS: Final = 2**63
"""Later than any clock shows."""

_NS_PER_MS: Final = 1_000_000
_NS_PER_US: Final = 1_000
_AS_USUAL_US: Final = int(JUMP_S * 1e6)
"""A wall clock that is ahead of the last judgement by no more than this was not set."""


class Run:
    """One excursion of one direction above one filter's threshold: a candidate, then an episode.

    `edge`, `size` and both stamps are of the last judgement; they hold until the next. Peak and mean are
    of the same time: from the start, while enough was executable. So the mean is never above the peak.
    """

    __slots__ = (
        "depth",
        "direction",
        "edge",
        "ending",
        "enough",
        "follows",
        "gates",
        "idle_ns",
        "least",
        "move",
        "opened",
        "over",
        "peak",
        "peak_edge",
        "peak_is_news",
        "published_ns",
        "seen_ns",
        "seen_us",
        "shallow_since_ns",
        "short_since_ns",
        "size",
        "started_ns",
        "started_us",
        "terms",
        "trigger",
        "weighted",
    )  # fmt: skip

    def __init__(
        self,
        direction: Direction,
        follows: FilterConfig,
        terms: Terms,
        depth: Depth,
        now: tuple[int, int],
    ) -> None:
        now_us, now_mono_ns = now
        self.depth = depth
        self.direction = direction
        self.follows = follows
        self.terms = terms
        self.least = terms.min_size
        self.started_us = self.seen_us = now_us
        self.started_ns = self.seen_ns = self.published_ns = now_mono_ns
        self.edge = self.size = 0.0
        self.enough = False  # whether that size is worth the least
        self.weighted = 0.0  # edge × ns since the start, while enough was executable
        self.idle_ns = 0  # how long too little was
        self.short_since_ns: int | None = None  # since when too little is executable
        self.shallow_since_ns: int | None = None  # since when the books leave too little at its size
        self.opened: Moment | None = None  # None: a candidate
        self.peak: Moment | None = None
        self.peak_edge = -NEVER_NS * 1.0
        self.peak_is_news = False
        self.gates: tuple[str, ...] = ()
        self.ending: Moment | None = None  # how it stood before a new configuration changed its legs
        self.over = False
        self.move: Move | None = None  # what it opened together with
        self.trigger = _newest_side(direction)  # whose quote made it a candidate

    def see(self, edge_bps: float, size: float, now_us: int, now_mono_ns: int) -> None:
        """Take over what holds from now on. Neither clock goes back: quotes of two lines may cross."""
        held_ns = now_mono_ns - self.seen_ns
        if held_ns > 0:
            if self.enough:
                self.weighted += self.edge * held_ns
            else:
                self.idle_ns += held_ns
            self.seen_ns = now_mono_ns
        if 0 <= now_us - self.seen_us <= _AS_USUAL_US:  # the question alone would cost a fifth of all this
            self.seen_us = now_us
        else:
            self.seen_us = steady_us(self.seen_us, now_us, held_ns)
        self.edge = edge_bps
        self.size = size
        self.enough = size * self.direction.buy.worth >= self.least if self.least > 0 else size >= 0

    def us_at(self, mono_ns: int) -> int:
        """The wall clock at a moment since the last judgement, from what was stamped then."""
        return self.seen_us + (mono_ns - self.seen_ns) // _NS_PER_US

    def mean_at(self, mono_ns: int) -> float:
        """The edge, weighted by time, from the start until a moment since the last judgement."""
        weighted, weighed_ns = self.weighted, self.seen_ns - self.started_ns - self.idle_ns
        if self.enough and mono_ns > self.seen_ns:
            weighted += self.edge * (mono_ns - self.seen_ns)
            weighed_ns += mono_ns - self.seen_ns
        return min(weighted / weighed_ns, self.peak_edge) if weighed_ns else self.peak_edge


def top(run: Run) -> None:
    """Make the present edge its peak."""
    run.peak = moment_of(run, run.seen_us, run.seen_ns)
    run.peak_edge = run.edge


def ending_of(run: Run, now_us: int, now_mono_ns: int) -> Moment | None:
    """Earnings there were at the close; None where that is not known.

    A side may be gone, or its price not believed yet; and what is above the peak was never executable.
    """
    buy, sell = run.direction.buy, run.direction.sell
    if isnan(buy.ask) or isnan(sell.bid) or buy.jumped or sell.jumped or run.edge > run.peak_edge:
        return None
    return moment_of(run, ended_us(run.seen_us, now_us, now_mono_ns - run.seen_ns), now_mono_ns)


def moment_of(run: Run, ts_us: int, now_mono_ns: int) -> Moment:
    """How it stands, with both legs as they are."""
    direction = run.direction
    buy, sell = _price(direction.buy, now_mono_ns), _price(direction.sell, now_mono_ns)
    depth = run.depth.measured(direction, run.follows.my_size, now_mono_ns)
    return Moment(ts_us, run.edge, run.size, buy, sell, depth)


def _price(leg: Leg, now_mono_ns: int) -> LegPrice:
    age_ms = (now_mono_ns - leg.received_mono_ns) / _NS_PER_MS
    return LegPrice(leg.exchange, leg.bid, leg.bid_size, leg.ask, leg.ask_size, age_ms, leg.taker_fee_bps)


def episode_of(run: Run, phase: EpisodePhase, now_mono_ns: int) -> Episode:
    """The story so far. Its id follows from what it is, so publishing it twice makes no second one."""
    assert run.opened is not None and run.peak is not None  # noqa: S101, PT018 - for the type checker  # nosec B101 # decides nothing
    pair = run.direction.pair
    moved_on, moved_side = (run.move.mover if run.move else None) or ("", "")
    return Episode(
        id=id_of(run),
        phase=phase,
        filter_id=run.follows.id,
        filter_name=run.follows.name,
        symbol=pair.symbol,
        exchange1=pair.pair.exchange1,
        exchange2=pair.pair.exchange2,
        buy_on=run.direction.buy.exchange,
        sell_on=run.direction.sell.exchange,
        started_us=run.started_us,
        opened=run.opened,
        peak=run.peak,
        mean_edge_bps=run.mean_at(now_mono_ns),
        gates=run.gates,
        move=run.move.id if run.move else "",
        moved_on=moved_on,
        moved_side=moved_side,
    )


def id_of(run: Run) -> str:
    named = f"{run.direction.pair.id}|{run.direction.buy.exchange}|{run.follows.id}|{run.started_us}"
    return blake2b(named.encode(), digest_size=16).hexdigest()


def _newest_side(direction: Direction) -> Literal["buy", "sell"] | None:
    """The side whose quote came last; None: both at once."""
    ahead_ns = direction.buy.received_mono_ns - direction.sell.received_mono_ns
    return None if ahead_ns == 0 else "buy" if ahead_ns > 0 else "sell"
