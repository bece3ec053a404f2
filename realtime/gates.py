"""Why a pair is, or is not, an opportunity: every condition with its value, its threshold and its verdict.

Each gate has one verdict per direction. A gate blocks unless it passes: what is not known does not
count as passed. Wallets are the one exception, because most exchanges tell nothing of them without
keys: there unknown does not block, unless a filter asks for open ones. What each gate means, and what
to do about it, is in docs/gates.md.

Verdicts are kept as bits, so that a table of all pairs is judged as quickly as one direction: what is
known beforehand (`Facts.beforehand`), what the two legs say (`leg_bits`), the size and the identity are
simply or-ed; a gate that fails on one leg fails.

Plain Python and numpy, no Django. The words are English; pages show the gates' names in the viewer's
language.
"""

from collections.abc import Mapping
from functools import lru_cache
from math import isnan, nan
from typing import Any, Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from markets.config import ExchangeConfig, FilterConfig, GateTerms, ListingConfig, MarketConfig
from markets.selection import ScanPair
from realtime import freshness, wallets, wording
from realtime.identity import FAIL, PASS
from realtime.legs import Leg

Verdict = Literal["pass", "fail", "unknown"]

GATES: Final = (
    "freshness", "status", "sanity", "identity", "fees", "size", "volume", "wallets", "rate",
)  # fmt: skip
"""In the order they are shown. Each has one verdict per direction, `freshness` its two legs in one."""

_COUNT: Final = len(GATES)
FAILED: Final = (1 << _COUNT) - 1
"""The bits of verdict "fail", one per gate in their order; those of "unknown" lie `_COUNT` above."""


def bit(gate: str, verdict: Verdict) -> int:
    """The bit that says so; nothing to say where it passes."""
    if verdict == "pass":
        return 0
    place = 1 << GATES.index(gate)
    return place if verdict == "fail" else place << _COUNT


_TOLERATED: Final = bit("wallets", "unknown")
_SIZE: Final = bit("size", "fail") | bit("size", "unknown")
_DOWN: Final = bit("freshness", "fail")
_NO_QUOTE: Final = bit("sanity", "unknown")
_NONSENSE: Final = bit("sanity", "fail")
_NO_RATE: Final = bit("rate", "unknown")
_OFF_PEG: Final = bit("rate", "fail")
_TOO_SMALL: Final = bit("size", "fail")
_NO_SIZE: Final = bit("size", "unknown")
IDENTITY: Final = (bit("identity", "unknown"), bit("identity", "pass"), bit("identity", "fail"))
"""By the codes of `realtime.identity`: UNKNOWN, PASS, FAIL."""
_UNPROVEN: Final = bit("identity", "unknown")
STALE: Final = _DOWN
"""What `freshness.is_doubtful` of a leg makes of a direction."""

Bits = NDArray[np.uint32]


class Gate(Struct, frozen=True):
    """One condition: `value` and `threshold` for people, with units; `words` says it all in a sentence."""

    name: str
    value: str
    threshold: str
    verdict: Verdict
    words: str


# --- verdicts as bits ----------------------------------------------------------------------------


def verdict_of(bits: int, gate: str) -> Verdict:
    """What the bits say of a gate."""
    place = 1 << GATES.index(gate)
    if bits & place:
        return "fail"
    return "unknown" if bits & place << _COUNT else "pass"


def blocking(bits: Any, wallets_open: bool = False) -> Any:
    """The bits, of one direction or of an array, that keep it from being an opportunity; 0: none."""
    return bits if wallets_open else bits & ~_TOLERATED


def first(bits: int) -> str:
    """The first gate, in their order, that these bits name; there must be one."""
    named = (bits | bits >> _COUNT) & FAILED
    return GATES[(named & -named).bit_length() - 1]


def is_blocking(bits: int, gate: str) -> bool:
    """Whether this gate keeps a direction from being an opportunity of a filter that asks no more."""
    return bool(blocking(bits) & (bit(gate, "fail") | bit(gate, "unknown")))


def without_size(bits: int) -> int:
    """The bits but for those of the size, which whoever follows edges judges for himself."""
    return bits & ~_SIZE


def leg_bits(leg: Leg, state: int, rate: float | None, terms: GateTerms) -> int:
    """What one leg says; `rate` is that of its quote currency, None where it needs none."""
    bits = 0 if state <= freshness.QUIET else _DOWN
    if isnan(leg.bid):
        bits |= _NO_QUOTE
    elif leg.jumped or not 0 < leg.bid <= leg.ask:
        bits |= _NONSENSE
    if rate is None:
        return bits
    if isnan(rate):
        return bits | _NO_RATE
    return bits if abs(rate - 1) * 100 <= terms.peg_band_pct else bits | _OFF_PEG


def rate_of(leg: Leg, symbol: str) -> float | None:
    """What one of its quote currency is worth in the symbol's; NaN: unknown, None: they are the same."""
    return None if leg.listing.quote == quote_of(symbol) else leg.scale * leg.listing.multiplier


def identity_bits(verdict: int, is_proven: bool, edge_bps: float, most_bps: float) -> int:
    """What is held of the coins; a large edge between coins that only seem the same speaks against itself."""
    if verdict == PASS and edge_bps > most_bps and not is_proven:
        return _UNPROVEN
    return IDENTITY[verdict]


def size_bits(size: float, minimum: float) -> int:
    """What the executable size says."""
    if isnan(size):
        return _NO_SIZE
    return 0 if size >= minimum else _TOO_SMALL


class LegColumns(Struct):
    """All legs: freshness states, scaled best prices, and the rates of their quote currencies.

    `rate` is NaN where it is not known; it counts only where `converted`.
    """

    state: freshness.States
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    jumped: NDArray[np.bool_]
    rate: NDArray[np.float64]
    converted: NDArray[np.bool_]

    def bits(self, terms: GateTerms) -> Bits:
        """`leg_bits` of every leg."""
        silent = self.state > freshness.QUIET
        missing = np.isnan(self.bid)
        nonsense = ~missing & (self.jumped | ~((self.bid > 0) & (self.bid <= self.ask)))
        no_rate = self.converted & np.isnan(self.rate)
        off_peg = self.converted & (np.abs(self.rate - 1) * 100 > terms.peg_band_pct)
        return _bits(
            (silent, _DOWN), (missing, _NO_QUOTE), (nonsense, _NONSENSE), (no_rate, _NO_RATE),
            (off_peg, _OFF_PEG),
        )  # fmt: skip


def table_bits(
    beforehand: Bits,
    legs: Bits,
    *,
    buy: NDArray[Any],
    sell: NDArray[Any],
    identity: NDArray[Any],
    size: NDArray[np.float64],
    minimum: float,
    unproven: NDArray[np.bool_] | None = None,
    stale: NDArray[np.bool_] | None = None,
) -> Bits:
    """The verdicts of many directions: `beforehand`, places of their legs, identity codes and sizes.

    `legs` are the bits of `LegColumns.bits`; the arrays of directions are of one length, in one order.
    `unproven` are those whose edge is too large for coins not proven the same, `stale` those with a leg
    that is doubtful (`freshness.is_doubtful`).
    """
    of_edge = _bits((size < minimum, _TOO_SMALL), (np.isnan(size), _NO_SIZE))
    if unproven is not None:
        of_edge |= _bits((unproven & (identity == PASS), _UNPROVEN))
    if stale is not None:
        of_edge |= _bits((stale, STALE))
    of_identity = np.array(IDENTITY, np.uint32)[identity]
    return np.asarray(beforehand | legs[buy] | legs[sell] | of_identity | of_edge)


def counts(bits: Bits) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """How many gates passed, failed and are unknown."""
    failed = bits & FAILED
    unknown = (bits >> _COUNT) & ~failed
    n_failed, n_unknown = np.bitwise_count(failed), np.bitwise_count(unknown)
    return (_COUNT - n_failed - n_unknown).astype(np.uint8), n_failed, n_unknown


def _bits(*parts: tuple[NDArray[np.bool_], int]) -> Bits:
    found = np.zeros(len(parts[0][0]), np.uint32)
    for flags, value in parts:
        found |= flags.astype(np.uint32) * np.uint32(value)
    return found


# --- what is known beforehand --------------------------------------------------------------------


class Facts:
    """What a configuration says of every pair before any quote; made once per configuration."""

    def __init__(self, config: MarketConfig) -> None:
        self.terms = config.gates
        self._exchanges: Mapping[str, ExchangeConfig] = {each.key: each for each in config.exchanges}
        self._wallets = config.wallets
        self._of_listing: dict[tuple[str, str], int] = {}
        self._same: dict[int, int] = {}

    def beforehand(self, pair: ScanPair, buy: ListingConfig, sell: ListingConfig) -> int:
        """The bits of status, fees, volume and wallets of one direction; few different numbers in all."""
        route = wallets.verdict(wallets.routes(self._wallets, pair.symbol, buy, sell))
        bits = self._listing_bits(buy) | self._listing_bits(sell) | bit("wallets", route)
        return self._same.setdefault(bits, bits)

    def _listing_bits(self, listing: ListingConfig) -> int:
        key = listing.exchange, listing.symbol
        bits = self._of_listing.get(key)
        if bits is None:
            bits = bit("status", "pass" if listing.active else "fail")
            bits |= bit("fees", "pass" if self._exchanges[listing.exchange].fees_known else "fail")
            bits |= bit("volume", self._volume_verdict(listing))
            self._of_listing[key] = bits
        return bits

    def _volume_verdict(self, listing: ListingConfig) -> Verdict:
        if not self.terms.min_volume:
            return "pass"
        if listing.volume is None:
            return "unknown"
        return "pass" if listing.volume >= self.terms.min_volume else "fail"

    # --- in words --------------------------------------------------------------------------------

    def status(self, *legs: ListingConfig) -> Gate:
        """Whether both exchanges trade it now."""
        halted = [leg for leg in legs if not leg.active]
        value = ", ".join(f"{leg.exchange} {'trading' if leg.active else 'halted'}" for leg in legs)
        words = "; ".join(f"{leg.exchange} does not trade it now{_own_words(leg)}" for leg in halted)
        words = words or "both exchanges trade it" + _own_words(*legs)
        return Gate("status", value, "trading on both", "fail" if halted else "pass", words)

    def fees(self, *legs: ListingConfig) -> Gate:
        """Whether the taker fees of both accounts are known for today."""
        rows = [self._exchanges[leg.exchange] for leg in legs]
        missing = [row for row in rows if not row.fees_known]
        value = ", ".join(f"{row.key} {wording.share(row.taker_fee_bps)} bps" for row in rows)
        words = "; ".join(f"{row.key}: {row.fee_source}, so its fee is a guess" for row in missing)
        words = words or "taker fees: " + "; ".join(
            f"{row.key} {wording.share(row.taker_fee_bps)} bps{f', {row.fee_source}' * bool(row.fee_source)}"
            for row in rows
        )
        return Gate("fees", value, "known for today", "fail" if missing else "pass", words)

    def volume(self, *legs: ListingConfig) -> Gate:
        """Whether both markets are traded enough."""
        verdict = _worst(*(self._volume_verdict(leg) for leg in legs))
        value = ", ".join(
            f"{leg.exchange} {'unknown' if leg.volume is None else wording.amount(leg.volume)} {leg.quote}"
            for leg in legs
        )
        least = self.terms.min_volume
        asked = f"at least {wording.amount(least)} on both" if least else "no minimum"
        return Gate("volume", value, asked, verdict, f"24 h volume: {value}; {asked}")

    def wallets(self, pair: ScanPair, buy: ListingConfig, sell: ListingConfig) -> Gate:
        """Whether the coin can be taken from where it is bought to where it is sold."""
        found = wallets.routes(self._wallets, pair.symbol, buy, sell)
        verdict = wallets.verdict(found)
        open_ = [route.network for route in found.common if route.open]
        value = {"pass": f"open: {', '.join(open_)}", "fail": "closed", "unknown": "unknown"}[verdict]
        threshold = "a common network, open on both ends"
        return Gate("wallets", value, threshold, verdict, wallets.words(found, buy.exchange, sell.exchange))


# --- one direction, in words ---------------------------------------------------------------------


class LegSeen(Struct, frozen=True):
    """One leg at a moment: how fresh it is, and what its neighbours do."""

    leg: Leg
    state: int
    age_ms: float
    talkers: int = 0  # other legs of the symbol that talk; a silent leg without any has a mute exchange
    moved_bps: float = nan  # how far the others moved since its last quote

    @property
    def exchange(self) -> str:
        """The venue's key."""
        return self.leg.listing.exchange


class Evidence(Struct, frozen=True):
    """What is held of a pair's identity: the verdict's code, what speaks for it, and who decided."""

    code: int
    ratio: float
    correlation: float
    decided: str = ""  # a person's verdict, see markets.config.IdentityVerdict
    proven: bool = False
    fund: str = ""  # the coin it follows, where it is a fund token


class Seen(Struct, frozen=True):
    """All of a direction that changes with the quotes; `size` is executable, in quote currency."""

    pair: ScanPair
    buy: LegSeen
    sell: LegSeen
    size: float
    identity: Evidence
    edge_bps: float = nan

    def is_doubtful(self, side: LegSeen, terms: GateTerms, follows: FilterConfig | None = None) -> bool:
        """Whether this leg is too old for the edge, or was left behind."""
        most_ms = most_age_ms(terms, self.pair, follows)
        doubtful: bool = freshness.is_doubtful(side.age_ms, side.moved_bps, self.edge_bps, most_ms, terms)
        return doubtful


def bits_of(facts: Facts, seen: Seen, follows: FilterConfig | None = None) -> int:
    """The verdicts of one direction, for a filter that may have limits of its own."""
    terms, evidence = facts.terms, seen.identity
    bits = facts.beforehand(seen.pair, seen.buy.leg.listing, seen.sell.leg.listing)
    for side in (seen.buy, seen.sell):
        bits |= leg_bits(side.leg, side.state, rate_of(side.leg, seen.pair.symbol), terms)
        bits |= STALE if seen.is_doubtful(side, terms, follows) else 0
    bits |= identity_bits(evidence.code, evidence.proven, seen.edge_bps, most_unproven_bps(terms, follows))
    return bits | size_bits(seen.size, terms.min_size)


def most_unproven_bps(terms: GateTerms, follows: FilterConfig | None) -> float:
    """The largest edge that is believed between coins not proven the same."""
    own = None if follows is None else follows.max_unproven_edge_bps
    return terms.max_unproven_edge_bps if own is None else own


def most_age_ms(terms: GateTerms, pair: ScanPair, follows: FilterConfig | None) -> float:
    """How old a leg may be at most: as the filter says, or else the exchange pair, or else the gates."""
    own = None if follows is None else follows.max_age_ms
    return freshness.limit_ms(terms, own, pair.pair.max_age_ms)


def judge(facts: Facts, seen: Seen) -> list[Gate]:
    """Every gate of one direction, in their order, in plain words."""
    bits, terms, pair = bits_of(facts, seen), facts.terms, seen.pair
    legs = seen.buy, seen.sell
    buy, sell = seen.buy.leg.listing, seen.sell.leg.listing
    return [
        _freshness(seen, verdict_of(bits, "freshness"), terms),
        facts.status(buy, sell),
        _sanity(legs, verdict_of(bits, "sanity"), terms),
        _identity(seen, verdict_of(bits, "identity"), terms),
        facts.fees(buy, sell),
        _size(pair, seen.size, verdict_of(bits, "size"), terms),
        facts.volume(buy, sell),
        facts.wallets(pair, buy, sell),
        _rate(pair, legs, verdict_of(bits, "rate"), terms),
    ]


Legs = tuple[LegSeen, LegSeen]


def _freshness(seen: Seen, verdict: Verdict, terms: GateTerms) -> Gate:
    legs = seen.buy, seen.sell
    value = ", ".join(f"{leg.exchange} {freshness.STATES[leg.state]}" for leg in legs)
    threshold = (
        f"{wording.share(terms.silent_gaps)} usual gaps or {wording.age(terms.silent_floor_ms)}, "
        f"while others talk; never more than {wording.seconds(most_age_ms(terms, seen.pair, None))}"
    )
    words = "; ".join(_fresh_words(leg) + _doubt_words(seen, leg, terms) for leg in legs)
    return Gate("freshness", value, threshold, verdict, words)


def _fresh_words(seen: LegSeen) -> str:
    leg, state = seen.leg, freshness.STATES[seen.state]
    if seen.state == freshness.DOWN:
        return f"{seen.exchange}: {leg.reason or _why_down(seen)}: down"
    rhythm = "rhythm not known yet" if isnan(leg.gap_ms) else f"usual gap {wording.age(leg.gap_ms)}"
    return f"{seen.exchange} {wording.age(seen.age_ms)}, {rhythm}{_neighbours(seen)}: {state}"


def _doubt_words(seen: Seen, side: LegSeen, terms: GateTerms) -> str:
    if not seen.is_doubtful(side, terms):
        return ""
    most_ms = most_age_ms(terms, seen.pair, None)
    if side.age_ms > most_ms:
        age, most = wording.seconds(side.age_ms), wording.seconds(most_ms)
        return f", but its last quote is {age} old and nothing over {most} is believed"
    return (
        f", but the others moved {side.moved_bps:,.1f} bps since its last quote, "
        f"more than the edge of {seen.edge_bps:,.1f} bps"
    )


def _why_down(seen: LegSeen) -> str:
    if not seen.leg.up:
        return "no stream"
    return "no quote of it has come yet" if isnan(seen.age_ms) else "no quote since its stream broke"


def _neighbours(seen: LegSeen) -> str:
    if seen.state == freshness.QUIET:
        return ", and others are as quiet"
    if seen.state != freshness.SILENT:
        return ""
    if seen.talkers:
        return f", while {seen.talkers} {'other talks' if seen.talkers == 1 else 'others talk'}"
    return f", and nothing else of {seen.exchange} moves"


def _sanity(legs: Legs, verdict: Verdict, terms: GateTerms) -> Gate:
    wrong = [f"{seen.exchange}: {problem}" for seen in legs if (problem := _nonsense(seen.leg, terms))]
    value = {"pass": "in order", "fail": "not believed", "unknown": "no quote"}[verdict]
    threshold = f"bid ≤ ask, no jump over {wording.share(terms.jump_pct)} %"
    return Gate("sanity", value, threshold, verdict, "; ".join(wrong) or "both quotes are in order")


def _nonsense(leg: Leg, terms: GateTerms) -> str:
    if isnan(leg.bid):
        return "no usable quote"
    if not 0 < leg.bid <= leg.ask:
        return "bid and ask are crossed or zero"
    if leg.jumped:
        jump = wording.share(terms.jump_pct)
        return f"the price jumped by more than {jump} %, not believed until the next quote confirms it"
    return ""


def _identity(seen: Seen, verdict: Verdict, terms: GateTerms) -> Gate:
    evidence = seen.identity
    parts = [] if isnan(evidence.ratio) else [f"price ratio {wording.ratio(evidence.ratio)}"]
    if not isnan(evidence.correlation):
        parts.append(f"correlation {evidence.correlation:.2f}")
    value = ", ".join(parts) or "no evidence yet"
    threshold = (
        f"prices within {wording.share(terms.identity_near_pct)} %, or moves that agree; never beyond "
        f"{wording.share(terms.identity_max_ratio)} times; correlation at least "
        f"{wording.share(terms.identity_min_correlation)}; proven above an edge of "
        f"{wording.share(terms.max_unproven_edge_bps)} bps"
    )
    words = _identity_words(seen.pair, evidence, terms)
    if verdict == "unknown" and evidence.code == PASS:
        words = (
            f"an edge of {seen.edge_bps:,.1f} bps speaks against itself: above "
            f"{wording.share(terms.max_unproven_edge_bps)} bps it must be proven that "
            f"{_coins(seen.pair)} are the same: by enough moves that agree, or by an operator in the admin "
            "under coin identities"
        )
    return Gate("identity", value, threshold, verdict, f"{words} ({value})")


_DECIDED: Final = {
    "confirmed": "confirmed by an operator as the same coin",
    "different": "an operator decided that these are different coins",
}


def _identity_words(pair: ScanPair, evidence: Evidence, terms: GateTerms) -> str:
    if evidence.decided in _DECIDED:
        return _DECIDED[evidence.decided]
    if evidence.fund and not evidence.decided:
        return (
            f"a fund token that follows {evidence.fund}: each exchange makes its own, and one is not the "
            "other unless an operator confirms it in the admin under coin identities"
        )
    if evidence.decided == "quarantined" or evidence.code == FAIL:
        base = pair.symbol.partition("/")[0]
        return (
            f"in quarantine: {pair.pair.exchange1} and {pair.pair.exchange2} may not mean the same coin by "
            f"{base}; decide it in the admin under coin identities"
        )
    if evidence.code == PASS:
        return "proven by prices that meet and move alike" * evidence.proven or (
            "nothing speaks against the same coin"
        )
    if isnan(evidence.ratio):
        return "not compared yet"
    apart = (max(evidence.ratio, 1 / evidence.ratio) - 1) * 100
    near = f"{wording.share(terms.identity_near_pct)} %"
    so_far = (
        f"and beyond {near}" if apart > terms.identity_near_pct else f"but they were beyond {near}, where"
    )
    return (
        f"not known: the prices of {_coins(pair)} are {apart:,.1f} % apart, {so_far} they are only taken for "
        "those of one coin when they meet again and enough moves agree, or when an operator confirms it in "
        "the admin under coin identities"
    )


def _coins(pair: ScanPair) -> str:
    return f"{pair.symbol.partition('/')[0]} on {pair.pair.exchange1} and on {pair.pair.exchange2}"


def _size(pair: ScanPair, size: float, verdict: Verdict, terms: GateTerms) -> Gate:
    quote = quote_of(pair.symbol)
    value = "unknown" if isnan(size) else f"{wording.amount(size)} {quote}"
    threshold = f"at least {wording.amount(terms.min_size)} {quote}"
    return Gate("size", value, threshold, verdict, f"executable at both best prices: {value}; {threshold}")


def _rate(pair: ScanPair, legs: Legs, verdict: Verdict, terms: GateTerms) -> Gate:
    quote = quote_of(pair.symbol)
    threshold = f"known, within {wording.share(terms.peg_band_pct)} % of 1"
    rates = [
        f"1 {seen.leg.listing.quote} = {_rate_words(rate)} {quote}"
        for seen in legs
        if (rate := rate_of(seen.leg, pair.symbol)) is not None
    ]
    if not rates:
        return Gate("rate", "not needed", threshold, verdict, f"both are priced in {quote}")
    return Gate("rate", ", ".join(rates), threshold, verdict, f"converted: {', '.join(rates)}; {threshold}")


def _rate_words(rate: float) -> str:
    return "an unknown number of" if isnan(rate) else f"{rate:.4f}"


@lru_cache(maxsize=4096)
def quote_of(symbol: str) -> str:
    """The currency a symbol is priced in."""
    return symbol.partition("/")[2].partition(":")[0]


def _own_words(*legs: ListingConfig) -> str:
    said = ", ".join(f"{leg.exchange} says “{leg.status}”" for leg in legs if leg.status)
    return said and f" ({said})"


def _worst(*verdicts: Verdict) -> Verdict:
    return "fail" if "fail" in verdicts else "unknown" if "unknown" in verdicts else "pass"
