"""Gate checks, why a pair is, or is not, an opportunity: every condition with its value, its threshold and
its verdict.

Each gate has one verdict per direction. A gate blocks unless it passes: what is not known does not
count as passed. Wallets are the one exception, because most exchanges say nothing of them without
keys: there unknown does not block, unless a filter asks for open ones. What each gate means, and what
to do about it, is in docs/gates.md.

Verdicts are kept as bits (`engine.gates.bits`); here are what a configuration says of every pair before any
quote (`Facts`), and the words.

Plain Python and numpy, no Django. The words are English; pages show the gates' names in the viewer's
language.
"""

from collections.abc import Mapping
from math import isnan, nan

from msgspec import Struct

from core.names import formats as wording
from core.names.market_keys import SWAP, market_of
from core.names.symbols import base_of, quote_of
from engine.books.followed import Books
from engine.conversions import Conversion, symbols_of, ways
from engine.gates import freshness, swaps, wallets
from engine.gates.bits import (
    ALL_GATES,
    FAILED,
    GATES,
    IDENTITY,
    STALE,
    SWAP_GATES,
    Bits,
    LegColumns,
    Verdict,
    bit,
    blocking,
    counts,
    first,
    identity_bits,
    is_blocking,
    leg_bits,
    rate_of,
    size_bits,
    table_bits,
    verdict_of,
    volume_bits,
    without_size,
)
from engine.gates.depth import NOT_FOLLOWED, Walked, asked_of
from engine.gates.evidence import Evidence, wanted
from engine.gates.gate import Gate
from engine.scan.identity import PASS
from engine.scan.legs import Leg
from markets.config import FilterConfig, GateTerms, ListingConfig, MarketConfig
from markets.fees.book import Fees
from markets.selection import ScanPair
from markets.worth.reference import REFERENCE, is_dollar

__all__ = [
    "ALL_GATES",
    "FAILED",
    "GATES",
    "IDENTITY",
    "STALE",
    "SWAP_GATES",
    "Bits",
    "Evidence",
    "Facts",
    "Gate",
    "LegColumns",
    "LegSeen",
    "Legs",
    "Seen",
    "Verdict",
    "bit",
    "bits_of",
    "blocking",
    "counts",
    "executable",
    "first",
    "identity_bits",
    "is_blocking",
    "judge",
    "least_volume",
    "leg_bits",
    "most_age_ms",
    "most_unproven_bps",
    "rate_of",
    "size_bits",
    "table_bits",
    "verdict_of",
    "volume_bits",
    "without_size",
]


# --- what is known beforehand --------------------------------------------------------------------


class Facts:
    """Facts of every pair before any quote, from a configuration; made once per configuration.

    `names` are what words call exchanges, by key; without one it is its key.
    """

    def __init__(self, config: MarketConfig, names: Mapping[str, str] | None = None) -> None:
        self.terms = config.gates
        self._names = names or {}
        self._fees = Fees(config)
        self._wallets = config.wallets
        self._of_listing: dict[tuple[str, str], int] = {}
        self._same: dict[int, int] = {}

    def called(self, key: str) -> str:
        """Name of an exchange in words."""
        return self._names.get(key, key)

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
            bits |= bit("fees", "pass" if self._fees.of(listing.exchange, listing.symbol).known else "fail")
            if is_dollar(quote_of(listing.counts_as)):  # otherwise it changes with what that is worth
                bits |= volume_bits(listing.volume, 1.0, least_volume(listing, self.terms))
            self._of_listing[key] = bits
        return bits

    # --- in words --------------------------------------------------------------------------------

    def status(self, *legs: ListingConfig) -> Gate:
        """Whether both exchanges trade it now."""
        halted = [leg for leg in legs if not leg.active]
        value = ", ".join(
            f"{self.called(leg.exchange)} {'trading' if leg.active else 'halted'}" for leg in legs
        )
        words = "; ".join(
            f"{self.called(leg.exchange)} does not trade it now{self._own_words(leg)}" for leg in halted
        )
        words = words or "both exchanges trade it" + self._own_words(*legs)
        return Gate("status", value, "traded on both exchanges", "fail" if halted else "pass", words)

    def fees(self, *legs: ListingConfig) -> Gate:
        """Whether the taker fees of both accounts are known for today."""
        rows = [(self.called(leg.exchange), self._fees.of(leg.exchange, leg.symbol)) for leg in legs]
        missing = [(name, fee) for name, fee in rows if not fee.known]
        value = ", ".join(f"{name} {wording.share(fee.taker_bps)} bps" for name, fee in rows)
        words = "; ".join(
            f"{name} {wording.share(fee.taker_bps)} bps is a guess: {fee.source}" for name, fee in missing
        )
        words = words or "taker fees: " + "; ".join(
            f"{name} {wording.share(fee.taker_bps)} bps{f', {fee.source}' * bool(fee.source)}"
            for name, fee in rows
        )
        return Gate("fees", value, "taker fees known for today", "fail" if missing else "pass", words)

    def volume(self, seen: "Seen", verdict: Verdict) -> Gate:
        """Whether both markets are traded enough."""
        legs = (seen.buy.leg, seen.sell.leg)
        value = ", ".join(
            f"{self.called(leg.exchange)} unknown"
            if leg.listing.volume is None
            else f"{self.called(leg.exchange)} {_money(leg.listing.volume, leg.listing.quote, leg.worth)}"
            for leg in legs
        )
        least = [least_volume(leg.listing, self.terms) for leg in legs]
        asked = f"at least {wording.amount(max(least))} {REFERENCE}" if any(least) else "any volume"
        if any(least):
            asked += " on both" if least[0] == least[1] else " of the swap"
            asked += f", {wording.amount(min(least))} of the other" * (0 < min(least) < max(least))
        return Gate("volume", value, asked, verdict, f"24 h volume: {value}")

    def wallets(self, pair: ScanPair, buy: ListingConfig, sell: ListingConfig) -> Gate:
        """Whether the coin can be taken from where it is bought to where it is sold."""
        found = wallets.routes(self._wallets, pair.symbol, buy, sell)
        verdict = wallets.verdict(found)
        open_ = [route.network for route in found.common if route.open]
        value = {"pass": f"open: {', '.join(open_)}", "fail": "closed", "unknown": "unknown"}[verdict]
        if not found.is_needed:
            value = "not needed"
        threshold = "a common network, open at both ends"
        words = wallets.words(found, self.called(buy.exchange), self.called(sell.exchange))
        return Gate("wallets", value, threshold, verdict, words)

    def rate(self, seen: "Seen", verdict: Verdict) -> Gate:
        """Rate of a currency in another, its age, and what the edge leaves out."""
        quote, terms = quote_of(seen.pair.symbol), self.terms
        most, peg = wording.seconds(terms.max_age_ms), f"{wording.share(terms.peg_band_pct)} % of 1 {quote}"
        threshold = f"a known rate within {peg}, no older than {most}"
        rates = {
            side.leg.listing: rate
            for side in (seen.buy, seen.sell)
            if (rate := rate_of(side.leg, seen.pair.symbol)) is not None
        }
        if not rates:
            return Gate("rate", "not needed", threshold, verdict, f"both are priced in {quote}")
        value = "; ".join(
            (f"1 {leg.quote} in {quote} is unknown" if isnan(rate) else f"1 {leg.quote} = {rate:.4f} {quote}")
            + f", {_rate_age(seen, leg.quote, quote, terms.max_age_ms)}"
            for leg, rate in rates.items()
        )
        costs = ", ".join(self._cost(leg, _way(seen, leg.quote, quote, terms.max_age_ms)[0]) for leg in rates)
        words = f"{value}; the edge leaves out what converting costs: {costs}"
        return Gate("rate", value, threshold, verdict, words)

    def _cost(self, leg: ListingConfig, way: tuple[Conversion, ...]) -> str:
        """Cost of converting on a leg's exchange, in words."""
        fees = [wording.share(self._fees.of(leg.exchange, f"{one}/{other}").taker_bps) for one, other in way]
        if len(way) == 1:
            return f"{fees[0]} bps of taker fee on {self.called(leg.exchange)} and half a spread"
        each = " and ".join(
            f"{fee} bps for {one}/{other}" for fee, (one, other) in zip(fees, way, strict=True)
        )
        return f"{each} of taker fees on {self.called(leg.exchange)} and half a spread of each"

    def _own_words(self, *legs: ListingConfig) -> str:
        said = ", ".join(f"{self.called(leg.exchange)} says “{leg.status}”" for leg in legs if leg.status)
        return said and f": {said}"


def _way(seen: "Seen", one: str, other: str, most_ms: float) -> tuple[tuple[Conversion, ...], float | None]:
    """Rates by which one currency becomes the other, and the age of the older one; None: none is quoted."""
    known = []
    for way in ways((one, other)):
        ages = [[seen.rate_ages_ms.get(symbol) for symbol in symbols_of(step)] for step in way]
        quoted = [[age for age in step if age is not None] for step in ages]
        if all(quoted):
            known.append((way, max(min(step) for step in quoted)))
    fresh = (each for each in known if each[1] <= most_ms)
    return next(fresh, known[0] if known else (((one, other),), None))


def _rate_age(seen: "Seen", one: str, other: str, most_ms: float) -> str:
    way, age_ms = _way(seen, one, other, most_ms)
    if age_ms is None:
        return "never quoted"
    over = f" by way of {way[0][1]}" if len(way) > 1 else ""
    return f"quoted{over} " + ("by a clock ahead of ours" if isnan(age_ms) else f"{wording.age(age_ms)} ago")


# --- one direction, in words ---------------------------------------------------------------------


class LegSeen(Struct, frozen=True):
    """One leg at a moment: how fresh it is, and what its neighbours do."""

    leg: Leg
    state: int
    age_ms: float
    talkers: int = 0  # other legs of the symbol that talk; a silent leg without any has a mute exchange
    moved_bps: float = nan  # how far the others moved since its last quote
    name: str = ""  # what words call its exchange; empty: its key
    mark_moved_bps: float = nan  # how far the others moved since its mark price changed

    @property
    def exchange(self) -> str:
        """Name of its exchange in words."""
        return self.name or self.leg.listing.exchange


class Seen(Struct, frozen=True):
    """All of a direction that changes with the quotes; `size` is executable, in quote currency."""

    pair: ScanPair
    buy: LegSeen
    sell: LegSeen
    size: float
    identity: Evidence
    edge_bps: float = nan
    rate_ages_ms: Mapping[str, float] = {}  # since what currencies are worth was last quoted, by symbol
    now: swaps.Now = (0, 0)  # swaps and books are asked for it
    books: Books | None = None  # of depth, for a filter with a size of its own
    no_book: str = NOT_FOLLOWED  # why a leg has none, in words

    @property
    def value(self) -> float:
        """Worth of the size in the reference currency; NaN: not known."""
        return self.size * self.buy.leg.worth

    def walked(self) -> Walked:
        """Both books as of now."""
        return Walked.of(self.buy.leg, self.sell.leg, self.books, self.now[1])

    def is_doubtful(self, side: LegSeen, terms: GateTerms, most_ms: float) -> bool:
        """Whether this leg is too old for the edge, or was left behind."""
        doubtful: bool = freshness.is_doubtful(side.age_ms, side.moved_bps, self.edge_bps, most_ms, terms)
        return doubtful


def bits_of(facts: Facts, seen: Seen, follows: FilterConfig | None = None) -> int:
    """The verdicts of one direction, for a filter that may have limits of its own."""
    terms, evidence = facts.terms, seen.identity
    bits = facts.beforehand(seen.pair, seen.buy.leg.listing, seen.sell.leg.listing)
    most_ms = most_age_ms(terms, seen.pair, follows)
    for side in (seen.buy, seen.sell):
        bits |= leg_bits(side.leg, side.state, rate_of(side.leg, seen.pair.symbol), terms)
        bits |= STALE if seen.is_doubtful(side, terms, most_ms) else 0
        bits |= volume_bits(side.leg.listing.volume, side.leg.worth, least_volume(side.leg.listing, terms))
        bits |= swaps.leg_bits(side.leg, side.mark_moved_bps, seen.now, terms, follows)
    bits |= identity_bits(evidence.code, evidence.proven, seen.edge_bps, most_unproven_bps(terms, follows))
    if (asked := asked_of(follows, terms)) is not None:
        bits |= bit("depth", seen.walked().verdict(asked))
    return bits | size_bits(seen.size if terms.min_size <= 0 else seen.value, terms.min_size)


def least_volume(listing: ListingConfig, terms: GateTerms) -> float:
    """The least 24 h volume of a leg, in the reference currency; of a swap the higher of two."""
    is_swap = market_of(listing.exchange) == SWAP
    return max(terms.min_volume, terms.min_swap_volume) if is_swap else terms.min_volume


def most_unproven_bps(terms: GateTerms, follows: FilterConfig | None) -> float:
    """The largest edge that is believed between coins not proven the same."""
    own = None if follows is None else follows.max_unproven_edge_bps
    return terms.max_unproven_edge_bps if own is None else own


def most_age_ms(terms: GateTerms, pair: ScanPair, follows: FilterConfig | None) -> float:
    """How old a leg may be at most: as the filter says, or else the exchange pair, or else the gates."""
    own = None if follows is None else follows.max_age_ms
    return freshness.limit_ms(terms, own, pair.pair.max_age_ms)


def judge(facts: Facts, seen: Seen, follows: FilterConfig | None = None) -> list[Gate]:
    """Every gate of one direction, in their order, in plain words; for a filter that may have own limits."""
    bits, terms, pair = bits_of(facts, seen, follows), facts.terms, seen.pair
    most_ms, most_bps = most_age_ms(terms, pair, follows), most_unproven_bps(terms, follows)
    legs = seen.buy, seen.sell
    buy, sell = seen.buy.leg.listing, seen.sell.leg.listing
    return [
        _freshness(seen, verdict_of(bits, "freshness"), terms, most_ms),
        facts.status(buy, sell),
        _sanity(legs, verdict_of(bits, "sanity"), terms),
        _identity(seen, verdict_of(bits, "identity"), terms, most_bps),
        facts.fees(buy, sell),
        _size(seen, verdict_of(bits, "size"), terms),
        facts.volume(seen, verdict_of(bits, "volume")),
        facts.wallets(pair, buy, sell),
        facts.rate(seen, verdict_of(bits, "rate")),
        *_of_swaps(seen, bits, terms, follows),
        *_of_depth(seen, bits, terms, follows),
    ]


Legs = tuple[LegSeen, LegSeen]


def _freshness(seen: Seen, verdict: Verdict, terms: GateTerms, most_ms: float) -> Gate:
    legs = seen.buy, seen.sell
    value = ", ".join(f"{leg.exchange} {freshness.STATES[leg.state]}" for leg in legs)
    threshold = (
        f"a quote within {wording.share(terms.silent_gaps)} usual gaps or "
        f"{wording.age(terms.silent_floor_ms)} while others quote, never older than "
        f"{wording.seconds(most_ms)}"
    )
    words = "; ".join(_fresh_words(leg) + _doubt_words(seen, leg, terms, most_ms) for leg in legs)
    return Gate("freshness", value, threshold, verdict, words)


def _fresh_words(seen: LegSeen) -> str:
    leg, state = seen.leg, freshness.STATES[seen.state]
    if seen.state == freshness.DOWN:
        return f"{seen.exchange} is down: {leg.reason or _why_down(seen)}"
    gap = "not known yet" if isnan(leg.gap_ms) else wording.age(leg.gap_ms)
    last = f"last quote {wording.age(seen.age_ms)} ago, usual gap {gap}"
    return f"{seen.exchange} is {state}: {last}{_neighbours(seen)}"


def _doubt_words(seen: Seen, side: LegSeen, terms: GateTerms, most_ms: float) -> str:
    if not seen.is_doubtful(side, terms, most_ms):
        return ""
    if side.age_ms > most_ms:
        age, most = wording.seconds(side.age_ms), wording.seconds(most_ms)
        return f", but {age} is over the limit of {most}"
    return (
        f", but the others moved {side.moved_bps:,.1f} bps since its last quote, "
        f"more than the edge of {seen.edge_bps:,.1f} bps"
    )


def _why_down(seen: LegSeen) -> str:
    if not seen.leg.up:
        return "no stream"
    return (
        "no quote has arrived yet"
        if isnan(seen.age_ms)
        else "no quote since its stream broke or its book could not be used"
    )


def _neighbours(seen: LegSeen) -> str:
    if seen.state == freshness.QUIET:
        return ", and the others are as quiet"
    if seen.state != freshness.SILENT:
        return ""
    if seen.talkers:
        return f", while {seen.talkers} {'other quotes' if seen.talkers == 1 else 'others quote'}"
    return f", and nothing else of {seen.exchange} is quoted"


def _sanity(legs: Legs, verdict: Verdict, terms: GateTerms) -> Gate:
    wrong = [f"{seen.exchange} {problem}" for seen in legs if (problem := _nonsense(seen.leg, terms))]
    value = {"pass": "in order", "fail": "not believed", "unknown": "no quote"}[verdict]  # nosec B105 # a gate that passes
    threshold = f"0 < bid ≤ ask, no unconfirmed jump over {wording.share(terms.jump_pct)} %"
    return Gate("sanity", value, threshold, verdict, "; ".join(wrong) or "both quotes are in order")


def _nonsense(leg: Leg, terms: GateTerms) -> str:
    if isnan(leg.bid):
        return "has no usable quote"
    if not 0 < leg.bid <= leg.ask:
        quote = quote_of(leg.listing.counts_as)
        return (
            f"quotes bid {wording.price(leg.bid)} and ask {wording.price(leg.ask)} {quote}: crossed or zero"
        )
    if leg.jumped:
        jump = wording.share(terms.jump_pct)
        return f"jumped by more than {jump} % in price, not believed until the next quote confirms it"
    return ""


def _identity(seen: Seen, verdict: Verdict, terms: GateTerms, most_bps: float) -> Gate:
    evidence, value = seen.identity, seen.identity.figures()
    coins = f"{base_of(seen.pair.symbol)} on {seen.buy.exchange} and on {seen.sell.exchange}"
    words = evidence.words(coins, terms)
    if verdict == "unknown" and evidence.code == PASS:
        words = evidence.unproven_words(coins, seen.edge_bps, most_bps)
    if value:
        words += f"; {value}"
    return Gate("identity", value or "no evidence yet", wanted(terms, most_bps), verdict, words)


def _of_swaps(seen: Seen, bits: int, terms: GateTerms, follows: FilterConfig | None) -> list[Gate]:
    """The gates of a direction with a swap, none where both legs are spot."""
    legs = [leg for leg in (seen.buy, seen.sell) if leg.leg.swap is not None]
    return [
        Gate(
            name,
            ", ".join(f"{leg.exchange} {_swap_value(name, leg, seen, terms)}" for leg in legs),
            swaps.wanted(name, terms, follows),
            verdict_of(bits, name),
            "; ".join(f"{leg.exchange} {_swap_words(name, leg, seen, terms)}" for leg in legs),
        )
        for name in SWAP_GATES
        if legs
    ]


def _of_depth(seen: Seen, bits: int, terms: GateTerms, follows: FilterConfig | None) -> list[Gate]:
    """The gate of a filter that has a size of its own."""
    asked = asked_of(follows, terms)
    if asked is None:
        return []
    walked, names = seen.walked(), {side.leg.exchange: side.exchange for side in (seen.buy, seen.sell)}
    words = walked.words(asked, names, seen.no_book)
    return [Gate("depth", walked.value(asked), asked.words, verdict_of(bits, "depth"), words)]


def _swap_words(name: str, side: LegSeen, seen: Seen, terms: GateTerms) -> str:
    return swaps.leg_words(name, side.leg, side.mark_moved_bps, seen.now, terms)


def _swap_value(name: str, side: LegSeen, seen: Seen, terms: GateTerms) -> str:
    return swaps.leg_value(name, side.leg, seen.now, terms)


def _size(seen: Seen, verdict: Verdict, terms: GateTerms) -> Gate:
    quote = quote_of(seen.pair.symbol)
    value = executable(seen)
    threshold = f"at least {wording.amount(terms.min_size)} {REFERENCE}"
    aged = "" if is_dollar(quote) else f", by a rate {_rate_age(seen, quote, REFERENCE, terms.max_age_ms)}"
    words = f"executable at both best prices: {value}{aged}"
    if verdict == "unknown" and not isnan(seen.size):
        words += f"; enable a market that says what a {quote} is worth, like {quote}/{REFERENCE}"
    return Gate("size", value, threshold, verdict, words)


def executable(seen: Seen) -> str:
    """The executable size with its currency, and its worth where that is another one."""
    return (
        "unknown" if isnan(seen.size) else _money(seen.size, quote_of(seen.pair.symbol), seen.buy.leg.worth)
    )


def _money(amount: float, currency: str, worth: float) -> str:
    """An amount, and what it is worth in the reference where that is another currency."""
    said = f"{wording.amount(amount)} {currency}"
    if is_dollar(currency):
        return said
    known = f"{wording.amount(amount * worth)} {REFERENCE}" if not isnan(worth) else "worth unknown"
    return f"{said} ({known})"
