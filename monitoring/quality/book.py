"""What a collector knows of its own data: rates, rhythm, latency and rejects, by symbol and exchange.

Pure: no sockets, no clock, no Django. It takes events in batches, because counting with numpy what came
together costs a fraction of counting one by one. What the numbers mean is in docs/quality.md.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from collectors.counts import (
    BAD_TIMES,
    CROSSED,
    EMPTY,
    LATE,
    MALFORMED,
    OUT_OF_ORDER,
    RECONNECTS,
    UNKNOWN,
    ZERO,
)
from core.clock.clocks import STOOD_STILL, catch_up_ns
from markets.config import GateTerms, InstrumentConfig, MarketConfig
from markets.events import FeedReport, Quote, SinkEvent, StreamState, Trade
from monitoring.quality.connections import Connections
from monitoring.quality.latency import Latencies, latency
from monitoring.quality.states import states
from monitoring.quality.window import Window
from monitoring.quality.wire import (
    DOWN,
    LIVE,
    MINUTE_ROW,
    NO_SPREAD,
    QUIET,
    SYMBOL_ROW,
    SYMBOL_STATES,
    ExchangeQuality,
    Rows,
)

Places = NDArray[np.intp]
Owns = Callable[[str], bool]

RHYTHM: Final = 1 / 16
"""How much the newest gap between two quotes counts in an instrument's usual gap, as in the scanner."""

SPREAD_EVERY_NS: Final = 5_000_000_000

FORGOTTEN_S: Final = 10.0
"""An exchange whose feed reports no more is no longer collected here."""

HELD_MARGIN_US: Final = 1_000_000
"""What was sent so long before a process was held up may have been on its way to it."""

_NS_PER_MS: Final = 1e6
_MINUTE_S, _HOUR_S = 60.0, 3_600.0

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


class DataQuality:
    """Every instrument and exchange of one shard. Memory is bounded by the configuration."""

    def __init__(self, now_ns: int) -> None:
        self.unknown = 0  # events of instruments that are not configured (any more)
        self.layout = 0  # rises whenever `names` says something else
        self.exchanges: list[str] = []
        self.latencies = Latencies(0, now_ns)
        self._instruments: list[InstrumentConfig] = []
        self._places: dict[str, dict[str, int]] = {}  # exchange -> symbol ->
        self._terms = GateTerms()
        self._each: NDArray[np.void] = np.zeros(0, _INSTRUMENT)
        self._connections: dict[str, Connections] = {}
        self._spoke_ns = np.zeros(0, np.int64)  # by exchange: its last quote or trade
        self._refusals: dict[str, str] = {}  # by exchange: why a quote of it could not be used, the newest
        self._windows = _windows(0, now_ns)
        self._held_us = (0, 0)
        self._now_ns = now_ns

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, config: MarketConfig, owns: Owns, now_us: int, now_ns: int) -> None:
        """Follow a configuration; what stays keeps all that is known of it."""
        self._terms = config.gates
        are_others = self._set_exchanges(sorted(each.key for each in config.exchanges), now_ns)
        wanted = sorted(
            (each for each in config.instruments if owns(each.shard_key)),
            key=lambda each: (each.exchange, each.symbol),
        )
        if are_others or wanted != self._instruments:
            self._set_instruments(wanted, now_us, now_ns)

    def _set_exchanges(self, keys: list[str], now_ns: int) -> bool:
        """Whether they are others: then the numbers by which instruments name theirs are, too."""
        if keys == self.exchanges:
            return False
        self.exchanges = keys
        self.latencies = Latencies(len(keys), now_ns)
        self._spoke_ns = np.zeros(len(keys), np.int64)
        return True

    def _set_instruments(self, wanted: list[InstrumentConfig], now_us: int, now_ns: int) -> None:
        known = self._places
        self._places = {}
        for place, one in enumerate(wanted):
            self._places.setdefault(one.exchange, {})[one.symbol] = place
        old = np.array([known.get(one.exchange, {}).get(one.symbol, -1) for one in wanted], np.intp)
        new = np.flatnonzero(old >= 0)
        old = old[new]
        each = np.zeros(len(wanted), _INSTRUMENT)
        each["born_ns"], each["since_us"], each["state"] = now_ns, now_us, DOWN
        each["gap_ms"] = each["spread_bps"] = np.nan
        each[new] = self._each[old]
        each["exchange"] = [self.exchanges.index(one.exchange) for one in wanted]
        symbols = {symbol: n for n, symbol in enumerate({one.shard_key for one in wanted})}
        each["symbol"] = [symbols[one.shard_key] for one in wanted]
        self._each, self._instruments = each, wanted
        self.layout += 1
        self._windows = {name: window.moved(len(wanted), new, old) for name, window in self._windows.items()}

    # --- events ----------------------------------------------------------------------------------

    def take(self, events: Sequence[SinkEvent], now_ns: int) -> None:
        """Count what was received together, in order."""
        self._now_ns = now_ns
        self.latencies.turn(now_ns)
        for window in self._windows.values():
            window.turn(now_ns)
        said, places = self._placed(events)
        if not said:
            return
        place = np.array(places, np.intp)
        mono_ns = np.array([event.received_mono_ns for event in said], np.int64)
        self._hear(said, place, mono_ns)
        is_quote = np.array([type(event) is Quote for event in said])
        quotes = np.flatnonzero(is_quote)
        if len(quotes) < len(said):
            self._windows["trades"].add(np.bincount(place[~is_quote], minlength=len(self._each)))
            place, mono_ns = place[quotes], mono_ns[quotes]
        if len(quotes):
            here = self._count_quotes(place, mono_ns)
            last = np.zeros(len(self._each), np.intp)
            last[place] = quotes
            self._each["late_ns"][here] = [said[n].late_us * 1000 for n in last[here].tolist()]
            self._measure_spreads(said, last, here, int(mono_ns[-1]))

    def held_up(self, since_us: int, until_us: int) -> None:
        """This process stood still (wall clock): how late what was sent meanwhile comes is our own doing.

        So it is of what is sent while we catch up, which may take as long again.
        """
        self._held_us = since_us - HELD_MARGIN_US, until_us + (until_us - since_us)

    def _placed(self, events: Sequence[Any]) -> tuple[Sequence[Any], list[int]]:
        """Quotes and trades of known instruments, and their places; mostly that is all there are."""
        places = self._places
        try:
            return events, [places[event.exchange][event.symbol] for event in events]
        except (KeyError, AttributeError):
            said = [event for event in events if isinstance(event, Quote | Trade)]
            self._take_others(events)
            nowhere: dict[str, int] = {}
            known = [event for event in said if event.symbol in places.get(event.exchange, nowhere)]
            self.unknown += len(said) - len(known)
            return known, [places[event.exchange][event.symbol] for event in known]

    def _take_others(self, events: Iterable[SinkEvent]) -> None:
        for event in events:
            if isinstance(event, StreamState):
                self._take_state(event)
            elif isinstance(event, FeedReport):
                self._take_report(event)

    def _count_quotes(self, place: Places, mono_ns: NDArray[np.int64]) -> Places:
        """Returns the places that were quoted, each once."""
        counts = np.bincount(place, minlength=len(self._each))
        here = np.flatnonzero(counts)
        self._windows["quotes"].add(counts)
        self._windows["hour"].add(counts)
        each = self._each
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
        each = self._each
        last_ns = each["quoted_ns"][here]
        known = before_ns > each["broken_ns"][here]
        gaps = np.where(known, counts, counts - 1)
        span_ms = np.maximum(last_ns - np.where(known, before_ns, first_ns), 0) / _NS_PER_MS
        mean_ms = span_ms / np.maximum(gaps, 1)
        usual_ms = each["gap_ms"][here]
        fresh = 1 - (1 - RHYTHM) ** gaps
        usual_ms = np.where(np.isnan(usual_ms), mean_ms, usual_ms + (mean_ms - usual_ms) * fresh)
        each["gap_ms"][here] = np.where(gaps > 0, usual_ms, each["gap_ms"][here])
        to_first_ms = np.where(known, (first_ns - before_ns) / _NS_PER_MS, 0.0)
        longest_ms = np.where(gaps > 0, np.maximum(mean_ms, to_first_ms), 0.0)
        each["minute_longest_ms"][here] = np.maximum(each["minute_longest_ms"][here], longest_ms)

    def _hear(self, events: Sequence[Any], place: Places, mono_ns: NDArray[np.int64]) -> None:
        """When exchanges last spoke, and how late they do."""
        exchange = self._each["exchange"][place].astype(np.intp)
        self._spoke_ns[exchange] = mono_ns
        received_us = (mono_ns + _wall_clock_ns(events)) / 1e3
        sent_us = np.array([event.exchange_ts_us for event in events], np.float64)  # None becomes NaN
        since_us, until_us = self._held_us
        sent_us[(sent_us >= since_us) & (sent_us <= until_us)] = np.nan
        self.latencies.take(exchange, (received_us - sent_us) / 1e3)

    def _take_state(self, state: StreamState) -> None:
        places = self._places.get(state.exchange, {})
        here = [place for symbol in state.symbols if (place := places.get(symbol)) is not None]
        each = self._each
        if state.state == "up":
            each["up"][here] = True
            each["up_ns"][here] = state.received_mono_ns
            return
        if state.state == "down":
            each["up"][here] = False
        own = state.reason.startswith(STOOD_STILL)
        each["excused"][here] = own
        if own:
            until_ns = self._now_ns + catch_up_ns(self._now_ns - state.received_mono_ns)
            each["excused_ns"][here] = np.maximum(each["excused_ns"][here], until_ns)
        elif state.state == "gap":
            self._refusals[state.exchange] = state.reason
        each["broken_ns"][here] = state.received_mono_ns
        for place in here:
            self._windows["gaps"].add_at(place, 1)
            self._windows["gaps_hour"].add_at(place, 1)

    def _take_report(self, report: FeedReport) -> None:
        connections = self._connections.get(report.exchange)
        if connections is None:
            self._connections[report.exchange] = Connections(report)
            self.layout += 1
            return
        places = self._places.get(report.exchange, {})
        for (symbol, kind), count in connections.take(report).items():
            if (place := places.get(symbol)) is not None:
                window = "crossed" if kind in CROSSED else "zero" if kind in ZERO else "refused"
                self._windows[window].add_at(place, count)
                self._each["minute_rejected"][place] += count

    # --- reports ---------------------------------------------------------------------------------

    def assess(self, now_us: int, now_ns: int) -> None:
        """Say of every instrument what its silence means now."""
        self._forget_feeds(now_ns)
        each = self._each
        excused = self._excused()
        quoted, ended = each["quoted_ns"] > each["broken_ns"], each["broken_ns"] > each["up_ns"]
        silent_since_ns = np.maximum(each["quoted_ns"] - each["late_ns"], np.where(quoted, 0, each["up_ns"]))
        silent_ms = np.maximum(now_ns - np.maximum(silent_since_ns, each["excused_ns"]), 0) / _NS_PER_MS
        found = states(
            each["up"], quoted | excused, ended & ~excused, silent_ms, each["gap_ms"],
            each["symbol"].astype(np.intp), each["exchange"].astype(np.intp), self._terms,
        )  # fmt: skip
        found[excused & (found == LIVE)] = QUIET  # nothing of it can be shown yet
        each["since_us"][(found != each["state"]) | (each["since_us"] > now_us)] = now_us
        each["state"] = found

    def _excused(self) -> NDArray[np.bool_]:
        """What has quoted and is interrupted because this process stood still."""
        each = self._each
        broken_ns = each["broken_ns"]
        here = each["excused"] & (broken_ns > each["up_ns"]) & (each["quoted_ns"] > 0)
        return np.asarray(here & (broken_ns >= each["quoted_ns"]))

    def _unusable(self) -> NDArray[np.bool_]:
        """Of which instruments the last thing to come was nothing usable, since they came up."""
        each = self._each
        broken_ns = each["broken_ns"]
        ended = each["up"] & (broken_ns > each["up_ns"]) & (broken_ns >= each["quoted_ns"])
        return np.asarray(ended & ~each["excused"])

    def names(self) -> list[tuple[str, str]]:
        """Exchange and symbol of every row: the instruments of exchanges that are collected here."""
        here = self._connections
        return [(each.exchange, each.symbol) for each in self._instruments if each.exchange in here]

    def rows(self, now_ns: int) -> Rows:
        """`SYMBOL_ROW`s, as of the last `assess`."""
        each, windows = self._each, self._windows
        rows = np.zeros(len(each), SYMBOL_ROW)
        for name in ("state", "up", "since_us", "gap_ms", "spread_bps"):
            rows[name] = each[name]
        rows["age_ms"] = self._age_ms(now_ns)
        born_ns = each["born_ns"]
        rows["quotes_per_min"] = windows["quotes"].rate(_MINUTE_S, born_ns, now_ns)
        rows["trades_per_min"] = windows["trades"].rate(_MINUTE_S, born_ns, now_ns)
        rows["updates_per_hour"] = windows["hour"].rate(_HOUR_S, born_ns, now_ns)
        rows["crossed_per_min"] = windows["crossed"].total()
        rows["zero_per_min"] = windows["zero"].total()
        rows["refused_per_min"] = windows["refused"].total()
        rows["gaps_per_hour"] = windows["gaps_hour"].total()
        return rows[self._collected()]

    def take_minute(self, now_ns: int) -> Rows:
        """`MINUTE_ROW`s of the time since the last call."""
        each = self._each
        silent_ms = np.nan_to_num(self._age_ms(now_ns), nan=_MINUTE_S * 1_000)
        longest_ms = np.maximum(each["minute_longest_ms"], silent_ms)
        spread = np.clip(np.nan_to_num(each["spread_bps"], nan=np.inf) * 10, 0, NO_SPREAD)
        rows = np.zeros(len(each), MINUTE_ROW)
        rows["quotes"] = np.minimum(each["minute_quotes"], 65_535)
        rows["spread"] = np.where(each["minute_quotes"] > 0, spread, NO_SPREAD)
        rows["longest_gap"] = np.minimum(longest_ms / 100, 65_535)
        rows["rejected"] = np.minimum(each["minute_rejected"], 255)
        each["minute_quotes"] = each["minute_rejected"] = 0
        each["minute_longest_ms"] = 0.0
        return rows[self._collected()]

    def exchange_rows(self, now_ns: int) -> list[ExchangeQuality]:
        """Every exchange that is collected here, as of the last `assess`."""
        counts, longest_ms = self.latencies.counts(), self.latencies.longest_ms()
        offsets_ms = self.latencies.clock_offset_ms()
        unusable, age_ms = self._unusable(), self._age_ms(now_ns)
        sums = self._sums(now_ns)
        rows = []
        for number, key in enumerate(self.exchanges):
            connections = self._connections.get(key)
            if connections is None:
                continue
            report, spoke_ns = connections.report, int(self._spoke_ns[number])
            offset_ms = float(offsets_ms[number])
            here = self._each["exchange"] == number
            rows.append(
                ExchangeQuality(
                    exchange=key,
                    state=report.state,
                    since_us=connections.since_us,
                    reason=report.reason,
                    connections=report.connections,
                    topics=report.topics,
                    refused=report.refused,
                    symbols=self._state_counts(number),
                    heard_ms=_ms_since(report.heard_mono_ns, now_ns),
                    age_ms=_ms_since(spoke_ns, now_ns),
                    quote_age_ms=_least(age_ms[here]),
                    excused_ms=_ms_since(int(self._each["excused_ns"][here].max(initial=0)), now_ns),
                    unusable=int(unusable[here].sum()),
                    unusable_reason=self._refusals.get(key, "") if unusable[here].any() else "",
                    latency=latency(counts[number], float(longest_ms[number])),
                    clock_offset_ms=None if offset_ms != offset_ms else offset_ms,  # noqa: PLR0124 - NaN
                    reconnects_per_min=connections.per_min(RECONNECTS),
                    malformed_per_min=connections.per_min(MALFORMED),
                    unknown_per_min=connections.per_min(UNKNOWN),
                    crossed_per_min=connections.per_min(CROSSED),
                    zero_per_min=connections.per_min(ZERO),
                    empty_per_min=connections.per_min(EMPTY),
                    late_per_min=connections.per_min(LATE),
                    out_of_order_per_min=connections.per_min(OUT_OF_ORDER),
                    bad_times_per_min=connections.per_min(BAD_TIMES),
                    latencies=counts[number].tobytes(),
                    **{name: float(values[number]) for name, values in sums.items()},
                )
            )
        return rows

    def _sums(self, now_ns: int) -> dict[str, NDArray[Any]]:
        """The rates of all instruments of each exchange together."""
        each, windows = self._each, self._windows
        rates = {
            "quotes_per_min": windows["quotes"].rate(_MINUTE_S, each["born_ns"], now_ns),
            "trades_per_min": windows["trades"].rate(_MINUTE_S, each["born_ns"], now_ns),
            "updates_per_hour": windows["hour"].rate(_HOUR_S, each["born_ns"], now_ns),
            "gaps_per_min": windows["gaps"].total(),
        }
        many = len(self.exchanges)
        return {
            name: np.bincount(each["exchange"], weights=values, minlength=many)
            for name, values in rates.items()
        }

    def _state_counts(self, exchange: int) -> dict[Any, int]:
        here = self._each["state"][self._each["exchange"] == exchange]
        counts = np.bincount(here, minlength=len(SYMBOL_STATES))
        return {name: int(count) for name, count in zip(SYMBOL_STATES, counts, strict=True)}

    def _forget_feeds(self, now_ns: int) -> None:
        for key, connections in list(self._connections.items()):
            if now_ns - connections.report.received_mono_ns > FORGOTTEN_S * 1e9:
                del self._connections[key]
                self.layout += 1

    def _collected(self) -> NDArray[np.bool_]:
        """Which instruments are of exchanges that are collected here."""
        here = np.array([key in self._connections for key in self.exchanges], bool)
        return np.asarray(here[self._each["exchange"]])

    def _age_ms(self, now_ns: int) -> NDArray[np.float64]:
        """Of every instrument's last quote; NaN where there was none."""
        quoted_ns = self._each["quoted_ns"]
        age_ms = np.maximum(now_ns - quoted_ns + self._each["late_ns"], 0) / _NS_PER_MS
        return np.where(quoted_ns > 0, age_ms, np.nan)

    def _measure_spreads(self, said: Sequence[Any], last: Places, here: Places, now_ns: int) -> None:
        """Of the last quotes, where it is due: nobody needs it as often as the lively ones quote.

        `last` is where in what was `said` the last quote of a place is, for those that are `here`.
        """
        each = self._each
        due = here[now_ns - each["spread_ns"][here] >= SPREAD_EVERY_NS]
        if not len(due):
            return
        measured = [said[index] for index in last[due].tolist()]
        bid, ask = np.array([quote.bid for quote in measured]), np.array([quote.ask for quote in measured])
        each["spread_bps"][due] = (ask / bid - 1) * 1e4
        each["spread_ns"][due] = now_ns


def _wall_clock_ns(events: Sequence[Any]) -> int:
    """What the wall clock is ahead of the monotonic one; cheaper than to ask every event for both.

    Of three, as a process may be held up between reading the one and the other.
    """
    some = (events[0], events[len(events) // 2], events[-1])
    return max(int(event.received_ts_us * 1000 - event.received_mono_ns) for event in some)


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


def _least(ages_ms: NDArray[np.float64]) -> float | None:
    known = ages_ms[~np.isnan(ages_ms)]
    return float(known.min()) if len(known) else None


def _ms_since(then_ns: int, now_ns: int) -> float | None:
    return max(0, now_ns - then_ns) / _NS_PER_MS if then_ns else None
