"""Do two exchanges mean the same coin by a symbol? Evidence from prices, pair by pair.

The same coin costs about the same everywhere and moves together. So every 10 s the middle of every
book is sampled, and kept of each pair are

* the price ratio, a median over 5 minutes, so that a single odd tick decides nothing;
* the correlation of 30 s returns over 10 minutes, of the samples in which both prices moved. (Over
  10 s two honest books of one coin often correlate by no more than 0.3: each trembles by itself.)
* how often both moved the same way once what the whole market did is taken out of each: two coins that
  follow Bitcoin move together, but only one coin moves together by itself. Moves that are no larger than
  what is uncertain about the market say nothing.

A pair is

`FAIL`     when the ratio is outside the wide band, or the correlation below the least by more than twice
           its own standard error: another coin;
`SURE`     when enough moves beyond the market's agree, and the prices are no further apart than a premium
           explains, or were near each other a moment ago: the same coin. A person's word makes it so, too;
`PASS`     when the prices are near each other: nothing speaks against it. If they were apart before, that
           is not enough: where the moves cannot be judged they must have been near for the whole 5 minutes;
`APART`    otherwise: nobody knows. A wide gap that stays while prices move is itself evidence;
`UNKNOWN`  before anything was compared.

A FAIL counts at once in this process, and a finding goes to the queue where a person decides. Before the
first sample the first two quotes decide, so no pair is trusted before its prices were compared; one look
alone makes no finding, three samples do. A person's word outweighs all evidence, a case in the queue fails
until somebody decided it, and a fund token fails unless somebody confirmed it (`markets.funds`).

What the market does is only known among enough coins: a process that follows few is never SURE by statistics.

Plain Python and numpy, no Django, no clock. The work is done in slices, so that it never holds an
event loop for more than a few milliseconds.
"""

from collections.abc import Sequence
from math import isnan, log, log1p, nan
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from core.names.chart_ids import chart_id_of
from engine.scan.legs import Leg
from engine.scan.returns import (
    MIN_MOVES,
    OVERLAP,
    RETURN_OVER,
    RETURN_SAMPLES,
    MarketMoves,
    Samples,
    Signs,
    agreement,
    correlations,
    medians,
    own_moves,
)
from markets.config import GateTerms, IdentityVerdict, MarketConfig
from markets.events import IdentityFinding
from markets.funds import funds
from markets.selection import ScanPair

__all__ = [
    "APART",
    "FAIL",
    "MIN_MOVES",
    "PASS",
    "PREMIUM",
    "RETURN_OVER",
    "SAMPLE_NS",
    "SURE",
    "UNKNOWN",
    "VERDICTS",
    "Compared",
    "Identity",
    "correlations",
    "decisions",
    "medians",
]

UNKNOWN, PASS, FAIL, SURE, APART = range(5)
VERDICTS: Final = (UNKNOWN, PASS, FAIL, PASS, UNKNOWN)
"""What each code says of an edge that is nothing out of the ordinary."""

SAMPLE_NS: Final = 10_000_000_000
RATIO_SAMPLES: Final = 30
PREMIUM: Final = 0.1
"""How far apart prices of one coin may stay, as a share: closed wallets make a premium, and moves prove it. A
gap beyond that stays between a token and its wrapped, staked or leveraged form, whose moves agree as well."""

AGREEING: Final = 0.75
"""Share of own moves that must have the same sign, with twice its standard error to spare."""

STILL_AGREEING: Final = 0.6
"""Coins that were proven stay so until less of their moves agree; a quiet hour takes nothing back."""

MEETINGS: Final = 3
"""Samples of the window in which prices further apart than a premium were near each other."""

SAMPLES_OF_A_FINDING: Final = 3
REPEAT_NS: Final = 600_000_000_000
"""A pair's finding is reported again at most this often, with fresh figures."""

SLICE: Final = 1_000
"""Pairs assessed at once: about 1 ms."""

FORCED: Final = {"": UNKNOWN, "confirmed": SURE, "different": FAIL, "quarantined": FAIL}
"""What a case makes of the evidence: nothing without one."""


class Compared(Struct, frozen=True, gc=False):
    """A scanned pair and its two legs, in the order of its exchanges."""

    pair: ScanPair
    one: Leg
    two: Leg


class Identity:
    """The verdicts of one shard's pairs, by their places in the list it was configured with.

    With a `market` of several, each samples when that took what all did; otherwise when it is time.
    `ratio`, `correlation` (NaN: not known yet) and `codes` are columns of all pairs. Memory: 90 float32
    and 3 float64 per leg, and about 100 bytes per pair.
    """

    def __init__(self, market: MarketMoves | None = None) -> None:
        self.codes = bytearray()
        self.ratio: Samples = np.zeros(0, np.float32)
        self.correlation: Samples = np.zeros(0, np.float32)
        self._terms = GateTerms()
        self._compared: Sequence[Compared] = ()
        self._legs: dict[tuple[str, str, str, str, float], Leg] = {}
        self._one = self._two = np.zeros(0, np.intp)
        self._forced = np.zeros(0, np.uint8)
        self._wary = np.zeros(0, bool)  # their prices were apart, and nothing has cleared that since
        self._sure = np.zeros(0, bool)  # their moves agree
        self._settled: frozenset[str] = frozenset()
        self._market = market or MarketMoves()
        self._is_market = market is None
        self._coins = np.zeros(0, np.intp)
        self._set_rings(0)
        self._samples = 0
        self._next_ns = 0
        self._next_pair = 0
        self._reported_ns: dict[str, int] = {}
        self._findings: list[IdentityFinding] = []

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, compared: Sequence[Compared], config: MarketConfig) -> None:
        """Take over pairs and decisions; legs that stay as they are keep their samples."""
        self._terms = config.gates
        self._compared = compared
        self._set_legs(compared)
        self._set_decisions(compared, config)
        self.ratio = np.full(len(compared), nan, np.float32)
        self.correlation = np.full(len(compared), nan, np.float32)
        self.codes = bytearray(len(compared))
        ids = {each.pair.id for each in compared} if self._reported_ns else set()
        self._reported_ns = {id: ns for id, ns in self._reported_ns.items() if id in ids}
        for start in range(0, len(compared), SLICE):
            self._assess(slice(start, start + SLICE))
        self._next_pair = len(compared)

    def _set_legs(self, compared: Sequence[Compared]) -> None:
        """Give every leg its column, and every pair what was known of it, where both its legs stay."""
        before, self._legs = self._legs, {_key(leg): leg for each in compared for leg in (each.one, each.two)}
        places = {key: place for place, key in enumerate(self._legs)}
        columns = np.fromiter((places.get(key, -1) for key in before), np.intp, len(before))
        old = self._rings()
        self._set_rings(len(self._legs))
        stay = np.flatnonzero(columns >= 0)
        for ring, was in zip(self._rings(), old, strict=True):
            ring[:, columns[stay]] = was[:, stay]
        one, two = self._one, self._two
        self._one = np.fromiter((places[_key(each.one)] for each in compared), np.intp, len(compared))
        self._two = np.fromiter((places[_key(each.two)] for each in compared), np.intp, len(compared))
        was_pairs, pairs = (columns[one], columns[two]), (self._one, self._two)
        self._wary, self._sure = (
            _carried(flags, was_pairs, pairs, len(self._legs)) for flags in (self._wary, self._sure)
        )
        symbols = [leg.listing.counts_as for leg in self._legs.values()]
        numbers = {symbol: number for number, symbol in enumerate(sorted(set(symbols)))}
        self._coins = np.array([numbers[symbol] for symbol in symbols], np.intp)

    def _set_rings(self, legs: int) -> None:
        self._logs: Samples = np.full((RATIO_SAMPLES, legs), nan, np.float32)
        self._returns: Samples = np.full((RETURN_SAMPLES, legs), nan, np.float32)
        self._last: NDArray[np.float64] = np.full((RETURN_OVER, legs), nan)
        self._signs: Signs = np.zeros((RETURN_SAMPLES, legs), np.int8)

    def _rings(self) -> tuple[NDArray[Any], ...]:
        """The samples of all legs, each array with a column per leg."""
        return self._logs, self._returns, self._last, self._signs

    def _set_decisions(self, compared: Sequence[Compared], config: MarketConfig) -> None:
        decided = decisions(config)
        different = funds(config)
        self._forced = np.zeros(len(compared), np.uint8)
        settled = {id for id, verdict in decided.items() if verdict != "quarantined"}
        for place, each in enumerate(compared if decided or different else ()):
            pair = each.pair
            self._forced[place] = FORCED[decided.get(pair.id, "")]
            if pair.symbol in different and pair.id not in decided:
                self._forced[place] = FAIL
                settled.add(pair.id)
        self._settled = frozenset(settled)

    # --- verdicts --------------------------------------------------------------------------------

    def verdict(self, place: int) -> int:
        """UNKNOWN, PASS or FAIL; a pair that was not sampled yet is decided by its two quotes."""
        return VERDICTS[self.codes[place] or self._first_look(place)]

    def is_proven(self, place: int) -> bool:
        """Whether it is known to be the same coin, not only unsuspicious."""
        return self.codes[place] == SURE

    def _first_look(self, place: int) -> int:
        each = self._compared[place]
        ratio = (each.one.bid + each.one.ask) / (each.two.bid + each.two.ask)
        if isnan(ratio):
            return UNKNOWN
        self.ratio[place] = ratio
        apart = abs(log(ratio))
        if apart > log(self._terms.identity_max_ratio):
            self.codes[place] = FAIL
        else:
            self.codes[place] = PASS if apart <= _near(self._terms) else APART
        return self.codes[place]

    def take_findings(self) -> list[IdentityFinding]:
        """The pairs that were found to differ since the last call."""
        findings, self._findings = self._findings, []
        return findings

    # --- evidence --------------------------------------------------------------------------------

    def begin(self, now_mono_ns: int) -> None:
        """Sample from the next multiple of `SAMPLE_NS` on: all that see the same quotes sample the same."""
        if self._next_ns == 0:
            self._next_ns = (now_mono_ns // SAMPLE_NS + 1) * SAMPLE_NS

    def tick(self, now_mono_ns: int, now_ts_us: int) -> None:
        """Sample when it is time, and assess the next slice of pairs; to be called a few times a second."""
        if self._is_market and now_mono_ns >= self._next_ns:
            self._next_ns = (now_mono_ns // SAMPLE_NS + 1) * SAMPLE_NS
            self._market.take(self.moves(), self._coins)
        if self._market.taken > self._samples:
            self._sample()
            self._next_pair = 0
        if self._next_pair < len(self._compared):
            chosen = slice(self._next_pair, self._next_pair + SLICE)
            self._next_pair += SLICE
            self._report(chosen, self._assess(chosen), now_mono_ns, now_ts_us)

    def moves(self) -> NDArray[np.float64]:
        """The return of every leg up to now, as the next sample will take it."""
        mids = (nan if leg.jumped else leg.bid + leg.ask for leg in self._legs.values())
        self._newest = np.log(np.fromiter(mids, float, len(self._legs)) / 2)
        moves: NDArray[np.float64] = self._newest - self._last[self._samples % RETURN_OVER]
        return moves

    def _sample(self) -> None:
        returns = self.moves()
        self._logs[self._samples % RATIO_SAMPLES] = self._newest
        self._returns[self._samples % RETURN_SAMPLES] = returns
        self._last[self._samples % RETURN_OVER] = self._newest
        for start in range(0, len(self._coins), SLICE):
            chosen = slice(start, start + SLICE)
            self._signs[:, chosen] = own_moves(self._returns[:, chosen], self._market)
        self._samples += 1

    def _assess(self, chosen: slice) -> NDArray[np.bool_]:
        """Set figures and verdicts of these pairs; answers which ones a person should look at."""
        one, two, terms = self._one[chosen], self._two[chosen], self._terms
        logs = self._logs[:, one] - self._logs[:, two]
        median, samples = medians(logs)
        returns1, returns2 = self._returns[:, one], self._returns[:, two]
        correlation, moves = correlations(returns1, returns2)
        sampled = samples > 0
        self.ratio[chosen][sampled] = np.exp(median[sampled])
        self.correlation[chosen] = correlation
        apart = np.abs(median) > log(terms.identity_max_ratio)
        error = (1 - correlation**2) * np.sqrt(OVERLAP / np.maximum(moves, 1))
        astray = correlation + 2 * error < terms.identity_min_correlation
        codes, forced = np.frombuffer(self.codes, np.uint8)[chosen], self._forced[chosen]
        near = np.abs(median) <= _near(terms)
        meetings = np.count_nonzero(np.abs(logs) <= _near(terms), axis=0)
        agreed = agreement(self._signs[:, one], self._signs[:, two])
        agrees = (agreed >= AGREEING) | (self._sure[chosen] & ~(agreed < STILL_AGREEING))
        sure = ((np.abs(median) <= log1p(PREMIUM)) | (meetings >= MEETINGS)) & agrees
        self._sure[chosen] = sure
        wary = self._wary[chosen]
        wary[sampled & ~near] = True
        wary[sure | (np.isnan(agreed) & (meetings == RATIO_SAMPLES))] = False
        found = np.select([apart | astray, sure, near & ~wary], [FAIL, SURE, PASS], APART)
        codes[sampled] = found[sampled]
        codes[forced != UNKNOWN] = forced[forced != UNKNOWN]
        return np.asarray((apart | astray) & (samples >= SAMPLES_OF_A_FINDING))

    def _report(self, chosen: slice, found: NDArray[np.bool_], now_mono_ns: int, now_ts_us: int) -> None:
        for place in chosen.start + np.flatnonzero(found):
            pair = self._compared[place].pair
            if (
                pair.id in self._settled
                or now_mono_ns - self._reported_ns.get(pair.id, -REPEAT_NS) < REPEAT_NS
            ):
                continue
            self._reported_ns[pair.id] = now_mono_ns
            correlation = float(self.correlation[place])
            self._findings.append(
                IdentityFinding(
                    pair.symbol,
                    pair.pair.exchange1,
                    pair.pair.exchange2,
                    float(self.ratio[place]),
                    None if isnan(correlation) else correlation,
                    now_ts_us,
                )
            )


def decisions(config: MarketConfig) -> dict[str, IdentityVerdict]:
    """Decisions on pairs in the queue, by the pair's id, whichever way round the case names them."""
    return {
        chart_id_of(case.symbol, one, two): case.verdict
        for case in config.identities
        for one, two in ((case.exchange1, case.exchange2), (case.exchange2, case.exchange1))
    }


Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]


def _carried(flags: NDArray[np.bool_], before: Pairs, now: Pairs, legs: int) -> NDArray[np.bool_]:
    """The flags of pairs, by their legs' columns of now, from those they had; -1 is a leg that is gone."""
    one, two = before
    raised = flags & (one >= 0) & (two >= 0)
    found: NDArray[np.bool_] = np.isin(now[0] * legs + now[1], (one * legs + two)[raised])
    return found


def _near(terms: GateTerms) -> float:
    """How far apart two logarithms of near prices are at most; float32 keeps a tenth of a basis point."""
    return log1p(terms.identity_near_pct / 100) + 1e-5


def _key(leg: Leg) -> tuple[str, str, str, str, float]:
    """Key of comparable samples: an instrument under the same terms."""
    listing = leg.listing
    return listing.exchange, listing.symbol, listing.native_id, listing.counts_as, listing.multiplier
