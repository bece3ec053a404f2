"""Every instrument of a shard in one table: what was quoted when, how regularly, and what its silence means.

Pure: no sockets, no clock, no Django. Counting with numpy what came together costs a fraction of counting
one by one.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collectors.counts import BAD_TERMS, CROSSED, ZERO
from core.clock.clocks import STOOD_STILL, catch_up_ns
from markets.config import GateTerms, InstrumentConfig
from markets.events import StreamState
from monitoring.quality.states import states
from monitoring.quality.window import Window
from monitoring.quality.wire import DOWN, LIVE, QUIET

Places = NDArray[np.intp]

RHYTHM: Final = 1 / 16
"""How much the newest gap between two quotes counts in an instrument's usual gap, as in the scanner."""

SPREAD_EVERY_NS: Final = 5_000_000_000

NS_PER_MS: Final = 1e6

_INSTRUMENT: Final = np.dtype(
    [
        ("exchange", "<i4"),
        ("symbol", "<i4"),  # number of what it counts as: its neighbours have the same
        ("born_ns", "<i8"),  # since when it is watched
        ("up", "?"),
        ("up_ns", "<i8"),  # when it came up
        ("broken_ns", "<i8"),  # when its stream was last interrupted; 0: never
        ("excused", "?"),  # that was because this process stood still
        ("excused_ns", "<i8"),  # until when that excuses a silence; 0: it never did
        ("quoted_ns", "<i8"),  # when its last quote was received; 0: never
        ("late_ns", "<i8"),  # how old that was when it came
        ("gap_ms", "<f8"),
        ("spread_bps", "<f4"),
        ("spread_ns", "<i8"),  # when that was measured
        ("state", "u1"),
        ("since_us", "<i8"),
        ("minute_quotes", "<u4"),
        ("minute_longest_ms", "<f4"),
        ("minute_rejected", "<u4"),
    ]
)


class Instruments:
    """The table `each`, the `windows` of counts beside it, and the row of each instrument in both."""

    def __init__(self, now_ns: int) -> None:
        self.listed: list[InstrumentConfig] = []  # in the order of the rows
        self.places: dict[str, dict[str, int]] = {}  # exchange -> symbol -> row
        self.each: NDArray[np.void] = np.zeros(0, _INSTRUMENT)
        self.windows = _windows(0, now_ns)

    def set(self, wanted: list[InstrumentConfig], exchanges: list[str], now_us: int, now_ns: int) -> None:
        """Watch these; what stays keeps all that is known of it."""
        known = self.places
        self.places = {}
        for place, one in enumerate(wanted):
            self.places.setdefault(one.exchange, {})[one.symbol] = place
        old = np.array([known.get(one.exchange, {}).get(one.symbol, -1) for one in wanted], np.intp)
        new = np.flatnonzero(old >= 0)
        old = old[new]
        each = np.zeros(len(wanted), _INSTRUMENT)
        each["born_ns"], each["since_us"], each["state"] = now_ns, now_us, DOWN
        each["gap_ms"] = each["spread_bps"] = np.nan
        each[new] = self.each[old]
        each["exchange"] = [exchanges.index(one.exchange) for one in wanted]
        symbols = {symbol: n for n, symbol in enumerate({one.shard_key for one in wanted})}
        each["symbol"] = [symbols[one.shard_key] for one in wanted]
        self.each, self.listed = each, wanted
        self.windows = {name: window.moved(len(wanted), new, old) for name, window in self.windows.items()}

    # --- events ----------------------------------------------------------------------------------

    def turn(self, now_ns: int) -> None:
        """Go on to this moment."""
        for window in self.windows.values():
            window.turn(now_ns)

    def take_trades(self, place: Places) -> None:
        """Count trades, by the row of each."""
        self.windows["trades"].add(np.bincount(place, minlength=len(self.each)))

    def take_quotes(self, quotes: Sequence[Any], place: Places, mono_ns: NDArray[np.int64]) -> None:
        """Count quotes and follow them, by the row of each and when it was received."""
        here = self._count(place, mono_ns)
        last = np.zeros(len(self.each), np.intp)
        last[place] = np.arange(len(place))
        self.each["late_ns"][here] = [quotes[n].late_us * 1000 for n in last[here].tolist()]
        self._measure_spreads(quotes, last, here, int(mono_ns[-1]))

    def _count(self, place: Places, mono_ns: NDArray[np.int64]) -> Places:
        """Returns the rows that were quoted, each once."""
        counts = np.bincount(place, minlength=len(self.each))
        here = np.flatnonzero(counts)
        self.windows["quotes"].add(counts)
        self.windows["hour"].add(counts)
        each = self.each
        each["minute_quotes"] += counts.astype(np.uint32)
        before_ns = each["quoted_ns"][here]
        each["quoted_ns"][place[::-1]] = mono_ns[::-1]
        first_ns = each["quoted_ns"][here]
        each["quoted_ns"][place] = mono_ns  # of several at one place the last is kept
        self._follow_rhythm(here, counts[here], before_ns, first_ns)
        return here

    def _follow_rhythm(
        self, here: Places, counts: NDArray[np.intp], before_ns: NDArray[Any], first_ns: NDArray[Any]
    ) -> None:
        """Usual and longest gaps; one over an interruption is none."""
        each = self.each
        last_ns = each["quoted_ns"][here]
        known = before_ns > each["broken_ns"][here]
        gaps = np.where(known, counts, counts - 1)
        span_ms = np.maximum(last_ns - np.where(known, before_ns, first_ns), 0) / NS_PER_MS
        mean_ms = span_ms / np.maximum(gaps, 1)
        usual_ms = each["gap_ms"][here]
        fresh = 1 - (1 - RHYTHM) ** gaps
        usual_ms = np.where(np.isnan(usual_ms), mean_ms, usual_ms + (mean_ms - usual_ms) * fresh)
        each["gap_ms"][here] = np.where(gaps > 0, usual_ms, each["gap_ms"][here])
        to_first_ms = np.where(known, (first_ns - before_ns) / NS_PER_MS, 0.0)
        longest_ms = np.where(gaps > 0, np.maximum(mean_ms, to_first_ms), 0.0)
        each["minute_longest_ms"][here] = np.maximum(each["minute_longest_ms"][here], longest_ms)

    def _measure_spreads(self, quotes: Sequence[Any], last: Places, here: Places, now_ns: int) -> None:
        """Measure spreads of the last quotes, where it is due: nobody needs it as often as the lively ones
        quote.

        `last` is which of the `quotes` is the last of a place, for those that are `here`.
        """
        each = self.each
        due = here[now_ns - each["spread_ns"][here] >= SPREAD_EVERY_NS]
        if not len(due):
            return
        measured = [quotes[index] for index in last[due].tolist()]
        bid, ask = np.array([quote.bid for quote in measured]), np.array([quote.ask for quote in measured])
        each["spread_bps"][due] = (ask / bid - 1) * 1e4
        each["spread_ns"][due] = now_ns

    def take_state(self, state: StreamState, now_ns: int) -> None:
        """Follow a stream that came up, went down or was interrupted; `now_ns` is when that was read."""
        places = self.places.get(state.exchange, {})
        here = [place for symbol in state.symbols if (place := places.get(symbol)) is not None]
        each = self.each
        if state.state == "up":
            each["up"][here] = True
            each["up_ns"][here] = state.received_mono_ns
            return
        if state.state == "down":
            each["up"][here] = False
        own = stood_still(state)
        each["excused"][here] = own
        if own:
            until_ns = now_ns + catch_up_ns(now_ns - state.received_mono_ns)
            each["excused_ns"][here] = np.maximum(each["excused_ns"][here], until_ns)
        each["broken_ns"][here] = state.received_mono_ns
        for place in here:
            self.windows["gaps"].add_at(place, 1)
            self.windows["gaps_hour"].add_at(place, 1)

    def reject(self, exchange: str, symbol: str, kind: str, count: int) -> None:
        """Count quotes and trades that a feed refused, by its own name for why; no marks or funding."""
        if kind not in BAD_TERMS and (place := self.places.get(exchange, {}).get(symbol)) is not None:
            window = "crossed" if kind in CROSSED else "zero" if kind in ZERO else "refused"
            self.windows[window].add_at(place, count)
            self.each["minute_rejected"][place] += count

    # --- what their silence means ----------------------------------------------------------------

    def assess(self, terms: GateTerms, now_us: int, now_ns: int) -> None:
        """Say of every instrument what its silence means now."""
        each = self.each
        excused = self._excused()
        quoted, ended = each["quoted_ns"] > each["broken_ns"], each["broken_ns"] > each["up_ns"]
        silent_since_ns = np.maximum(each["quoted_ns"] - each["late_ns"], np.where(quoted, 0, each["up_ns"]))
        silent_ms = np.maximum(now_ns - np.maximum(silent_since_ns, each["excused_ns"]), 0) / NS_PER_MS
        found = states(
            each["up"], quoted | excused, ended & ~excused, silent_ms, each["gap_ms"],
            each["symbol"].astype(np.intp), each["exchange"].astype(np.intp), terms,
        )  # fmt: skip
        found[excused & (found == LIVE)] = QUIET  # nothing of it can be shown yet
        each["since_us"][(found != each["state"]) | (each["since_us"] > now_us)] = now_us
        each["state"] = found

    def _excused(self) -> NDArray[np.bool_]:
        """Mask of what has quoted and is interrupted because this process stood still."""
        each = self.each
        broken_ns = each["broken_ns"]
        here = each["excused"] & (broken_ns > each["up_ns"]) & (each["quoted_ns"] > 0)
        return np.asarray(here & (broken_ns >= each["quoted_ns"]))

    def unusable(self) -> NDArray[np.bool_]:
        """Mask of instruments whose last message since they came up was unusable."""
        each = self.each
        broken_ns = each["broken_ns"]
        ended = each["up"] & (broken_ns > each["up_ns"]) & (broken_ns >= each["quoted_ns"])
        return np.asarray(ended & ~each["excused"])

    def age_ms(self, now_ns: int) -> NDArray[np.float64]:
        """Age of every instrument's last quote; NaN where there was none."""
        quoted_ns = self.each["quoted_ns"]
        age_ms = np.maximum(now_ns - quoted_ns + self.each["late_ns"], 0) / NS_PER_MS
        return np.where(quoted_ns > 0, age_ms, np.nan)


def stood_still(state: StreamState) -> bool:
    """Whether a stream was interrupted because this process stood still: no fault of the exchange."""
    return state.reason.startswith(STOOD_STILL)


def _windows(instruments: int, now_ns: int) -> dict[str, Window]:
    minute, hour = (12, 5.0), (12, 300.0)
    return {
        "quotes": Window(instruments, *minute, np.uint32, now_ns),
        "trades": Window(instruments, *minute, np.uint32, now_ns),
        "hour": Window(instruments, *hour, np.uint32, now_ns),
        "crossed": Window(instruments, *minute, np.uint16, now_ns),
        "zero": Window(instruments, *minute, np.uint16, now_ns),
        "refused": Window(instruments, *minute, np.uint16, now_ns),
        "gaps": Window(instruments, *minute, np.uint16, now_ns),
        "gaps_hour": Window(instruments, *hour, np.uint16, now_ns),
    }
