"""Do two exchanges mean the same coin by a symbol? Evidence from prices, pair by pair.

The same coin costs about the same everywhere and moves together. So every 10 s the middle of every
book is sampled, and kept of each pair are

* the price ratio, a median over 5 minutes, so that a single odd tick decides nothing;
* the correlation of 30 s returns over 10 minutes, of the samples in which both prices moved. (Over
  10 s two honest books of one coin often correlate by no more than 0.3: each trembles by itself.)
* how often both moved the same way once what the whole market did is taken out of each: two coins that
  follow Bitcoin move together, but only one coin moves together by itself.

A pair is

`FAIL`     when the ratio is outside the wide band, or the correlation below the least by more than twice
           its own standard error: another coin;
`SURE`     when the prices are near each other, or were a moment ago, and enough moves beyond the market's
           agree: the same coin. A person's word makes it so, too;
`PASS`     when the prices are near each other: nothing speaks against it. If they were apart before, that
           is not enough: where the moves cannot be judged they must have been near for the whole 5 minutes;
`APART`    otherwise: nobody knows. A gap that stays while prices move is itself evidence;
`UNKNOWN`  before anything was compared.

A FAIL counts at once in this process, and a finding goes to the queue where a person decides. Before the
first sample the first two quotes decide, so no pair is trusted before its prices were compared; one look
alone makes no finding, three samples do. A person's word outweighs all evidence, a case in the queue fails
until somebody decided it, and a fund token fails unless somebody confirmed it (`markets.funds`).

What the market does is only known among enough coins: a process that follows few, like a replay of one, is
never SURE by statistics.

Plain Python and numpy, no Django, no clock. The work is done in slices, so that it never holds an
event loop for more than a few milliseconds.
"""

from collections.abc import Sequence
from math import isnan, log, log1p, nan
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from markets.config import GateTerms, IdentityVerdict, MarketConfig
from markets.events import IdentityFinding
from markets.funds import funds
from markets.selection import ScanPair
from realtime.legs import Leg

UNKNOWN, PASS, FAIL, SURE, APART = range(5)
VERDICTS: Final = (UNKNOWN, PASS, FAIL, PASS, UNKNOWN)
"""What each code says of an edge that is nothing out of the ordinary."""

SAMPLE_NS: Final = 10_000_000_000
RATIO_SAMPLES: Final = 30
RETURN_SAMPLES: Final = 60
RETURN_OVER: Final = 3
"""Samples that a return spans."""

MIN_MOVES: Final = 40
"""Samples in which both prices moved, before their correlation says anything."""

LEAST_COINS: Final = 10
"""Symbols that make a market: among fewer, what all do cannot be told from what one does."""

AGREEING: Final = 0.6
"""Share of moves beyond the market's that must have the same sign, with twice its standard error to spare."""

LEAP: Final = 5
"""A move so many times the market's usual one is a coin's own, and says nothing of how it follows."""

MEETINGS: Final = 3
"""Samples of the window in which prices that are apart now were near each other: the gap opens and closes."""

SAMPLES_OF_A_FINDING: Final = 3
REPEAT_NS: Final = 600_000_000_000
"""A pair's finding is told again at most this often, with fresh figures."""

SLICE: Final = 1_000
"""Pairs assessed at once: about 1 ms."""

_OVERLAP: Final = (2 * RETURN_OVER**2 + 1) / (3 * RETURN_OVER)
"""How many overlapping returns say as much as one that stands alone."""

Samples = NDArray[np.float32]
FORCED: Final = {"": UNKNOWN, "confirmed": SURE, "different": FAIL, "quarantined": FAIL}
"""What a case makes of the evidence: nothing without one."""


class Compared(Struct, frozen=True, gc=False):
    """A scanned pair and its two legs, in the order of its exchanges."""

    pair: ScanPair
    one: Leg
    two: Leg


class Identity:
    """The verdicts of one shard's pairs, by their places in the list it was configured with.

    `ratio`, `correlation` (NaN: not known yet) and `codes` are columns of all pairs. Memory: 90 float32
    and 3 float64 per leg, and about 100 bytes per pair.
    """

    def __init__(self) -> None:
        self.codes = bytearray()
        self.ratio: Samples = np.zeros(0, np.float32)
        self.correlation: Samples = np.zeros(0, np.float32)
        self._terms = GateTerms()
        self._compared: Sequence[Compared] = ()
        self._legs: dict[tuple[str, str, str, str, float], Leg] = {}
        self._one = self._two = np.zeros(0, np.intp)
        self._forced = np.zeros(0, np.uint8)
        self._wary = np.zeros(0, bool)  # their prices were apart, and nothing has cleared that since
        self._settled: frozenset[str] = frozenset()
        self._market: Samples = np.full((RETURN_SAMPLES, 1), nan, np.float32)
        self._set_rings(0)
        self._has_market = False
        self._samples = 0
        self._next_ns = 0
        self._next_pair = 0
        self._told_ns: dict[str, int] = {}
        self._findings: list[IdentityFinding] = []

    # --- configuration ---------------------------------------------------------------------------

    def configure(self, compared: Sequence[Compared], config: MarketConfig) -> None:
        """Take over pairs and decisions; legs that stay as they are keep their samples."""
        wary = {each.pair.id for each, flag in zip(self._compared, self._wary, strict=True) if flag}
        self._terms = config.gates
        self._compared = compared
        self._set_legs(compared)
        self._set_decisions(compared, config)
        self.ratio = np.full(len(compared), nan, np.float32)
        self.correlation = np.full(len(compared), nan, np.float32)
        self.codes = bytearray(len(compared))
        self._wary = np.fromiter((each.pair.id in wary for each in compared), bool, len(compared))
        ids = {each.pair.id for each in compared} if self._told_ns else set()
        self._told_ns = {id: ns for id, ns in self._told_ns.items() if id in ids}
        for start in range(0, len(compared), SLICE):
            self._assess(slice(start, start + SLICE))
        self._next_pair = len(compared)

    def _set_legs(self, compared: Sequence[Compared]) -> None:
        old, logs, returns, last = self._legs, self._logs, self._returns, self._last
        self._legs = {_key(leg): leg for each in compared for leg in (each.one, each.two)}
        self._set_rings(len(self._legs))
        places = {key: place for place, key in enumerate(self._legs)}
        if kept := [(places[key], place) for place, key in enumerate(old) if key in places]:
            new, before = np.array(kept).T
            self._logs[:, new], self._returns[:, new] = logs[:, before], returns[:, before]
            self._last[:, new] = last[:, before]
        self._has_market = len({leg.listing.counts_as for leg in self._legs.values()}) >= LEAST_COINS
        self._one = np.array([places[_key(each.one)] for each in compared], np.intp)
        self._two = np.array([places[_key(each.two)] for each in compared], np.intp)

    def _set_rings(self, legs: int) -> None:
        self._logs: Samples = np.full((RATIO_SAMPLES, legs), nan, np.float32)
        self._returns: Samples = np.full((RETURN_SAMPLES, legs), nan, np.float32)
        self._last = np.full((RETURN_OVER, legs), nan)

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

    def tick(self, now_mono_ns: int, now_ts_us: int) -> None:
        """Sample when it is time, and assess the next slice of pairs; to be called a few times a second."""
        if now_mono_ns >= self._next_ns:
            self._next_ns = now_mono_ns + SAMPLE_NS
            self._sample()
            self._next_pair = 0
        if self._next_pair < len(self._compared):
            chosen = slice(self._next_pair, self._next_pair + SLICE)
            self._next_pair += SLICE
            self._report(chosen, self._assess(chosen), now_mono_ns, now_ts_us)

    def _sample(self) -> None:
        mids = (nan if leg.jumped else leg.bid + leg.ask for leg in self._legs.values())
        logs = np.log(np.fromiter(mids, float, len(self._legs)) / 2)
        self._logs[self._samples % RATIO_SAMPLES] = logs
        before = self._last[self._samples % RETURN_OVER]
        returns = logs - before
        self._returns[self._samples % RETURN_SAMPLES] = returns
        self._market[self._samples % RETURN_SAMPLES] = self._market_return(returns)
        before[:] = logs
        self._samples += 1

    def _market_return(self, returns: NDArray[np.float64]) -> float:
        """What the middle one of those that moved did; NaN among too few coins."""
        moved = returns[(returns != 0) & ~np.isnan(returns)]
        return float(np.median(moved)) if self._has_market and len(moved) else nan

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
        error = (1 - correlation**2) * np.sqrt(_OVERLAP / np.maximum(moves, 1))
        astray = correlation + 2 * error < terms.identity_min_correlation
        codes, forced = np.frombuffer(self.codes, np.uint8)[chosen], self._forced[chosen]
        near = np.abs(median) <= _near(terms)
        meetings = np.count_nonzero(np.abs(logs) <= _near(terms), axis=0)
        agreed = agreement(returns1, returns2, self._market)
        sure = (near | (meetings >= MEETINGS)) & (agreed >= AGREEING)
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
            if pair.id in self._settled or now_mono_ns - self._told_ns.get(pair.id, -REPEAT_NS) < REPEAT_NS:
                continue
            self._told_ns[pair.id] = now_mono_ns
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
    """What is held of pairs in the queue, by the pair's id, whichever way round the case names them."""
    return {
        f"{case.symbol}|{one}|{two}": case.verdict
        for case in config.identities
        for one, two in ((case.exchange1, case.exchange2), (case.exchange2, case.exchange1))
    }


def medians(samples: Samples) -> tuple[Samples, NDArray[np.intp]]:
    """Median and number of each column's values, NaN left out."""
    ordered = np.sort(samples, axis=0)  # NaN last
    count = np.count_nonzero(~np.isnan(samples), axis=0)
    columns = np.arange(samples.shape[1])
    lower = ordered[np.maximum(count - 1, 0) // 2, columns]
    upper = ordered[count // 2, columns]
    return (lower + upper) / 2, count


def correlations(one: Samples, two: Samples) -> tuple[Samples, NDArray[np.intp]]:
    """Correlation of each pair of columns over the samples in which both moved, and their number.

    NaN where fewer than MIN_MOVES did.
    """
    product = one * two
    moved = (product != 0) & ~np.isnan(product)
    x, y = np.where(moved, one, 0), np.where(moved, two, 0)
    n = np.count_nonzero(moved, axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = _sums(x, y) - x.sum(axis=0) * y.sum(axis=0) / n
        spread = np.sqrt(_variance(x, n) * _variance(y, n))
        return np.where(n >= MIN_MOVES, covariance / spread, nan).astype(np.float32), n


def agreement(one: Samples, two: Samples, market: Samples) -> Samples:
    """Share of each pair of columns' moves that go the same way beyond what the market's explain.

    It is less twice its own standard error, and NaN where fewer than MIN_MOVES say anything. Signs are
    counted, not sizes, so that one leap of one price, as every opportunity begins with, decides nothing.
    """
    same = np.sign(_beyond(one, market)) * np.sign(_beyond(two, market))
    n = np.count_nonzero(same, axis=0)
    share = np.count_nonzero(same > 0, axis=0) / np.maximum(n, 1)
    error = np.sqrt(share * (1 - share) * _OVERLAP / np.maximum(n, 1))
    return np.where(n >= MIN_MOVES, share - 2 * error, nan)


def _beyond(returns: Samples, market: Samples) -> Samples:
    """What of each column's moves the market's do not explain, by least squares; 0 where it did not move."""
    moved = (returns != 0) & ~np.isnan(returns) & ~np.isnan(market)
    own, common = np.where(moved, returns, 0), np.where(moved, market, 0)
    calm = np.abs(own) <= (LEAP * np.nanmean(np.abs(market)) if np.any(~np.isnan(market)) else 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = _sums(own * calm, common) / _sums(common * calm, common)
    beyond: Samples = own - np.nan_to_num(share) * common
    return beyond


def _near(terms: GateTerms) -> float:
    """How far apart two logarithms of near prices are at most; float32 keeps a tenth of a basis point."""
    return log1p(terms.identity_near_pct / 100) + 1e-5


def _variance(values: Samples, n: NDArray[np.intp]) -> Any:
    return _sums(values, values) - values.sum(axis=0) ** 2 / n


def _sums(one: Samples, two: Samples) -> Any:
    return np.einsum("ij,ij->j", one, two)


def _key(leg: Leg) -> tuple[str, str, str, str, float]:
    """What makes samples comparable: an instrument under the same terms."""
    listing = leg.listing
    return listing.exchange, listing.symbol, listing.native_id, listing.counts_as, listing.multiplier
